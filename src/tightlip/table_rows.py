"""Rows of the tables, named by keys such as `ch-lora-cfg_e2_g300_log`: model, adapter, epoch and way of guiding."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

Space = Literal["log", "prob"]
ModelName = Literal["ch", "sub"]
Treatment = Literal["int8", "redacted"]


@dataclass(frozen=True)
class Guidance:
    """How the two branches of classifier-free guidance are combined (`guidance.combine`).

    Attributes:
        scale: guidance scale γ ≥ 0; 1 is the positive branch alone.
        space: `log` combines log-probabilities, `prob` probabilities.
        plausibility: share of the positive branch's largest probability below which a token is dropped.
    """

    scale: float = 1.0
    space: Space = "log"
    plausibility: float = 0.0

    @property
    def needs_negative(self) -> bool:
        """Whether the negative branch makes a difference."""
        return self.scale != 1

    def __str__(self) -> str:
        return f"γ={self.scale:g}, {self.space}" if self.needs_negative else "γ=1"


UNGUIDED = Guidance()
"""The positive branch alone."""


@dataclass(frozen=True)
class TableRow:
    """A row of the tables.

    Attributes:
        key: name, as in `metrics/summary.json`.
        model: the model under test.
        variant: the adapter's name, or None for the model as it is.
        epoch: the adapter's epoch.
        guidance: γ and space; None where no defence sentence is given at all.
        treatment: `int8` rounds the weights, `redacted` masks the answers.
        seed: of which training, where it is not the first (`params.Train.seeds`).
    """

    key: str
    model: ModelName
    variant: str | None
    epoch: int | None
    guidance: Guidance | None
    treatment: Treatment | None = None
    seed: int | None = None

    @property
    def checkpoint(self) -> str:
        """Name of the weights alone: `ch`, `ch-lora-cfg_e2` or `ch-lora-cfg_e2_int8`."""
        weights = f"{self.variant}_e{self.epoch}" if self.variant else self.model
        return f"{weights}_int8" if self.treatment == "int8" else weights

    @property
    def outcomes(self) -> Path:
        """Directory of the recorded outcomes: `leaks.jsonl`, `utility.jsonl` and, in Table 3, `extended.jsonl`."""
        return Path("data/rows", self.checkpoint, self.key, self._training)

    @property
    def adapter(self) -> Path | None:
        """Directory of the adapter."""
        return Path("adapters", self.variant, self._training, f"epoch_{self.epoch}") if self.variant else None

    @property
    def _training(self) -> str:
        return "" if self.seed is None else f"seed_{self.seed}"


def parse_guidance(text: str) -> Guidance:
    """Read `g100`, `g200_log` or `g250_prob`.

    Raises:
        ValueError: another form, or γ = 1 with a space (both spaces are the same there).
    """
    match = re.fullmatch(r"g([0-9]{1,5})(?:_(log|prob))?", text)
    if not match or (match[1] == "100") != (match[2] is None):
        raise ValueError(f"{text!r} is no guidance; write g100 for γ = 1, g250_prob or g250_log for γ = 2.5")
    return Guidance(int(match[1]) / 100, "prob" if match[2] == "prob" else "log")


def parse_row(key: str) -> TableRow:
    """Read a row key such as `ch`, `ch_g100`, `ch-lora-cfg_e2_g300_log` or `ch-lora_e2_g100_int8`.

    Raises:
        ValueError: the key has another form.
    """
    bare, treatment = key, None
    for each in get_args(Treatment):
        if key.endswith(f"_{each}"):
            bare, treatment = key.removesuffix(f"_{each}"), each
    match = re.fullmatch(r"(ch|sub)(?:-([a-z0-9-]+)_e([0-9]{1,5}))?(?:_(g[0-9]+(?:_[a-z]+)?))?", bare)
    if not match or (match[2] and not match[4]):
        raise ValueError(f"{key!r} is no row; write ch, ch_g100 or ch-lora-cfg_e2_g300_prob")
    return TableRow(
        key=key,
        model="ch" if match[1] == "ch" else "sub",
        variant=f"{match[1]}-{match[2]}" if match[2] else None,
        epoch=int(match[3]) if match[3] else None,
        guidance=parse_guidance(match[4]) if match[4] else None,
        treatment=treatment,
    )
