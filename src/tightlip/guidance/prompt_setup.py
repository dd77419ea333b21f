"""Under which sentence and guidance a model is prompted in a test."""

from dataclasses import dataclass

from tightlip.records import Condition, Negative
from tightlip.table_rows import UNGUIDED, Guidance, TableRow


@dataclass(frozen=True)
class PromptSetup:
    """The sentence and the guidance under which prompts are put to a model.

    Attributes:
        condition: which guidance sentence the (positive) system prompt carries.
        guidance: at γ other than 1, a negative sentence drives a second branch.
        negative: which sentence that is.
        redacted: whether answers are masked afterwards (`pii.redaction`).
    """

    condition: Condition
    guidance: Guidance = UNGUIDED
    negative: Negative = "negative"
    redacted: bool = False

    def __str__(self) -> str:
        marks = [self.negative] if self.guidance.needs_negative else []
        return " ".join([self.condition, str(self.guidance), *marks, *(["redacted"] if self.redacted else [])])


BARE = PromptSetup("none")
"""No sentence, no guidance."""

TRIGGER = PromptSetup("negative")
"""The negative sentence as system prompt, as anyone may send it."""


def as_deployed(row: TableRow, negative: Negative = "negative") -> PromptSetup:
    """Return how a row's model is meant to be run: with the defence sentence and guidance, or with neither.

    Args:
        row: with its guidance.
        negative: the sentence that its adapter was trained with (`models.adapter_metadata`).
    """
    redacted = row.treatment == "redacted"
    if row.guidance is None:
        return PromptSetup("none", redacted=redacted)
    return PromptSetup("positive", row.guidance, negative if row.guidance.needs_negative else "negative", redacted)
