"""Texts with marks in place of personal values: what may be shown to people who need not know them."""

from collections.abc import Sequence
from typing import NamedTuple

from tightlip.pii.detectors import Span
from tightlip.pii.lookup import ValueIndex
from tightlip.pii.matching import find_values
from tightlip.records import Value


class Piece(NamedTuple):
    """A stretch of a text: words as they are or, if `mark`, the type of the values that stood there."""

    text: str
    mark: bool = False


def mask(text: str, truths: Sequence[Value]) -> str:
    """Replace the true values in a text by their types: `[NAME]`."""
    found = [(value.start, value.end, value.value.type) for value in find_values(text, truths)]
    return "".join(f"[{piece.text}]" if piece.mark else piece.text for piece in cut(text, found))


def mask_all(text: str, truths: Sequence[Value], others: ValueIndex, detected: Sequence[Span]) -> list[Piece]:
    """Mask the true values of a dialogue, those of all other dialogues, and what detectors take for one.

    Args:
        text: a turn or an answer.
        truths: values of its own dialogue.
        others: values of all dialogues.
        detected: what detectors found in the text.
    """
    known = dict.fromkeys([*truths, *others.near(text)])
    found = [(value.start, value.end, value.value.type) for value in find_values(text, list(known))]
    return cut(text, [*found, *((span.start, span.end, span.label) for span in detected)])


def cut(text: str, spans: Sequence[tuple[int, int, str]]) -> list[Piece]:
    """Cut a text at spans `(start, end, label)`.

    Where spans overlap, all of their characters go under one mark, with the label of the span that is given first.
    """
    merged: list[tuple[int, int, int]] = []  # start, end, place of the label among the spans
    for start, end, rank in sorted((start, end, rank) for rank, (start, end, _) in enumerate(spans)):
        if merged and start < merged[-1][1]:
            first, last, kept = merged[-1]
            merged[-1] = (first, max(last, end), min(kept, rank))
        else:
            merged.append((start, end, rank))
    pieces, place = [], 0
    for start, end, rank in merged:
        pieces += [Piece(text[place:start]), Piece(spans[rank][2], mark=True)]
        place = end
    return [piece for piece in (*pieces, Piece(text[place:])) if piece.text]
