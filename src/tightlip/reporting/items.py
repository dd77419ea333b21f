"""Counts per item, without a word of the answers: what comparing runs needs, small enough for git."""

from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from tightlip.reporting.figures import Training

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
        name: _frame({key: {n: count(run) for n, run in enumerate(runs)} for key, runs in rows.items()})
        for name, count in FIGURES.items()
    }


def _frame(rows: Mapping[str, Mapping[int, Counts]]) -> pd.DataFrame:
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
