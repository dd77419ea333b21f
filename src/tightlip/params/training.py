"""Trainings on the pairs."""

from typing import Literal

from pydantic import Field

from tightlip.params.block import Block, Count, Name, Seeds
from tightlip.table_rows import ModelName


class Variant(Block):
    """A model tuned on a dataset.

    Attributes:
        model: which model carries the adapter.
        dataset: which pairs it is trained on.
        objective: `orpo`, or for comparison `dpo` or `sft` (fine-tuning on the chosen answers alone).
        nll_on: overrides `Orpo.nll_on`.
        seeds: overrides `Train.seeds`.
        learning_rate: overrides `Train.learning_rate`.
    """

    model: ModelName
    dataset: str
    objective: Literal["orpo", "dpo", "sft"] = "orpo"
    nll_on: Literal["completion", "sequence"] | None = None
    seeds: Seeds | None = None
    learning_rate: float | None = Field(None, gt=0, lt=1)


class Orpo(Block):
    """The ORPO objective (arXiv 2403.07691).

    Attributes:
        beta: weight of the odds-ratio term.
        nll_on: `completion` masks the prompt in the likelihood term, `sequence` is TRL's and the paper's way.
    """

    beta: float = Field(0.1, gt=0)
    nll_on: Literal["completion", "sequence"] = "completion"


class Dpo(Block):
    """The DPO objective (arXiv 2305.18290).

    Attributes:
        beta: weight of the divergence from the untrained model.
    """

    beta: float = Field(0.1, gt=0)


class Lora(Block):
    """LoRA on all linear layers.

    Attributes:
        rank: r.
        alpha: α; the update is scaled by α/r.
        dropout: probability of dropping an input of the adapter.
        keep: share of the trained update that the kept adapters apply, in (0, 1]; below 1, the weights lie between
            the untrained and the trained model's (WiSE-FT, arXiv 2109.01903).
    """

    rank: Count = 16
    alpha: Count = 32
    dropout: float = Field(0.01, ge=0, lt=1)
    keep: float = Field(1.0, gt=0, le=1)


class Train(Block):
    """ORPO training.

    Attributes:
        epochs: passes over the pairs; the adapter of each is kept.
        batch_size: pairs per step.
        learning_rate: peak rate of AdamW; cosine down to `min_learning_rate_ratio` of it, no warm-up.
        max_grad_norm: gradient clipping.
        save_seconds: seconds between checkpoints, from which an interrupted training, of Model-ch too, is resumed; the
            result does not depend on it.
        seeds: every variant is trained once per seed, and its rows are the means of these trainings; the first one's
            adapters are those that chat, the registry and the attacks take.
        variants: trainings by name.
    """

    epochs: Count = 3
    batch_size: Count = 2
    learning_rate: float = Field(1e-4, gt=0, lt=1)
    min_learning_rate_ratio: float = Field(0.1, ge=0, le=1)
    max_grad_norm: float = Field(1.0, gt=0)
    save_seconds: float = Field(60.0, ge=0)
    seeds: Seeds = (0,)
    orpo: Orpo = Orpo()
    dpo: Dpo = Dpo()
    lora: Lora = Lora()
    variants: dict[Name, Variant] = Field(min_length=1)
