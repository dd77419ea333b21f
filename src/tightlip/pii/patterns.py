"""Structured personal values (e-mail, phone, card, IBAN, SSN, IP) by Presidio's pattern recognisers alone.

The only module that imports Presidio, and only when a function is called. Presidio's engine, which would load a second
spaCy pipeline, is not used, and with it goes its rise of scores by context words. spaCy has no such classes, so the
paper's filter and count are blind to these values.
"""

import functools
from collections.abc import Sequence
from typing import Any

from tightlip.pii.spans import Span, resolve_overlaps

# Scores that our recognisers give without context: 1.0 checksum passed (card, IBAN), 0.6 IP, 0.5 e-mail and SSN in
# groups of 3-2-4, 0.4 phone. Below 0.4 lie the shapes that mean nothing without context: nine bare digits as an SSN
# (0.05), `::` as an IP (0.1).
THRESHOLD = 0.4

# North American number with the international prefix 001, as Faker writes it; phonenumbers takes it for no number.
_PREFIXED_PHONE = r"\b001[-. ]\(?\d{3}\)?[-. ]\d{3}[-. ]\d{4}(?:x\d{1,5})?\b"

# Presidio's own shape lacks the cards of 12, 13 and 17 to 19 digits and those that start with 2; the checksum decides.
_CARD = r"\b[2-6]\d(?:[- ]?\d){10,17}\b"


@functools.cache
def _recognizers() -> tuple[Any, ...]:
    from presidio_analyzer import Pattern, PatternRecognizer
    from presidio_analyzer.predefined_recognizers import (
        CreditCardRecognizer,
        EmailRecognizer,
        IbanRecognizer,
        IpRecognizer,
        PhoneRecognizer,
        UsSsnRecognizer,
    )

    return (
        # EmailRecognizer's shape without its look at the public suffix list: an address at an invented domain is
        # still given as an address, and tldextract, which would fetch that list, is never called.
        PatternRecognizer(supported_entity="EMAIL_ADDRESS", patterns=EmailRecognizer.PATTERNS),
        # Leniency 0 asks for a possible number, not for an area code in use: invented numbers (555-…) count.
        PhoneRecognizer(supported_regions=("US",), leniency=0),
        # In other regions nearly every number is possible, so only valid ones count. `+…` is found from any region.
        PhoneRecognizer(leniency=1),
        PatternRecognizer("PHONE_NUMBER", patterns=[Pattern("prefix 001", _PREFIXED_PHONE, THRESHOLD)]),
        CreditCardRecognizer([*CreditCardRecognizer.PATTERNS, Pattern("12 to 19 digits", _CARD, 0.3)]),
        IbanRecognizer(),
        UsSsnRecognizer(),
        IpRecognizer(),
    )


def structured(texts: Sequence[str]) -> list[list[Span]]:
    """Find the structured values of each text.

    Labels: EMAIL_ADDRESS, PHONE_NUMBER, CREDIT_CARD, IBAN_CODE, US_SSN, IP_ADDRESS.

    Returns:
        Per text its values in order; of overlapping ones the best score stays, then the longest.
    """
    return [_find(text) for text in texts]


def _find(text: str) -> list[Span]:
    if "@" not in text and not any(char.isdigit() for char in text):
        return []  # every pattern needs one of them, and most answers have neither
    results = [
        result
        for recognizer in _recognizers()
        for result in recognizer.analyze(text, recognizer.supported_entities)
        if result.score >= THRESHOLD
    ]
    best_first = sorted(results, key=lambda result: (-result.score, result.start - result.end, result.start))
    return [
        Span(each.entity_type, each.start, each.end, text[each.start : each.end])
        for each in resolve_overlaps(best_first)
    ]
