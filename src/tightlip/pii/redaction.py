"""Output redaction, a baseline that needs no training: capitals, digits and structured values are masked.

Not the detector that answers are judged with: what the judge does not know must not be what the redactor misses.
"""

import re
from collections.abc import Sequence

from tightlip.pii.patterns import structured

MASK = "[REDACTED]"

# Words with a capital letter, several in a row as one, but not the first of a sentence. An answer continues a sentence,
# so that its own first word is none.
_CAPITALS = re.compile(r"(?<![.!?]\s)(?<!\n)\b(?!I\b|I')[A-Z][\w'’\-]*(?:\s+(?:&\s+)?[A-Z][\w'’\-]*)*")
_DIGITS = re.compile(r"[+(]*\b\w*\d(?:[\w\-/()]|[.\s](?=\d))*")


def redact(texts: Sequence[str]) -> list[str]:
    """Mask everything that may be a personal value."""
    masked = []
    for text, found in zip(texts, structured(texts), strict=True):
        spans = [(span.start, span.end) for span in found]
        spans += [match.span() for pattern in (_CAPITALS, _DIGITS) for match in pattern.finditer(text)]
        masked.append(_mask(text, spans))
    return masked


def _mask(text: str, spans: Sequence[tuple[int, int]]) -> str:
    out, place = "", 0
    for start, end in sorted(spans):
        if start >= place:
            out += text[place:start] + MASK
        place = max(place, end)
    return out + text[place:]
