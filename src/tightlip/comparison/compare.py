"""Rows of several revisions side by side: differences against the first, with intervals and tests item by item."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple

from tqdm import tqdm

from tightlip.comparison.changed_inputs import Change, changed_inputs, changed_params
from tightlip.comparison.paired_metrics import METRICS, Difference, Metric, metric_difference
from tightlip.comparison.revisions import Revision
from tightlip.tables.row_metrics import Metrics
from tightlip.tables.statistics import holm

CHOSEN = "chosen"
ALPHA = 0.05

_Place = tuple[int, str | None, str | None, str]  # number of the revision, row in the first and in it, metric


class Cell(NamedTuple):
    """A metric of a row in one revision.

    Attributes:
        value, low, high: the metric and its own 95% interval.
        delta: difference to the first revision; None for the first itself or where a value is missing.
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
        first, *others = self.keys
        return f"{first}, chosen on dev" if first and set(others) == {first} else "rows chosen on dev"


@dataclass(frozen=True)
class ComparedRow:
    """A subject's metrics: one mapping from metric to cell per revision."""

    subject: Subject
    lines: tuple[Mapping[str, Cell], ...]

    @property
    def differs(self) -> bool:
        """Whether a metric, or an item behind it, is not the same in all revisions."""
        cells = [cell for line in self.lines[1:] for cell in line.values()]
        values = [[cell.value for cell in line.values()] for line in self.lines]
        return any(cell.p is not None for cell in cells) or any(old != new for old, new in pairwise(values))


@dataclass(frozen=True)
class Comparison:
    """Revisions, the first of which is the reference.

    Attributes:
        rows: what is shown.
        hidden: rows whose metrics and items are the same everywhere.
        params, inputs: what changed; values of inputs are hashes.
        tests: number of p-values that the adjustment is over.
        remarks: what could not be compared, and why.
    """

    revisions: tuple[Revision, ...]
    rows: tuple[ComparedRow, ...]
    hidden: tuple[str, ...]
    params: tuple[Change, ...]
    inputs: tuple[Change, ...]
    tests: int
    remarks: tuple[str, ...]


def compare(revisions: Sequence[Revision], rows: Sequence[str] = (), every: bool = False) -> Comparison:
    """Compare revisions with the first of them.

    Args:
        revisions: two or more.
        rows: keys, or `chosen`; empty for the chosen rows and all rows that differ.
        every: show rows that do not differ too.

    Raises:
        ValueError: no revision has such a row, or the items do not agree with the metrics.
    """
    subjects = _named_subjects(revisions, rows) if rows else _subjects(revisions)
    remarks: Counter[str] = Counter()
    numbers = range(len(revisions))
    differences = _differences(revisions, subjects, remarks)
    # Where no item differs there is no test: no flip of signs changes the sum, whatever the truth is.
    p_values = {place: difference.p for place, difference in differences.items() if difference.p is not None}
    adjusted = dict(zip(p_values, holm(list(p_values.values())), strict=True))
    compared = [
        ComparedRow(subject, tuple(_line(revisions, subject, number, differences, adjusted) for number in numbers))
        for subject in subjects
    ]
    shown = [row for row in compared if every or rows or row.subject.name == CHOSEN or row.differs]
    return Comparison(
        tuple(revisions),
        tuple(shown),
        hidden=tuple(row.subject.name for row in compared if row not in shown),
        params=changed_params(revisions),
        inputs=changed_inputs(revisions),
        tests=len(p_values),
        remarks=tuple(f"{remark} ({count} metrics)" for remark, count in remarks.items()),
    )


def _subject(revisions: Sequence[Revision], key: str) -> Subject:
    keys = [revision.chosen if key == CHOSEN else key for revision in revisions]
    present = [key if key in revision.summary else None for key, revision in zip(keys, revisions, strict=True)]
    return Subject(key, tuple(present))


def _named_subjects(revisions: Sequence[Revision], rows: Sequence[str]) -> list[Subject]:
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


def _differences(
    revisions: Sequence[Revision], subjects: Sequence[Subject], remarks: Counter[str]
) -> dict[_Place, Difference]:
    """Compare item by item where that is possible; a row that is the chosen one too is compared once."""
    pairs = dict.fromkeys(
        (number, old, new)
        for subject in subjects
        for old, *others in [subject.keys]
        for number, new in enumerate(others, 1)
        if old and new
    )
    return {
        (number, old, new, metric.name): difference
        for number, old, new in tqdm(pairs, "comparing", delay=2, leave=False, disable=None)
        for metric in METRICS
        if (difference := metric_difference(revisions[0], revisions[number], (old, new), metric, remarks))
    }


def _line(
    revisions: Sequence[Revision],
    subject: Subject,
    number: int,
    differences: Mapping[_Place, Difference],
    adjusted: Mapping[_Place, float],
) -> dict[str, Cell]:
    old, new = _metrics(revisions[0], subject.keys[0]), _metrics(revisions[number], subject.keys[number])
    cells = {}
    for metric in METRICS:
        name, place = metric.name, (number, subject.keys[0], subject.keys[number], metric.name)
        cell = Cell(new.get(name), new.get(f"{name}_low"), new.get(f"{name}_high"))
        if number:
            cell = cell._replace(delta=subtract(new.get(name), old.get(name)))
        if place in differences:
            interval, p = differences[place]
            cell = cell._replace(paired=True, delta_low=interval.low, delta_high=interval.high, p=p)
        if place in adjusted:
            verdict = _verdict(metric, differences[place].interval.value) if adjusted[place] < ALPHA else None
            cell = cell._replace(p_adjusted=adjusted[place], verdict=verdict)
        cells[name] = cell
    return cells


def _metrics(revision: Revision, key: str | None) -> Metrics:
    return revision.summary[key] if key else {}


def subtract(new: float | None, old: float | None) -> float | None:
    """Return new − old, free of binary noise; None if one is missing."""
    return None if new is None or old is None else round(new - old, 9)


def _verdict(metric: Metric, difference: float) -> Literal["better", "worse"]:
    return "better" if (difference < 0) == (metric.better == "lower") else "worse"
