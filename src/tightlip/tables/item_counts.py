"""Counts per item, without a word of the answers: what comparing runs needs, small enough for git."""

from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from tightlip.tables.row_metrics import Training

Counts = Mapping[str, float]
"""A figure of each item under one training: sample id or question id → count, or 1 for a right answer and 0 else."""

FIGURES: dict[str, Callable[[Training], Counts]] = {
    "leaks": lambda run: {each.sample_id: len(each.leaks) for each in (*run.outcomes, *run.more)},
    "entities": lambda run: {each.sample_id: len(each.entities) for each in (*run.outcomes, *run.more)},
    "correct": lambda run: {str(each.question_id): int(each.correct) for each in run.utility},
}
"""True values in the answer; entities in it; whether a question was answered rightly as deployed."""


def of_rows(rows: Mapping[str, Sequence[Training]]) -> dict[str, pd.DataFrame]:
    """Put the counts of many rows side by side, one table per figure.

    Returns:
        Columns `training` (0 for the first), `item`, then one per row; empty where a row was not tested on an item, or
        not trained that often.
    """
    return {
        name: frame({key: {n: count(run) for n, run in enumerate(runs)} for key, runs in rows.items()})
        for name, count in FIGURES.items()
    }


def frame(rows: Mapping[str, Mapping[int, Counts]]) -> pd.DataFrame:
    """Put the counts of rows side by side: row key → training → item → count."""
    lines: dict[tuple[int, str], dict[str, float]] = {}
    for key, runs in rows.items():
        for number, counts in runs.items():
            for item, count in counts.items():
                lines.setdefault((number, item), {})[key] = count
    table = [{"training": number, "item": item, **cells} for (number, item), cells in lines.items()]
    return pd.DataFrame(table, columns=["training", "item", *rows]).astype(dict.fromkeys(rows, "Int64"))


def counts(table: pd.DataFrame, key: str) -> dict[int, dict[str, float]]:
    """Return a row's counts: training → item → count."""
    column: dict[int, dict[str, float]] = {}
    for number, item, count in zip(table["training"], table["item"].astype(str), table[key], strict=True):
        if not pd.isna(count):
            column.setdefault(int(number), {})[item] = float(count)
    return column


def differences(old: Mapping[int, Counts], new: Mapping[int, Counts]) -> tuple[list[str], list[list[float]]]:
    """Subtract two rows item by item, on the items that both were tested on.

    Args:
        old, new: training → item → count. Trainings are paired in their order where both rows have as many; otherwise
            each of the new row's is compared with the mean of the old one's.

    Returns:
        Items, and per training of the new row new − old for each of them.
    """
    items = [item for item in new[0] if item in old[0]]
    if len(old) == len(new):
        return items, [[new[run][item] - old[run][item] for item in items] for run in new]
    means = {item: sum(counts[item] for counts in old.values()) / len(old) for item in items}
    return items, [[counts[item] - means[item] for item in items] for counts in new.values()]
