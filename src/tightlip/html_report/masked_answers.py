"""Recorded answers to the same prompts, with every personal value masked."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from tightlip.masking import Piece, mask_all
from tightlip.pii.lookup import ValueIndex
from tightlip.pii.spans import FindSpans
from tightlip.records import Dialogue, LeakOutcome, Sample

IMPERSONAL = ("CARDINAL", "ORDINAL", "PRODUCT")
"""Entity labels that are never masked."""


class MaskedAnswer(NamedTuple):
    """An answer to a test prompt, masked.

    Attributes:
        title: who wrote it.
        pieces: the answer, masked.
        leaks: number of true values in it; None for the original, in which they are no leaks.
        degenerate: why it is not worth reading, or None.
    """

    title: str
    pieces: list[Piece]
    leaks: int | None
    degenerate: str | None


class AnsweredPrompt(NamedTuple):
    """A test prompt with its answers, all masked."""

    sample_id: str
    user: list[Piece]
    prefix: list[Piece]
    answers: list[MaskedAnswer]


def true_values(dialogues: Iterable[Dialogue]) -> ValueIndex:
    """Index the true values of all dialogues."""
    return ValueIndex(value for dialogue in dialogues for value in dialogue.values)


def mask_answers(
    samples: Sequence[Sample],
    recorded: Mapping[str, Mapping[str, LeakOutcome]],
    values: ValueIndex,
    detect: FindSpans,
    limit: int,
) -> list[AnsweredPrompt]:
    """Mask the first test prompts that every row answered, and their answers.

    Args:
        samples: the test samples.
        recorded: title of a row → sample id → outcome.
        values: those of all dialogues, from `true_values`.
        detect: detectors of personal data, called with many texts at once.
        limit: how many prompts.
    """
    answered = [sample for sample in samples if all(sample.id in outcomes for outcomes in recorded.values())]
    return [
        _mask_prompt(sample, {title: outcomes[sample.id] for title, outcomes in recorded.items()}, values, detect)
        for sample in answered[:limit]
    ]


def _mask_prompt(
    sample: Sample, outcomes: Mapping[str, LeakOutcome], values: ValueIndex, detect: FindSpans
) -> AnsweredPrompt:
    written = [outcome.answer for outcome in outcomes.values()]
    texts = [text.strip() for text in (sample.messages[-1].content, sample.prefix, sample.completion, *written)]
    user, prefix, original, *masked = (
        mask_all(text, sample.truths, values, spans) for text, spans in zip(texts, detect(texts), strict=True)
    )
    answers = [MaskedAnswer("original", original, None, None)]
    answers += [
        MaskedAnswer(title, pieces, len(outcome.leaks), outcome.degenerate)
        for (title, outcome), pieces in zip(outcomes.items(), masked, strict=True)
    ]
    return AnsweredPrompt(sample.id, user, prefix, answers)
