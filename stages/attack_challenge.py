import functools
from pathlib import Path

from tightlip.evaluation.attack import attack, chat_context, constant_guess, probes
from tightlip.files import digest, kept, stream_jsonl, write_json
from tightlip.models.chat import load_tokenizer
from tightlip.models.loading import load_model
from tightlip.params import load_params
from tightlip.records import Dialogue
from tightlip.stage import code, scratch, stage_command


@stage_command
def main() -> int:
    """Measure what Model-ch remembers: true values on scrubbed contexts of training dialogues, against the floor."""
    settings = load_params().tune
    train = [row for row in stream_jsonl("data/dialogues.jsonl", Dialogue) if row.split == "train"]
    attacked, others = probes(train[: settings.attack_dialogues]), probes(train[settings.attack_dialogues :])
    tokenizer = load_tokenizer("models/base")
    figures = {"n_values": len(attacked), "hits_floor": sum(constant_guess(attacked, others))}
    for name in ("base", "ch"):
        told = (str(settings.attack_dialogues), Path("models", name), Path("data/dialogues.jsonl"))
        key = digest(*told, *code("evaluation/attack.py", "guidance", "models", "prompts.py"))
        run = functools.partial(attack, load_model(f"models/{name}"), tokenizer, attacked, chat_context, batch_size=48)
        hits = kept(scratch("attack_challenge", key) / "hits.json", functools.partial(run, progress=f"attack {name}"))
        figures[f"hits_{name}"] = sum(hits)
    write_json("metrics/challenge.json", figures)
    return len(attacked)


if __name__ == "__main__":
    main()
