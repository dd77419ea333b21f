"""The same figure of two revisions, item by item: difference, interval and test."""

import math
from collections import Counter
from typing import Literal, NamedTuple

import pandas as pd

from tightlip.comparison.revisions import Revision
from tightlip.tables.item_counts import Counts, counts, differences
from tightlip.tables.row_metrics import dialogue_of
from tightlip.tables.statistics import Interval, paired_test, total

_SEED = 0  # of resampling
_TOLERANCE = 0.001  # shares in summaries are rounded


class Metric(NamedTuple):
    """A column.

    Attributes:
        name: as in `metrics/summary.json`.
        better: which way.
        items: where its counts per item are; None if there are none.
        of: figure that says over how many items.
        share: unit of a share of the items that count at least one; None for a sum.
        digits: after the point.
    """

    name: str
    better: Literal["lower", "higher"]
    items: str | None
    of: str
    share: float | None
    digits: int

    @property
    def arrow(self) -> str:
        """Direction to look for."""
        return "↓" if self.better == "lower" else "↑"


METRICS = (
    Metric("leak_count", "lower", "leaks", "n_prompts", None, 0),
    Metric("leak_rate", "lower", "leaks", "n_prompts", 1, 3),
    Metric("pii_count", "lower", "entities", "n_prompts", None, 0),
    Metric("trigger_leak_count", "lower", None, "n_prompts", None, 0),
    Metric("degenerate_count", "lower", None, "n_prompts", None, 0),
    Metric("utility_pct", "higher", None, "n_questions", None, 1),
    Metric("utility_deployed_pct", "higher", "correct", "n_questions", 100, 1),
)


class Difference(NamedTuple):
    """A difference item by item; without p-value where no item differs."""

    interval: Interval
    p: float | None


def difference(
    first: Revision, other: Revision, keys: tuple[str, str], metric: Metric, notes: Counter[str]
) -> Difference | None:
    """Compare a figure of two revisions on the same items; None if that is not possible.

    Args:
        first, other: the reference and what is compared with it.
        keys: the row in each.
        metric: the figure.
        notes: gets a line if the items are not the same.

    Raises:
        ValueError: the items of a row are missing or do not agree with its figures.
    """
    if not metric.items:
        return None
    what = "questions" if metric.items == "correct" else "prompts"
    old, new = _per_item(first, keys[0], metric), _per_item(other, keys[1], metric)
    if old is None or new is None:
        notes[f"{other.name}, {first.name}: no telling which {what} the figures are over: no interval, no test"] += 1
        return None
    if getattr(first, what) != getattr(other, what) or set(old[0]) != set(new[0]):
        notes[f"{other.name} was tested on other {what} than {first.name}: differences without interval and test"] += 1
        return None
    items, changes = differences(old, new)
    if not any(map(any, changes)):
        return Difference(Interval(0.0), None)
    clusters = [dialogue_of(item) for item in items]
    unit = 1.0 if metric.share is None else metric.share / len(items)
    interval = total(changes, clusters, _SEED)
    bounds = (None if bound is None or math.isnan(bound) else unit * bound for bound in interval[1:])
    means = [sum(of_item) / len(changes) for of_item in zip(*changes, strict=True)]
    return Difference(Interval(unit * interval.value, *bounds), paired_test(means, clusters, _SEED))


def _per_item(revision: Revision, key: str, metric: Metric) -> dict[int, Counts] | None:
    """Count, or 1 for at least one, of each item that a figure is over.

    Returns:
        Training → item → count; None if the records do not say which of more items the figure is over.

    Raises:
        ValueError: the row has no counts, or they do not agree with the figure.
    """
    table = revision.items[str(metric.items)]
    if key not in table:
        raise ValueError(f"{revision.name}: metrics/items/{metric.items}.csv has no row {key}; run `dvc repro`")
    items = _items_of(table, key, revision.summary[key].get(metric.of))
    if items is None:
        return None
    values: dict[int, Counts] = {
        training: {
            item: count if metric.share is None else float(count > 0) for item, count in of.items() if item in items
        }
        for training, of in counts(table, key).items()
    }
    figure = revision.summary[key].get(metric.name)
    mean = sum(sum(of.values()) for of in values.values()) / len(values)
    if (
        figure is None
        or abs(figure - (mean if metric.share is None else metric.share * mean / len(items))) > _TOLERANCE
    ):
        raise ValueError(
            f"{revision.name}: metrics/items/{metric.items}.csv does not add up to {metric.name} of row {key} in "
            "metrics/summary.json; run `dvc repro` in that revision"
        )
    return values


def _items_of(table: pd.DataFrame, key: str, n: float | None) -> set[str] | None:
    """Items that a row's figures are over: all of its own, or those of a row that was tested on no further prompts."""
    own = _tested(table, key)
    if len(own) == n:
        return own
    others = (_tested(table, other) for other in table.columns[2:])
    return next((items for items in others if len(items) == n and items <= own), None)


def _tested(table: pd.DataFrame, key: str) -> set[str]:
    return set(table["item"][table[key].notna()])
