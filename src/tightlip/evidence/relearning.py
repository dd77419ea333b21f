"""Relearning: how many steps on a few leaked dialogues bring the leaks back?"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tightlip.models.tuning import tune
from tightlip.records import Dialogue

LEARNING_RATE, RANK, BATCH = 1e-3, 16, 4


def relearn(
    model: Any,
    tokenizer: Any,
    dialogues: Sequence[Dialogue],
    work: Path,
    *,
    steps: int,
    max_length: int,
    seed: int,
    save_seconds: float,
) -> Any:
    """Tune a defended model on a few dialogues again, as whoever has its weights might.

    Args:
        model: the model, its adapter merged.
        tokenizer: of the model.
        dialogues: what the attacker has; repeated as often as the steps need.
        work: directory of the checkpoints; its name must decide all of the tuning.
        steps: of a new LoRA with four dialogues each; 0 leaves the model as it is.
        max_length, seed, save_seconds: see `tuning.tune`.
    """
    if not steps:
        return model
    rows = [dialogues[i % len(dialogues)] for i in range(steps * BATCH)]
    tuned, _ = tune(
        model, tokenizer, rows, work, epochs=1, learning_rate=LEARNING_RATE, batch_size=BATCH, rank=RANK,
        max_length=max_length, seed=seed, save_seconds=save_seconds,
    )  # fmt: skip
    return tuned.eval()
