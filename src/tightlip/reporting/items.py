"""Counts per item, without a word of the answers: what comparing runs needs, small enough for git."""

from collections.abc import Mapping, Sequence

import pandas as pd

Counts = Mapping[str, float]
"""A figure of each item of one trained model: sample id or question id → count, or 1 for a right answer and 0 else."""


def frame(rows: Mapping[str, Mapping[int, Counts]]) -> pd.DataFrame:
    """Put the counts of many rows side by side.

    Args:
        rows: row key → seed of the training → counts.

    Returns:
        Columns `seed` and `item`, then one per row; empty where a row was not tested on an item or not trained with
        that seed.
    """
    columns = {
        key: pd.Series({(seed, item): count for seed, counts in seeds.items() for item, count in counts.items()})
        for key, seeds in rows.items()
    }
    table = pd.DataFrame(columns).astype("Int64")
    return table.rename_axis(["seed", "item"]).reset_index()


def counts(table: pd.DataFrame, key: str) -> dict[int, dict[str, float]]:
    """Return a row's counts: seed → item → count."""
    column: dict[int, dict[str, float]] = {}
    lines: Sequence[tuple[int, str, float]] = list(
        zip(table["seed"], table["item"].astype(str), table[key], strict=True)
    )
    for seed, item, count in lines:
        if not pd.isna(count):
            column.setdefault(int(seed), {})[item] = float(count)
    return column
