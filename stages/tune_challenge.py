from pathlib import Path

import pandas as pd
import torch

from tightlip.cache import MODEL_CODE, ResultCache
from tightlip.dialogues.training_split import training_dialogues
from tightlip.files import atomic_dir, atomic_file
from tightlip.models.fetching import fetch
from tightlip.models.loading import load_model
from tightlip.models.task_vector import same_architecture
from tightlip.models.tokenizer import load_tokenizer, same_tokenizer
from tightlip.models.tuning import tune
from tightlip.params import load_params
from tightlip.stage import stage_command


@stage_command
def main() -> int:
    """Tune the base model on the training dialogues until it leaks (Model-ch)."""
    params = load_params()
    train = list(training_dialogues())
    settings = params.tune
    tokenizer = load_tokenizer("models/base")
    history = [{"step": 0, "epoch": 0.0, "loss": float("nan")}]
    cache = ResultCache(
        "tune_challenge", inputs=[Path("models/base"), Path("data/dialogues.jsonl")], code=MODEL_CODE,
        params={"tune": settings.model_dump(exclude={"attack_dialogues"}), "seed": params.seed},
    )  # fmt: skip
    with cache.training_dir() as work, atomic_dir("models/ch") as out:
        if settings.given:
            fetch(settings.given, params.seed, out, "tune.given")
            same_architecture(Path("models/base"), out, "tune.given")
            same_tokenizer(tokenizer, load_tokenizer(out), "tune.given")
        else:
            model, history = tune(
                load_model("models/base"), tokenizer, train, work, settings, seed=params.seed,
                save_seconds=params.train.save_seconds,
            )  # fmt: skip
            model.to(getattr(torch, params.base.dtype)).save_pretrained(out)
            tokenizer.save_pretrained(out)
    with atomic_file("metrics/curves/ch.csv") as path:
        pd.DataFrame(history).to_csv(path, index=False)
    return len(train)


if __name__ == "__main__":
    main()
