"""Conditions that a revision must meet, so that a release can be held: `leak_rate<=0.05`, `utility_pct>=-2`."""

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tightlip.comparison.compare import CHOSEN, Cell, ComparedRow, Comparison, subtract
from tightlip.comparison.revisions import Revision

_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt,
}  # fmt: skip
_FORM = re.compile(r"\s*([a-z][a-z0-9_]*)\s*(<=|>=|<|>)\s*([+-]?)(\d+(?:\.\d+)?)\s*")


class GateError(ValueError):
    """A gate that cannot be applied to anything, which is a wrong command, not a failed condition."""


@dataclass(frozen=True)
class Gate:
    """A condition.

    Attributes:
        text: as it was written.
        name: a metric of `metrics/summary.json`.
        relation: how the value must stand to the limit: `<=`, `>=`, `<` or `>`.
        relative: whether the value is the difference to the first revision, not the metric itself.
    """

    text: str
    name: str
    relation: str
    limit: float
    relative: bool


@dataclass(frozen=True)
class GateResult:
    """Whether a row of a revision passed a gate; it does not where `value` is None, for want of such a metric."""

    gate: Gate
    revision: str
    row: str
    value: float | None
    passed: bool

    def __str__(self) -> str:
        """Write the result in one line."""
        value = "no such metric" if self.value is None else f"{self.value:{'+' if self.gate.relative else ''}.4g}"
        return f"{'passed' if self.passed else 'FAILED'}: {self.gate.text} ({self.revision}, {self.row}: {value})"


def parse_gate(text: str) -> Gate:
    """Read a condition; a limit with a sign is one on the difference to the first revision.

    Raises:
        GateError: another form.
    """
    match = _FORM.fullmatch(text)
    if not match:
        raise GateError(f"{text!r} is no gate; write 'leak_rate<=0.05', or 'utility_pct>=-2' for the difference")
    name, relation, sign, number = match.groups()
    return Gate(text.strip(), name, relation, float(sign + number), relative=bool(sign))


def check_names(gates: Sequence[Gate], revisions: Sequence[Revision]) -> None:
    """Check that every gate names a metric.

    Raises:
        GateError: one does not.
    """
    known = dict.fromkeys(name for revision in revisions for row in revision.summary.values() for name in row)
    for gate in gates:
        if gate.name not in known:
            raise GateError(f"{gate.text}: no metric {gate.name}; there are {', '.join(known)}")


def check_gates(gates: Sequence[Gate], comparison: Comparison, rows: Sequence[str] = ()) -> list[GateResult]:
    """Apply gates to every revision but the first: to the rows that the user named, or to the chosen ones."""
    gated = [row for row in comparison.rows if row.subject.name in (rows or (CHOSEN,))]
    return [
        _check(gate, comparison, row, number)
        for gate in gates
        for row in gated
        for number in range(1, len(comparison.revisions))
    ]


def _check(gate: Gate, comparison: Comparison, row: ComparedRow, number: int) -> GateResult:
    revision, key = comparison.revisions[number], row.subject.keys[number]
    value = _difference(gate, comparison, row, number) if gate.relative else _metric(revision, key, gate.name)
    passed = value is not None and _OPERATORS[gate.relation](value, gate.limit)
    return GateResult(gate, revision.name, key or row.subject.name, value, passed)


def _metric(revision: Revision, key: str | None, name: str) -> float | None:
    return revision.summary[key].get(name) if key else None


def _difference(gate: Gate, comparison: Comparison, row: ComparedRow, number: int) -> float | None:
    """Return the difference to the first revision; for `utility_pct_low` or the like, that bound of the difference."""
    name, _, bound = gate.name.rpartition("_")
    cells = row.lines[number]
    if bound in ("low", "high") and name in cells:
        return _bound(cells[name], bound)
    first = _metric(comparison.revisions[0], row.subject.keys[0], gate.name)
    return subtract(_metric(comparison.revisions[number], row.subject.keys[number], gate.name), first)


def _bound(cell: Cell, bound: str) -> float | None:
    if cell.paired and cell.p is None:
        return 0.0  # no item differs
    return cell.delta_low if bound == "low" else cell.delta_high
