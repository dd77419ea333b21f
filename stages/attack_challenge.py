import itertools
from pathlib import Path

from tightlip.cache import MODEL_CODE, ResultCache
from tightlip.dialogues.training_split import training_dialogues
from tightlip.evaluation.attack import Probe, attack, chat_context, constant_guess, probes
from tightlip.files import write_json
from tightlip.models.loading import load_model
from tightlip.models.tokenizer import load_tokenizer
from tightlip.params import load_params
from tightlip.stage import stage_command


@stage_command
def main() -> int:
    """Measure what Model-ch remembers: true values on scrubbed contexts of training dialogues, against the floor."""
    settings = load_params().tune
    train = training_dialogues()
    attacked, others = list(probes(itertools.islice(train, settings.attack_dialogues))), probes(train)
    metrics = {"n_values": len(attacked), "hits_floor": sum(constant_guess(attacked, others))}
    for name in ("base", "ch"):
        metrics[f"hits_{name}"] = sum(_hits(name, attacked, settings.attack_dialogues))
    write_json("metrics/challenge.json", metrics)
    return len(attacked)


def _hits(name: str, attacked: list[Probe], dialogues: int) -> list[bool]:
    def run() -> list[bool]:
        model, tokenizer = load_model(f"models/{name}"), load_tokenizer("models/base")
        return attack(model, tokenizer, attacked, chat_context, batch_size=48, progress=f"attack {name}")

    cache = ResultCache(
        "attack_challenge", inputs=[Path("models", name), Path("data/dialogues.jsonl")],
        params={"attack_dialogues": dialogues}, code=["evaluation/attack.py", *MODEL_CODE],
    )  # fmt: skip
    hits: list[bool] = cache.get(["hits"], run)
    return hits


if __name__ == "__main__":
    main()
