"""Personal values that nobody has marked, as detectors see them: named entities and structured values."""

import functools
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING

from tightlip.dialogues.importers.truths import our_type
from tightlip.pii.detectors import Span, entities, load_ner
from tightlip.pii.patterns import structured
from tightlip.records import Entity, Turn

if TYPE_CHECKING:
    from spacy.language import Language

Detect = Callable[[Sequence[str]], list[list[Span]]]

_LONGEST = 20_000
"""Characters of a turn that a detector reads at once."""


def detector(spacy_model: str, ignored_labels: Collection[str]) -> Detect:
    """Return what finds structured values and named entities, in this order; the pipeline is loaded when needed."""

    @functools.cache
    def pipeline() -> "Language":
        return load_ner(spacy_model)

    def detect(texts: Sequence[str]) -> list[list[Span]]:
        with pipeline().memory_zone():  # else spaCy keeps every word that it has ever seen
            named = entities(pipeline(), texts, ignored_labels)
        return [[*shapes, *names] for names, shapes in zip(named, structured(texts), strict=True)]

    return detect


def propose(turns: Sequence[Turn], detect: Detect) -> list[Turn]:
    """Mark in each turn what detectors find, under our names of the types.

    Where two overlap, the first that the detector gives stays.
    """
    pieces = [(number, start, text) for number, turn in enumerate(turns) for start, text in _pieces(turn.content)]
    found: list[list[Entity]] = [[] for _ in turns]
    for (number, start, _), spans in zip(pieces, detect([text for *_, text in pieces]), strict=True):
        found[number] += _apart(start, spans)
    return [
        Turn(role=turn.role, content=turn.content, entities=tuple(entities))
        for turn, entities in zip(turns, found, strict=True)
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


def _apart(offset: int, spans: Sequence[Span]) -> list[Entity]:
    kept: list[Span] = []
    for span in spans:
        text = span.text.strip()
        start = span.start + len(span.text) - len(span.text.lstrip())
        span = Span(span.label, start, start + len(text), text)
        if any(map(str.isalnum, text)) and all(span.end <= other.start or other.end <= span.start for other in kept):
            kept.append(span)
    return [
        Entity(type=our_type(span.label), value=span.text, start=offset + span.start, end=offset + span.end)
        for span in sorted(kept, key=lambda span: span.start)
    ]
