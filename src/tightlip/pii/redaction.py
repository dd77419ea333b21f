"""Output redaction, a baseline that needs no training: capitals, digits and structured values are masked.

It does not use the detector that scores answers: otherwise it would miss exactly what the scorer misses.
"""

import re
from collections.abc import Sequence

from tightlip.pii.patterns import structured
from tightlip.pii.spans import merge_overlaps

MASK = "[REDACTED]"

# Words with a capital letter, several in a row as one, but not the first of a sentence. An answer continues a sentence,
# so that its own first word is none.
_CAPITALS = re.compile(r"(?<![.!?]\s)(?<!\n)\b(?!I\b|I')[A-Z][\w'’\-]*(?:\s+(?:&\s+)?[A-Z][\w'’\-]*)*")
_DIGITS = re.compile(r"[+(]*\b\w*\d(?:[\w\-/()]|[.\s](?=\d))*")


def redact(texts: Sequence[str]) -> list[str]:
    """Mask everything that may be a personal value."""
    masked = []
    for text, shapes in zip(texts, structured(texts), strict=True):
        spans = [(span.start, span.end) for span in shapes]
        spans += [match.span() for pattern in (_CAPITALS, _DIGITS) for match in pattern.finditer(text)]
        masked.append(_mask(text, spans))
    return masked


def _mask(text: str, spans: Sequence[tuple[int, int]]) -> str:
    masked, place = "", 0
    for start, end, _ in merge_overlaps(spans):
        masked += text[place:start] + MASK
        place = end
    return masked + text[place:]
