"""How good the detectors are: precision, recall and F2 against the ground truth of the dialogues."""

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from typing import NamedTuple

from tightlip.pii.detectors import Span
from tightlip.records import Turn

TYPES: dict[str, tuple[str, ...]] = {
    "PERSON": ("NAME",),
    "ORG": ("ORG",),
    "GPE": ("LOC", "ADDRESS"),
    "LOC": ("LOC", "ADDRESS"),
    "FAC": ("ADDRESS", "LOC", "ORG"),
    "DATE": ("DATE",),
    "EMAIL_ADDRESS": ("EMAIL",),
    "PHONE_NUMBER": ("PHONE",),
    "US_SSN": ("SSN",),
}
"""True types that a detector's label stands for; other labels stand for none."""


class Quality(NamedTuple):
    """Quality of a detector on one type of value.

    Attributes:
        n_true: true values in the texts.
        n_found: those that a span of any label overlaps; a filter rejects them whatever the label.
        n_spans: spans whose label stands for the type.
        n_right: those that overlap a true value of any type.
    """

    n_true: int
    n_found: int
    n_spans: int
    n_right: int

    @property
    def metrics(self) -> dict[str, float | int | None]:
        """Counts, precision, recall and F2 = 5 P R / (4 P + R); None where nothing was to be counted."""
        recall = self.n_found / self.n_true if self.n_true else None
        precision = self.n_right / self.n_spans if self.n_spans else None
        f2 = None
        if recall is not None and precision is not None:
            f2 = 5 * precision * recall / (4 * precision + recall) if precision + recall else 0.0
        rounded = {name: None if x is None else round(x, 4) for name, x in
                   (("precision", precision), ("recall", recall), ("f2", f2))}  # fmt: skip
        return self._asdict() | rounded


def qualities(turns: Sequence[Turn], spans: Sequence[Collection[Span]]) -> dict[str, Quality]:
    """Count per type of true value, and over all as `all`.

    Args:
        turns: texts with their true values.
        spans: of a detector, per text.
    """
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for turn, turn_spans in zip(turns, spans, strict=True):
        for entity in turn.entities:
            hit = any(span.start < entity.end and entity.start < span.end for span in turn_spans)
            for kind in (entity.type, "all"):
                counts[kind].update(n_true=1, n_found=int(hit))
        for span in turn_spans:
            right = any(span.start < entity.end and entity.start < span.end for entity in turn.entities)
            for kind in (*TYPES.get(span.label, ()), "all"):
                counts[kind].update(n_spans=1, n_right=int(right))
    return {kind: Quality(*(counts[kind][name] for name in Quality._fields)) for kind in sorted(counts)}
