"""Puts marks in place of the personal values in texts, for readers who must not see the values."""

from collections.abc import Sequence
from typing import NamedTuple

from tightlip.pii.lookup import ValueIndex
from tightlip.pii.matching import find_values
from tightlip.pii.spans import Span, merge_overlaps
from tightlip.records import Value


class Piece(NamedTuple):
    """A stretch of a text or, if `mark` is set, the type of a value that stood there."""

    text: str
    mark: bool = False


def mask(text: str, truths: Sequence[Value]) -> str:
    """Replace the true values in a text by their types: `[NAME]`."""
    spans = [(value.start, value.end, value.value.type) for value in find_values(text, truths)]
    return "".join(f"[{piece.text}]" if piece.mark else piece.text for piece in cut(text, spans))


def mask_all(text: str, truths: Sequence[Value], others: ValueIndex, detected: Sequence[Span]) -> list[Piece]:
    """Mask the true values of a dialogue, those of all other dialogues, and the spans of detectors.

    Args:
        text: a turn or an answer.
        truths: values of its own dialogue.
        others: values of all dialogues.
        detected: spans of detectors.
    """
    known = dict.fromkeys([*truths, *others.near(text)])
    true_spans = [(value.start, value.end, value.value.type) for value in find_values(text, list(known))]
    return cut(text, [*true_spans, *((span.start, span.end, span.label) for span in detected)])


def cut(text: str, spans: Sequence[tuple[int, int, str]]) -> list[Piece]:
    """Cut a text at spans `(start, end, label)`.

    Where spans overlap, all of their characters go under one mark, with the label of the span that is given first.
    """
    pieces, place = [], 0
    for start, end, places in merge_overlaps((start, end) for start, end, _ in spans):
        pieces += [Piece(text[place:start]), Piece(spans[min(places)][2], mark=True)]
        place = end
    return [piece for piece in (*pieces, Piece(text[place:])) if piece.text]
