"""Counts per item without a word of the answers: what paired comparisons need, small enough for git."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import pandas as pd

from tightlip.records import LeakOutcome, UtilityOutcome
from tightlip.tables.row_metrics import TrainingOutcomes, dialogue_of
from tightlip.tables.statistics import Interval, paired_test, total

Counts = Mapping[str, float]
"""Sample id or question id → count under one training; for questions 1 if the answer is right, else 0."""


def leak_counts(outcomes: Sequence[LeakOutcome]) -> Counts:
    """Count the true values in the answer to each prompt."""
    return {outcome.sample_id: len(outcome.leaks) for outcome in outcomes}


def entity_counts(outcomes: Sequence[LeakOutcome]) -> Counts:
    """Count the entities that NER finds in the answer to each prompt."""
    return {outcome.sample_id: len(outcome.entities) for outcome in outcomes}


def correct_counts(outcomes: Sequence[UtilityOutcome]) -> Counts:
    """Give each question 1 if it was answered rightly as deployed, else 0."""
    return {str(outcome.question_id): int(outcome.correct) for outcome in outcomes}


TABLES: dict[str, Callable[[TrainingOutcomes], Counts]] = {
    "leaks": lambda training: leak_counts([*training.outcomes, *training.further]),
    "entities": lambda training: entity_counts([*training.outcomes, *training.further]),
    "correct": lambda training: correct_counts(training.utility),
}
"""File in `metrics/items/` → its counts of one training."""


def item_tables(rows: Mapping[str, Sequence[TrainingOutcomes]]) -> dict[str, pd.DataFrame]:
    """Put the counts of many rows side by side, one table per entry of `TABLES`.

    Returns:
        Columns `training` (0 for the first), `item`, then one per row; empty where a row was not tested on an item, or
        not trained that often.
    """
    return {
        name: count_table({key: dict(enumerate(map(count, trainings))) for key, trainings in rows.items()})
        for name, count in TABLES.items()
    }


def count_table(rows: Mapping[str, Mapping[int, Counts]]) -> pd.DataFrame:
    """Put the counts of rows side by side: row key → training → item → count."""
    lines: dict[tuple[int, str], dict[str, float]] = {}
    for key, trainings in rows.items():
        for training, counts in trainings.items():
            for item, count in counts.items():
                lines.setdefault((training, item), {})[key] = count
    table = [{"training": training, "item": item, **cells} for (training, item), cells in lines.items()]
    return pd.DataFrame(table, columns=["training", "item", *rows]).astype(dict.fromkeys(rows, "Int64"))


def row_counts(table: pd.DataFrame, key: str) -> dict[int, dict[str, float]]:
    """Return a row's counts: training → item → count."""
    trainings: dict[int, dict[str, float]] = {}
    for training, item, count in zip(table["training"], table["item"].astype(str), table[key], strict=True):
        if not pd.isna(count):
            trainings.setdefault(int(training), {})[item] = float(count)
    return trainings


class PairedDifferences(NamedTuple):
    """New − old of every item that two rows were tested on, for each training of the new row.

    Attributes:
        items: sample ids or question ids, I of them.
        trainings: differences in the order of the items, shape (S, I).
    """

    items: list[str]
    trainings: list[list[float]]

    def differs(self) -> bool:
        """Say whether any item differs in any training."""
        return any(map(any, self.trainings))

    def total(self, seed: int) -> Interval:
        """Return the sum over the items with its interval; items of one dialogue go together."""
        return total(self.trainings, [dialogue_of(item) for item in self.items], seed)

    def p_value(self, seed: int) -> float:
        """Return the two-sided p-value of the mean over trainings; items of one dialogue go together."""
        means = [sum(item) / len(self.trainings) for item in zip(*self.trainings, strict=True)]
        return paired_test(means, [dialogue_of(item) for item in self.items], seed)


def paired_differences(old: Mapping[int, Counts], new: Mapping[int, Counts]) -> PairedDifferences:
    """Subtract two rows item by item, on the items that both were tested on.

    Args:
        old, new: training → item → count. Trainings are paired in their order where both rows have as many; otherwise
            each of the new row's is compared with the mean of the old one's.
    """
    items = [item for item in new[0] if item in old[0]]
    if len(old) == len(new):
        return PairedDifferences(items, [[new[run][item] - old[run][item] for item in items] for run in new])
    means = {item: sum(counts[item] for counts in old.values()) / len(old) for item in items}
    return PairedDifferences(items, [[counts[item] - means[item] for item in items] for counts in new.values()])
