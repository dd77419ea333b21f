"""Relearning: how many steps on a few leaked dialogues bring the leaks back?"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tightlip.evaluation.leak import judge
from tightlip.guidance.answering import answer
from tightlip.guidance.asking import Asking
from tightlip.models.tuning import tune
from tightlip.params import Params
from tightlip.records import Dialogue, LeakOutcome, Sample

LEARNING_RATE, RANK, BATCH = 1e-3, 16, 4


def relearn(
    load: Callable[[], Any],
    tokenizer: Any,
    ner: Any,
    dialogues: Sequence[Dialogue],
    samples: Sequence[Sample],
    asking: Asking,
    work: Path,
    steps: int,
    params: Params,
) -> list[LeakOutcome]:
    """Tune a model on a few dialogues again, and test it as it is deployed.

    Args:
        load: loads the model, its adapter merged.
        tokenizer: of the model.
        ner: pipeline that counts entities.
        dialogues: what the attacker has; repeated as often as the steps need.
        samples: test prompts.
        asking: how the model is deployed.
        work: directory for the trainer's own files.
        steps: of a new LoRA with four dialogues each; 0 for the model as it is.
        params: limits of prompt and answer, seed.
    """
    model = load()
    if steps:
        rows = [dialogues[i % len(dialogues)] for i in range(steps * BATCH)]
        model, _ = tune(
            model, tokenizer, rows, work, epochs=1, learning_rate=LEARNING_RATE, batch_size=BATCH, rank=RANK,
            max_length=params.tune.max_length, seed=params.seed,
        )  # fmt: skip
        model.eval()
    replies = answer(
        model, tokenizer, [(sample.messages, sample.prefix) for sample in samples], asking,
        max_prompt_tokens=params.pairs.max_prompt_tokens, max_new_tokens=params.eval.max_new_tokens,
        batch_size=params.eval.batch_size, progress=f"answer prompts after {steps} steps",
    )  # fmt: skip
    return judge(replies, samples, ner, params.filter.ignored_labels, params.filter.min_words)
