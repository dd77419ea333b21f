"""Recorded answers side by side, with every personal value masked."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from tightlip.masking import Piece, mask_all
from tightlip.pii.lookup import ValueIndex
from tightlip.pii.spans import FindSpans
from tightlip.records import Dialogue, LeakOutcome, Sample

IMPERSONAL = ("CARDINAL", "ORDINAL", "PRODUCT")
"""Entity labels that are never masked."""


class Reply(NamedTuple):
    """One side's answer.

    Attributes:
        title: whose it is.
        pieces: the answer, masked.
        leaks: true values in it; None for the original, which was not judged.
        degenerate: why it is not worth reading, or None.
    """

    title: str
    pieces: list[Piece]
    leaks: int | None
    degenerate: str | None


class Comparison(NamedTuple):
    """A test prompt with its answers."""

    sample_id: str
    user: list[Piece]
    prefix: list[Piece]
    replies: list[Reply]


def true_values(dialogues: Iterable[Dialogue]) -> ValueIndex:
    """Index the true values of all dialogues."""
    return ValueIndex(value for dialogue in dialogues for value in dialogue.values)


def side_by_side(
    samples: Sequence[Sample],
    recorded: Mapping[str, Mapping[str, LeakOutcome]],
    values: ValueIndex,
    detect: FindSpans,
    limit: int,
) -> list[Comparison]:
    """Mask the first test prompts that every side answered, and their answers.

    Args:
        samples: the test samples.
        recorded: title of a side → sample id → outcome.
        values: those of all dialogues, from `true_values`.
        detect: finds what may be personal in each of some texts.
        limit: how many prompts.
    """
    answered = [sample for sample in samples if all(sample.id in outcomes for outcomes in recorded.values())]
    return [
        _compare(sample, {title: outcomes[sample.id] for title, outcomes in recorded.items()}, values, detect)
        for sample in answered[:limit]
    ]


def _compare(sample: Sample, outcomes: Mapping[str, LeakOutcome], values: ValueIndex, detect: FindSpans) -> Comparison:
    given = [outcome.answer for outcome in outcomes.values()]
    texts = [text.strip() for text in (sample.messages[-1].content, sample.prefix, sample.completion, *given)]
    user, prefix, original, *masked = (
        mask_all(text, sample.truths, values, found) for text, found in zip(texts, detect(texts), strict=True)
    )
    replies = [Reply("original", original, None, None)]
    replies += [
        Reply(title, pieces, len(outcome.leaks), outcome.degenerate)
        for (title, outcome), pieces in zip(outcomes.items(), masked, strict=True)
    ]
    return Comparison(sample.id, user, prefix, replies)
