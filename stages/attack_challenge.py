import functools
import itertools
from pathlib import Path

from tightlip.evaluation.attack import Probe, attack, chat_context, constant_guess, probes
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
    train = (row for row in stream_jsonl("data/dialogues.jsonl", Dialogue) if row.split == "train")
    attacked, others = list(probes(itertools.islice(train, settings.attack_dialogues))), probes(train)
    figures = {"n_values": len(attacked), "hits_floor": sum(constant_guess(attacked, others))}
    for name in ("base", "ch"):
        told = (str(settings.attack_dialogues), Path("models", name), Path("data/dialogues.jsonl"))
        key = digest(*told, *code("evaluation/attack.py", "guidance", "models", "prompts.py"))
        hits = kept(scratch("attack_challenge", key) / "hits.json", functools.partial(_hits, name, attacked))
        figures[f"hits_{name}"] = sum(hits)
    write_json("metrics/challenge.json", figures)
    return len(attacked)


def _hits(name: str, attacked: list[Probe]) -> list[bool]:
    model, tokenizer = load_model(f"models/{name}"), load_tokenizer("models/base")
    return attack(model, tokenizer, attacked, chat_context, batch_size=48, progress=f"attack {name}")


if __name__ == "__main__":
    main()
