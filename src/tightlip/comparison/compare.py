"""Rows of several revisions side by side: differences against the first, with intervals and tests item by item."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import pandas as pd
from tqdm import tqdm

from tightlip.comparison.revisions import Figures, Revision, hashes
from tightlip.reporting.statistics import Interval, holm, paired_test, total
from tightlip.reporting.tables import dialogue_of

CHOSEN = "chosen"
ALPHA = 0.05
_SEED = 0  # of resampling
_RESULTS = ("metrics/", "data/rows", "data/records")  # what comes out of a run is compared as figures, not as inputs
_TOLERANCE = 0.01  # summaries are rounded


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


class Cell(NamedTuple):
    """A figure of a row in one revision.

    Attributes:
        value, low, high: the figure and its own 95% interval.
        delta: difference to the first revision; None for the first itself or where a figure is missing.
        paired: whether the two were compared item by item.
        delta_low, delta_high: 95% interval of the difference; None if not paired, or where no item differs.
        p: its two-sided p-value; None likewise.
        p_adjusted: the same, adjusted by Holm over all p-values of the comparison.
        verdict: set if the difference is significant.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    delta: float | None = None
    paired: bool = False
    delta_low: float | None = None
    delta_high: float | None = None
    p: float | None = None
    p_adjusted: float | None = None
    verdict: Literal["better", "worse"] | None = None


@dataclass(frozen=True)
class Subject:
    """What is compared: a row, or the rows that each revision chose on dev.

    Attributes:
        name: key of the row, or `chosen`.
        keys: key of the row in each revision; None where it has no such row.
    """

    name: str
    keys: tuple[str | None, ...]

    @property
    def title(self) -> str:
        """Name for people."""
        if self.name != CHOSEN:
            return self.name
        return f"{self.keys[0]}, chosen on dev" if len(set(self.keys)) == 1 else "rows chosen on dev"


@dataclass(frozen=True)
class Block:
    """A subject's figures: one mapping from metric to cell per revision."""

    subject: Subject
    lines: tuple[Mapping[str, Cell], ...]

    @property
    def differs(self) -> bool:
        """Whether a figure, or an item behind it, is not the same in all revisions."""
        cells = [cell for line in self.lines[1:] for cell in line.values()]
        values = [[cell.value for cell in line.values()] for line in self.lines]
        return any(cell.p is not None for cell in cells) or any(old != new for old, new in pairwise(values))


class Change(NamedTuple):
    """A parameter or an input that is not the same everywhere: revision → value, left out where there is none."""

    name: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Comparison:
    """Revisions, the first of which is the reference.

    Attributes:
        blocks: what is shown.
        hidden: rows whose figures and items are the same everywhere.
        params, inputs: what changed; values of inputs are hashes.
        tests: number of p-values that the adjustment is over.
        notes: what could not be compared, and why.
    """

    revisions: tuple[Revision, ...]
    blocks: tuple[Block, ...]
    hidden: tuple[str, ...]
    params: tuple[Change, ...]
    inputs: tuple[Change, ...]
    tests: int
    notes: tuple[str, ...]


class _Difference(NamedTuple):
    """A difference item by item; without p-value where no item differs."""

    interval: Interval
    p: float | None


def compare(revisions: Sequence[Revision], rows: Sequence[str] = (), every: bool = False) -> Comparison:
    """Compare revisions with the first of them.

    Args:
        revisions: two or more.
        rows: keys, or `chosen`; empty for the chosen rows and all rows that differ.
        every: show rows that do not differ too.

    Raises:
        ValueError: no revision has such a row, or the items do not agree with the figures.
    """
    subjects = _named(revisions, rows) if rows else _subjects(revisions)
    notes: Counter[str] = Counter()
    differences = {
        (subject, number, metric.name): difference
        for subject in tqdm(subjects, "comparing", delay=2, leave=False)
        for number in range(1, len(revisions))
        for metric in METRICS
        if (difference := _difference(revisions[0], revisions[number], subject, number, metric, notes))
    }
    # Differences of 0 on every item are no tests: flipping their signs can never show anything, whatever is true.
    p_values = {place: difference.p for place, difference in differences.items() if difference.p is not None}
    adjusted = dict(zip(p_values, holm(list(p_values.values())), strict=True))
    blocks = [
        Block(subject, tuple(_line(revisions, subject, number, differences, adjusted) for number in _all(revisions)))
        for subject in subjects
    ]
    shown = [block for block in blocks if every or rows or block.subject.name == CHOSEN or block.differs]
    return Comparison(
        tuple(revisions),
        tuple(shown),
        hidden=tuple(block.subject.name for block in blocks if block not in shown),
        params=_changes(revisions, [revision.params for revision in revisions]),
        inputs=_changes(revisions, [_inputs(revision) for revision in revisions]),
        tests=len(p_values),
        notes=tuple(f"{note} ({count} figures)" for note, count in notes.items()),
    )


def _all(revisions: Sequence[Revision]) -> range:
    return range(len(revisions))


def _subject(revisions: Sequence[Revision], key: str) -> Subject:
    keys = [revision.chosen if key == CHOSEN else key for revision in revisions]
    has = [key if key in revision.summary else None for key, revision in zip(keys, revisions, strict=True)]
    return Subject(key, tuple(has))


def _named(revisions: Sequence[Revision], rows: Sequence[str]) -> list[Subject]:
    subjects = [_subject(revisions, key) for key in dict.fromkeys(rows)]
    for subject in subjects:
        if not any(subject.keys):
            known = ", ".join(dict.fromkeys(key for revision in revisions for key in revision.summary))
            raise ValueError(f"{subject.name}: no such row in any of the revisions; there are {known}")
    return subjects


def _subjects(revisions: Sequence[Revision]) -> list[Subject]:
    """Return the chosen rows and every row, in the order of the summaries, each once."""
    chosen = _subject(revisions, CHOSEN)
    keys = dict.fromkeys(key for revision in revisions for key in revision.summary)
    others = [_subject(revisions, key) for key in keys]
    return [chosen, *(subject for subject in others if subject.keys != chosen.keys)]


def _line(
    revisions: Sequence[Revision],
    subject: Subject,
    number: int,
    differences: Mapping[tuple[Subject, int, str], _Difference],
    adjusted: Mapping[tuple[Subject, int, str], float],
) -> dict[str, Cell]:
    old, new = _figures(revisions[0], subject.keys[0]), _figures(revisions[number], subject.keys[number])
    cells = {}
    for metric in METRICS:
        name, place = metric.name, (subject, number, metric.name)
        cell = Cell(new.get(name), new.get(f"{name}_low"), new.get(f"{name}_high"))
        if number:
            cell = cell._replace(delta=minus(new.get(name), old.get(name)))
        if place in differences:
            interval, p = differences[place]
            cell = cell._replace(paired=True, delta_low=interval.low, delta_high=interval.high, p=p)
        if place in adjusted:
            verdict = _verdict(metric, differences[place].interval.value) if adjusted[place] < ALPHA else None
            cell = cell._replace(p_adjusted=adjusted[place], verdict=verdict)
        cells[name] = cell
    return cells


def _figures(revision: Revision, key: str | None) -> Figures:
    return revision.summary[key] if key else {}


def minus(new: float | None, old: float | None) -> float | None:
    """Difference of two figures, free of binary noise; None if one is missing."""
    return None if new is None or old is None else round(new - old, 9)


def _verdict(metric: Metric, difference: float) -> Literal["better", "worse"]:
    return "better" if (difference < 0) == (metric.better == "lower") else "worse"


# --- Item by item --------------------------------------------------------------------------------------------------


def _difference(
    first: Revision, other: Revision, subject: Subject, number: int, metric: Metric, notes: Counter[str]
) -> _Difference | None:
    """Compare a figure of two revisions on the same items; None if that is not possible."""
    keys = subject.keys[0], subject.keys[number]
    if not (metric.items and keys[0] and keys[1]):
        return None
    what = "questions" if metric.items == "correct" else "prompts"
    old, new = per_item(first, keys[0], metric), per_item(other, keys[1], metric)
    if getattr(first, what) != getattr(other, what) or old is None or new is None or set(old.index) != set(new.index):
        notes[f"{other.name} was tested on other {what} than {first.name}: differences without interval and test"] += 1
        return None
    differences = (new - old)[old.index]  # by item, in the order of the first
    if not differences.any():
        return _Difference(Interval(0.0), None)
    clusters = [dialogue_of(str(item)) for item in differences.index]
    unit = 1.0 if metric.share is None else metric.share / len(differences)
    interval = total(differences.tolist(), clusters, _SEED)
    bounds = (None if bound is None else unit * bound for bound in (interval.low, interval.high))
    return _Difference(Interval(unit * interval.value, *bounds), paired_test(differences.tolist(), clusters, _SEED))


def per_item(revision: Revision, key: str, metric: Metric) -> "pd.Series[float] | None":
    """Count, or 1 for at least one, of each item that a figure is over: the mean over trained seeds.

    Returns:
        By item; None if the records do not say which of more items the figure is over.

    Raises:
        ValueError: the row has no counts, or they do not agree with the figure.
    """
    table = revision.items[str(metric.items)]
    if key not in table:
        raise ValueError(f"{revision.name}: metrics/items/{metric.items}.csv has no row {key}; run `dvc repro`")
    items = _items_of(table, key, revision.summary[key].get(metric.of))
    if items is None:
        return None
    counts = table.loc[table.index.isin(items), key].dropna().astype(float)
    values = (counts if metric.share is None else (counts > 0).astype(float)).groupby(level=0, sort=False).mean()
    figure, sum_ = revision.summary[key].get(metric.name), float(values.sum())
    if figure is None or abs(figure - (sum_ if metric.share is None else metric.share * values.mean())) > _TOLERANCE:
        raise ValueError(
            f"{revision.name}: metrics/items/{metric.items}.csv does not add up to {metric.name} of row {key} in "
            "metrics/summary.json; run `dvc repro` in that revision"
        )
    return values


def _items_of(table: pd.DataFrame, key: str, n: float | None) -> "set[object] | None":
    """Items that a row's figures are over: all of its own, or those of a row that was tested on no further prompts."""
    own = set(table.index[table[key].notna()])
    if len(own) == n:
        return own
    tested = (set(table.index[table[other].notna()]) for other in table.columns)
    return next((items for items in tested if len(items) == n and items <= own), None)


# --- What changed --------------------------------------------------------------------------------------------------


def _changes(revisions: Sequence[Revision], of: Sequence[Mapping[str, Any]]) -> tuple[Change, ...]:
    names = dict.fromkeys(name for values in of for name in values)
    found = []
    for name in names:
        values = {
            revision.name: each[name] for revision, each in zip(revisions, of, strict=True) if name in each
        }  # fmt: skip
        if len(values) < len(revisions) or any(value != values[revisions[0].name] for value in values.values()):
            found.append(Change(name, values))
    return tuple(found)


def _inputs(revision: Revision) -> dict[str, str]:
    """Hashes of code, data, models and adapters that went into a stage."""
    found = hashes(revision.stages).items()
    return {path: ",".join(sorted(md5s)) for path, md5s in sorted(found) if not path.startswith(_RESULTS)}
