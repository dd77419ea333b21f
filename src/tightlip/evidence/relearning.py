"""Relearning: how many steps on a few leaked dialogues bring the leaks back?"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tightlip.cache import MODEL_CODE, ResultCache
from tightlip.evaluation.evaluator import Evaluator, LoadedModel, answer_cache
from tightlip.guidance.prompt_setup import BARE, as_deployed
from tightlip.models.adapter_metadata import trained_negative
from tightlip.models.loading import load_model
from tightlip.models.tokenizer import load_tokenizer
from tightlip.models.tuning import tune
from tightlip.params import Params, Tune
from tightlip.records import Dialogue, LeakOutcome, Sample
from tightlip.table_rows import parse_row

LEARNING_RATE, RANK, BATCH = 1e-3, 16, 4
CODE = ("evidence/relearning.py", *MODEL_CODE)


def relearned_leaks(
    key: str, steps: int, dialogues: Sequence[Dialogue], samples: Sequence[Sample], params: Params
) -> list[LeakOutcome]:
    """Tune a row's model on leaked dialogues again and test it as deployed.

    Args:
        key: of the row; `base` is the model that was never tuned, without sentence and guidance.
        steps, dialogues: see `relearn`.
        samples: test prompts.
        params: parameters of the project.
    """
    row = parse_row(key) if key != "base" else None
    path, adapter = Path("models", row.model if row else "base"), row.adapter if row else None
    setup = as_deployed(row, trained_negative(adapter)) if row else BARE
    weights = [path, *([adapter] if adapter else [])]
    settings = {
        "steps": steps, "seed": params.seed, "max_length": params.tune.max_length,
        "dialogues": [dialogue.model_dump() for dialogue in dialogues],
    }  # fmt: skip

    def load() -> LoadedModel:
        model, tokenizer = load_model(path, adapter=adapter), load_tokenizer(path)
        cache = ResultCache(f"relearn_leaks/{key}_{steps}", inputs=weights, params=settings, code=CODE)
        with cache.training_dir() as work:
            return LoadedModel(relearn(model, tokenizer, dialogues, work, steps, params), tokenizer)

    cache = answer_cache(weights, params, {"relearning": settings}, CODE)
    return Evaluator(load, cache, params).leaks(samples, [setup])[setup]


def relearn(model: Any, tokenizer: Any, dialogues: Sequence[Dialogue], work: Path, steps: int, params: Params) -> Any:
    """Tune a defended model on a few dialogues again, as whoever has its weights might.

    Args:
        model: the model, its adapter merged.
        tokenizer: of the model.
        dialogues: what the attacker has; repeated as often as the steps need.
        work: directory of the checkpoints; its name must decide all of the tuning.
        steps: of a new LoRA with four dialogues each; 0 leaves the model as it is.
        params: `seed`, `tune.max_length` and `train.save_seconds` count.
    """
    if not steps:
        return model
    rows = [dialogues[i % len(dialogues)] for i in range(steps * BATCH)]
    settings = Tune(
        epochs=1, learning_rate=LEARNING_RATE, batch_size=BATCH, rank=RANK, max_length=params.tune.max_length
    )
    tuned, _ = tune(model, tokenizer, rows, work, settings, seed=params.seed, save_seconds=params.train.save_seconds)
    return tuned.eval()
