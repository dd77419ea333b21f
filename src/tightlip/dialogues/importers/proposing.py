"""Personal values that nobody has marked, proposed by detectors."""

from collections.abc import Iterator, Sequence

from tightlip.dialogues.importers.truths import our_type
from tightlip.pii.spans import FindSpans, Span, resolve_overlaps
from tightlip.records import Entity, Turn

_LONGEST = 20_000
"""Characters of a turn that a detector gets at once."""


def propose(turns: Sequence[Turn], find: FindSpans) -> list[Turn]:
    """Mark the spans of detectors in each turn, under our names of the types.

    Where two overlap, the first in the detector's order stays.
    """
    pieces = [(number, start, text) for number, turn in enumerate(turns) for start, text in _pieces(turn.content)]
    entities: list[list[Entity]] = [[] for _ in turns]
    for (number, start, _), spans in zip(pieces, find([text for *_, text in pieces]), strict=True):
        entities[number] += _entities(start, spans)
    return [
        Turn(role=turn.role, content=turn.content, entities=tuple(proposed))
        for turn, proposed in zip(turns, entities, strict=True)
    ]


def _pieces(text: str) -> Iterator[tuple[int, str]]:
    """Cut a long text between words."""
    start = 0
    while start < len(text):
        end = start + _LONGEST
        if end < len(text):
            end = max(text.rfind(" ", start + 1, end), text.rfind("\n", start + 1, end), start)
            end = end if end > start else start + _LONGEST
        yield start, text[start:end]
        start = end


def _entities(offset: int, spans: Sequence[Span]) -> list[Entity]:
    """Make entities of spans in a part of a turn, the part at an offset; where two overlap, the first one stays."""
    trimmed = [span for span in map(_trim, spans) if any(map(str.isalnum, span.text))]
    return [
        Entity(type=our_type(span.label), value=span.text, start=offset + span.start, end=offset + span.end)
        for span in resolve_overlaps(trimmed)
    ]


def _trim(span: Span) -> Span:
    text = span.text.strip()
    start = span.start + len(span.text) - len(span.text.lstrip())
    return Span(span.label, start, start + len(text), text)
