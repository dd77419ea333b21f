"""Spans of a text, and what to do where they overlap."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar


@dataclass(frozen=True)
class Span:
    """A stretch of a text that a detector takes for personal data.

    Attributes:
        label: kind, as the detector names it (`PERSON`, `EMAIL_ADDRESS`, …).
        start, end: character span in the text, end exclusive.
        text: the characters of the span.
    """

    label: str
    start: int
    end: int
    text: str


FindSpans = Callable[[Sequence[str]], list[list[Span]]]
"""Finds the spans of each text."""


class HasPlace(Protocol):
    """Anything with a place in a text: a start, and an end that is exclusive."""

    @property
    def start(self) -> int:
        """First character."""

    @property
    def end(self) -> int:
        """Character after the last."""


Placed = TypeVar("Placed", bound=HasPlace)


def overlap(one: HasPlace, other: HasPlace) -> bool:
    """Say whether two spans of a text share a character."""
    return one.start < other.end and other.start < one.end


def resolve_overlaps(spans: Iterable[Placed]) -> list[Placed]:
    """Keep each span that overlaps none of those kept before it; return them in the order of the text."""
    resolved: list[Placed] = []
    for span in spans:
        if not any(overlap(span, other) for other in resolved):
            resolved.append(span)
    return sorted(resolved, key=lambda span: span.start)


def merge_overlaps(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int, list[int]]]:
    """Join spans that overlap.

    Args:
        spans: (start, end) each.

    Returns:
        (start, end, places of its spans among those given) of each joined span, in the order of the text.
    """
    merged: list[tuple[int, int, list[int]]] = []
    for start, end, place in sorted((start, end, place) for place, (start, end) in enumerate(spans)):
        if merged and start < merged[-1][1]:
            first, last, places = merged[-1]
            merged[-1] = (first, max(last, end), [*places, place])
        else:
            merged.append((start, end, [place]))
    return merged
