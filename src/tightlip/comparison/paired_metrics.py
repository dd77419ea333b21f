"""The same metric of two revisions, item by item: difference, interval and test."""

import math
from collections import Counter
from typing import Literal, NamedTuple

import pandas as pd

from tightlip.comparison.revisions import Revision
from tightlip.tables.item_counts import Counts, paired_differences, row_counts
from tightlip.tables.statistics import Interval

_SEED = 0  # of resampling
_TOLERANCE = 0.001  # shares in summaries are rounded


class Metric(NamedTuple):
    """A metric that is compared.

    Attributes:
        name: as in `metrics/summary.json`.
        better: whether lower or higher values are better.
        items: file in `metrics/items/` with its counts per item; None if there is none.
        n: metric that holds the number of its items.
        share: 1 or 100 for the share or percentage of items with a count above 0; None for a sum.
        digits: decimals shown.
    """

    name: str
    better: Literal["lower", "higher"]
    items: str | None
    n: str
    share: float | None
    digits: int

    @property
    def arrow(self) -> str:
        """Direction of the better values."""
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
    """A difference between two revisions, item by item; without p-value where no item differs."""

    interval: Interval
    p: float | None


def metric_difference(
    first: Revision, other: Revision, keys: tuple[str, str], metric: Metric, remarks: Counter[str]
) -> Difference | None:
    """Compare a metric of two revisions on the same items; None if that is not possible.

    Args:
        first, other: the reference and what is compared with it.
        keys: the row in each.
        metric: what is compared.
        remarks: gets a line if the items are not the same.

    Raises:
        ValueError: the items of a row are missing or do not agree with its metrics.
    """
    if not metric.items:
        return None
    kind = "questions" if metric.items == "correct" else "prompts"
    old, new = _per_item(first, keys[0], metric), _per_item(other, keys[1], metric)
    if old is None or new is None:
        remarks[
            f"{other.name}, {first.name}: it is not known which {kind} the metrics are over: no interval, no test"
        ] += 1
        return None
    if getattr(first, kind) != getattr(other, kind) or set(old[0]) != set(new[0]):
        remarks[
            f"{other.name} was tested on other {kind} than {first.name}: differences without interval and test"
        ] += 1
        return None
    differences = paired_differences(old, new)
    if not differences.differs():
        return Difference(Interval(0.0), None)
    interval = differences.total(_SEED).scaled(1.0 if metric.share is None else metric.share / len(differences.items))
    low, high = (None if bound is None or math.isnan(bound) else bound for bound in interval[1:])
    return Difference(Interval(interval.value, low, high), differences.p_value(_SEED))


def _per_item(revision: Revision, key: str, metric: Metric) -> dict[int, Counts] | None:
    """Return what a metric counts of each item: its count or, for a share, 1 if it is above 0.

    Returns:
        Training → item → count; None if the row has more items, and it is not known which of them the metric is over.

    Raises:
        ValueError: the row has no counts, or they do not agree with the metric.
    """
    table = revision.items[str(metric.items)]
    if key not in table:
        raise ValueError(f"{revision.name}: metrics/items/{metric.items}.csv has no row {key}; run `dvc repro`")
    items = _items_of(table, key, revision.summary[key].get(metric.n))
    if items is None:
        return None
    values: dict[int, Counts] = {
        training: {
            item: count if metric.share is None else float(count > 0) for item, count in counts.items() if item in items
        }
        for training, counts in row_counts(table, key).items()
    }
    value = revision.summary[key].get(metric.name)
    mean = sum(sum(counts.values()) for counts in values.values()) / len(values)
    expected = mean if metric.share is None else metric.share * mean / len(items)
    if value is None or abs(value - expected) > _TOLERANCE:
        raise ValueError(
            f"{revision.name}: metrics/items/{metric.items}.csv does not add up to {metric.name} of row {key} in "
            "metrics/summary.json; run `dvc repro` in that revision"
        )
    return values


def _items_of(table: pd.DataFrame, key: str, n: float | None) -> set[str] | None:
    """Return the items that a row's metrics are over: all of its own, or those of a row without further prompts."""
    own = _tested(table, key)
    if len(own) == n:
        return own
    others = (_tested(table, other) for other in table.columns[2:])
    return next((items for items in others if len(items) == n and items <= own), None)


def _tested(table: pd.DataFrame, key: str) -> set[str]:
    return set(table["item"][table[key].notna()])
