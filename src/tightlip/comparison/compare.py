"""Rows of several revisions side by side: differences against the first, with intervals and tests item by item."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple

from tqdm import tqdm

from tightlip.comparison.changes import Change, changed_inputs, changed_params
from tightlip.comparison.paired import METRICS, Difference, Metric, difference
from tightlip.comparison.revisions import Figures, Revision
from tightlip.tables.statistics import holm

CHOSEN = "chosen"
ALPHA = 0.05

_Place = tuple[int, str | None, str | None, str]  # number of the revision, row in the first and in it, figure


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
        first, *others = self.keys
        return f"{first}, chosen on dev" if first and set(others) == {first} else "rows chosen on dev"


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
    numbers = range(len(revisions))
    differences = _differences(revisions, subjects, notes)
    # Differences of 0 on every item are no tests: flipping their signs can never show anything, whatever is true.
    p_values = {place: difference.p for place, difference in differences.items() if difference.p is not None}
    adjusted = dict(zip(p_values, holm(list(p_values.values())), strict=True))
    blocks = [
        Block(subject, tuple(_line(revisions, subject, number, differences, adjusted) for number in numbers))
        for subject in subjects
    ]
    shown = [block for block in blocks if every or rows or block.subject.name == CHOSEN or block.differs]
    return Comparison(
        tuple(revisions),
        tuple(shown),
        hidden=tuple(block.subject.name for block in blocks if block not in shown),
        params=changed_params(revisions),
        inputs=changed_inputs(revisions),
        tests=len(p_values),
        notes=tuple(f"{note} ({count} figures)" for note, count in notes.items()),
    )


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


def _differences(
    revisions: Sequence[Revision], subjects: Sequence[Subject], notes: Counter[str]
) -> dict[_Place, Difference]:
    """Compare item by item what can be; what is both a row and the chosen one is compared once."""
    pairs = dict.fromkeys(
        (number, old, new)
        for subject in subjects
        for old, *others in [subject.keys]
        for number, new in enumerate(others, 1)
        if old and new
    )
    return {
        (number, old, new, metric.name): found
        for number, old, new in tqdm(pairs, "comparing", delay=2, leave=False, disable=None)
        for metric in METRICS
        if (found := difference(revisions[0], revisions[number], (old, new), metric, notes))
    }


def _line(
    revisions: Sequence[Revision],
    subject: Subject,
    number: int,
    differences: Mapping[_Place, Difference],
    adjusted: Mapping[_Place, float],
) -> dict[str, Cell]:
    old, new = _figures(revisions[0], subject.keys[0]), _figures(revisions[number], subject.keys[number])
    cells = {}
    for metric in METRICS:
        name, place = metric.name, (number, subject.keys[0], subject.keys[number], metric.name)
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
