"""Conditions that a revision must meet, so that a release can be held: `leak_rate<=0.05`, `utility_pct>=-2`."""

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tightlip.comparison.compare import CHOSEN, Block, Cell, Comparison, minus
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
        name: a figure of `metrics/summary.json`.
        relative: compares the difference to the first revision, not the figure itself.
    """

    text: str
    name: str
    relation: str
    limit: float
    relative: bool


@dataclass(frozen=True)
class Outcome:
    """What a gate said of a row of a revision; `value` is None where there is no such figure, and that is no pass."""

    gate: Gate
    revision: str
    row: str
    value: float | None
    passed: bool

    def __str__(self) -> str:
        """Say it in one line."""
        value = "no such figure" if self.value is None else f"{self.value:{'+' if self.gate.relative else ''}.4g}"
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
    """Check that every gate names a figure.

    Raises:
        GateError: one does not.
    """
    known = dict.fromkeys(name for revision in revisions for block in revision.summary.values() for name in block)
    for gate in gates:
        if gate.name not in known:
            raise GateError(f"{gate.text}: no figure {gate.name}; there are {', '.join(known)}")


def judge(gates: Sequence[Gate], comparison: Comparison, rows: Sequence[str] = ()) -> list[Outcome]:
    """Apply gates to every revision but the first: to the rows that were asked for, or to the chosen ones."""
    blocks = [block for block in comparison.blocks if block.subject.name in (rows or (CHOSEN,))]
    return [
        _judged(gate, comparison, block, number)
        for gate in gates
        for block in blocks
        for number in range(1, len(comparison.revisions))
    ]


def _judged(gate: Gate, comparison: Comparison, block: Block, number: int) -> Outcome:
    revision, key = comparison.revisions[number], block.subject.keys[number]
    value = _difference(gate, comparison, block, number) if gate.relative else _figure(revision, key, gate.name)
    passed = value is not None and _OPERATORS[gate.relation](value, gate.limit)
    return Outcome(gate, revision.name, key or block.subject.name, value, passed)


def _figure(revision: Revision, key: str | None, name: str) -> float | None:
    return revision.summary[key].get(name) if key else None


def _difference(gate: Gate, comparison: Comparison, block: Block, number: int) -> float | None:
    """Difference to the first; of a bound, such as `utility_deployed_pct_low`, the bound of the difference."""
    name, _, bound = gate.name.rpartition("_")
    cells = block.lines[number]
    if bound in ("low", "high") and name in cells:
        return _bound(cells[name], bound)
    first = _figure(comparison.revisions[0], block.subject.keys[0], gate.name)
    return minus(_figure(comparison.revisions[number], block.subject.keys[number], gate.name), first)


def _bound(cell: Cell, bound: str) -> float | None:
    if cell.paired and cell.p is None:
        return 0.0  # no item differs
    return cell.delta_low if bound == "low" else cell.delta_high
