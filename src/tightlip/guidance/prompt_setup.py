"""How a model is asked in a test: the sentence in its system prompt, the guidance scale and the space."""

from dataclasses import dataclass

from tightlip.records import Condition, Negative
from tightlip.table_rows import Space, TableRow


@dataclass(frozen=True)
class PromptSetup:
    """How test prompts are put to a model.

    Attributes:
        condition: which guidance sentence the (positive) system prompt carries.
        scale: guidance scale γ; other than 1, a negative sentence drives a second branch.
        space: in which the branches are combined.
        negative: which sentence that is.
        redacted: whether answers are masked afterwards (`pii.redaction`).
    """

    condition: Condition
    scale: float = 1.0
    space: Space = "prob"
    negative: Negative = "negative"
    redacted: bool = False

    def __str__(self) -> str:
        marks = [self.space, self.negative] if self.scale != 1 else []
        return " ".join([self.condition, f"γ={self.scale:g}", *marks, *(["redacted"] if self.redacted else [])])


BARE = PromptSetup("none")
"""No sentence, no guidance."""

TRIGGER = PromptSetup("negative")
"""The negative sentence as system prompt, as anyone may send it."""


def as_deployed(row: TableRow, negative: Negative = "negative") -> PromptSetup:
    """Return how a row's model is meant to be run: the defence sentence and guidance, or neither.

    Args:
        row: with γ and space.
        negative: the sentence that its adapter was trained with (`models.adapter_metadata`).
    """
    redacted = row.treatment == "redacted"
    if row.guidance_scale is None:
        return PromptSetup("none", redacted=redacted)
    if row.guidance_scale == 1:
        return PromptSetup("positive", redacted=redacted)
    return PromptSetup("positive", row.guidance_scale, row.space, negative, redacted)
