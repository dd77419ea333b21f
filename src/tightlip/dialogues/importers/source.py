"""What the readers give: conversations as their source has them, each with its place, or a problem in its stead."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Problem(NamedTuple):
    """What stands against an import.

    Attributes:
        place: `file:line`, or `name, row n` where there are no lines.
        field: of that row; empty for the row as a whole.
        text: what is wrong, and the remedy; never a personal value.
    """

    place: str
    field: str
    text: str

    def __str__(self) -> str:
        return ": ".join(part for part in self if part)


class Cell(NamedTuple):
    """A value with its place."""

    place: str
    field: str
    value: Any

    def problem(self, text: str) -> Problem:
        """Say what is wrong with it."""
        return Problem(self.place, self.field, text)


class RawTurn(NamedTuple):
    """A turn as the source has it."""

    role: Cell
    content: Cell


class Conversation(NamedTuple):
    """A conversation as the source has it.

    Attributes:
        place: where it starts.
        number: line or row there, from 1; names the dialogue.
        turns: in order; None if there is no conversation here (a blank line).
        pii: the source's lists of personal values; None if it gives none.
        marks: what stands for the marks in the turns (challenge).
        repairs: what the reader has repaired.
    """

    place: str
    number: int
    turns: Sequence[RawTurn] | None
    pii: Sequence[Cell] | None = None
    marks: dict[str, str] | None = None
    repairs: tuple[str, ...] = ()


@dataclass
class ReadingLog:
    """Repairs and problems of a conversation that was made a dialogue.

    Attributes:
        repairs: number of repairs by kind.
        problems: in the order of the conversation.
    """

    repairs: Counter[str] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)
