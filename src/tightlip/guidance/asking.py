"""How a model is asked in a test: the sentence in its system prompt, the guidance scale and the space."""

from dataclasses import dataclass

from tightlip.records import Condition
from tightlip.rows import Row, Space


@dataclass(frozen=True)
class Asking:
    """How test prompts are put to a model.

    Attributes:
        condition: which guidance sentence the (positive) system prompt carries.
        scale: guidance scale γ; other than 1, the negative sentence drives a second branch.
        space: in which the branches are combined.
    """

    condition: Condition
    scale: float = 1.0
    space: Space = "prob"

    def __str__(self) -> str:
        return f"{self.condition} γ={self.scale:g}" + (f" {self.space}" if self.scale != 1 else "")


BARE = Asking("none")
"""No sentence, no guidance."""

TRIGGER = Asking("negative")
"""The negative sentence as system prompt, as anyone may send it."""


def as_deployed(row: Row) -> Asking:
    """Return how a row's model is meant to be run: the defence sentence and guidance, or neither."""
    if row.guidance_scale is None:
        return BARE
    return Asking("positive") if row.guidance_scale == 1 else Asking("positive", row.guidance_scale, row.space)
