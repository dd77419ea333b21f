"""Task vectors: three models in memory and `load_state_dict` against reading and writing part by part."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from measure import Seconds, alternate, peak_memory_mb, ratio
from transformers import AutoModelForCausalLM, LlamaConfig

from tightlip.models.task_vector import subtract

SCALE = 0.5


def make(path: Path, seed: int) -> None:
    """Write a Llama of 4 GB in bf16 with random weights, in files of at most 1 GB."""
    config = LlamaConfig(
        vocab_size=32_000, hidden_size=2048, intermediate_size=8192, num_hidden_layers=32, num_attention_heads=16,
        num_key_value_heads=4, tie_word_embeddings=True, dtype="bfloat16",
    )  # fmt: skip
    torch.manual_seed(seed)
    AutoModelForCausalLM.from_config(config).save_pretrained(path, max_shard_size="1GB")


def ours(base: str, tuned: str, out: str) -> None:
    """Subtract part by part."""
    _fresh(out)
    subtract(Path(base), Path(tuned), Path(out), SCALE, "identity")


def stock(base: str, tuned: str, out: str) -> None:
    """Subtract as one writes it down."""
    _fresh(out)
    left = AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16)
    right = AutoModelForCausalLM.from_pretrained(tuned, dtype=torch.bfloat16)
    result = AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16)
    tuned_weights, subtracted = right.state_dict(), {}
    for name, base_weight in left.state_dict().items():
        delta = tuned_weights[name].float() - base_weight.float()
        subtracted[name] = (base_weight.float() - SCALE * delta).to(torch.bfloat16)
    result.load_state_dict(subtracted)
    result.save_pretrained(out)


def copy(base: str, tuned: str, out: str) -> None:
    """Read both models and write one: the least that there is to do."""
    _fresh(out)
    for file in sorted(Path(tuned).glob("*.safetensors")):
        with file.open("rb") as handle:
            while handle.read(2**23):
                pass
    for file in sorted(Path(base).glob("*.safetensors")):
        with file.open("rb") as source, (Path(out) / file.name).open("wb") as result:
            shutil.copyfileobj(source, result, 2**23)


def _fresh(out: str) -> None:
    shutil.rmtree(out, ignore_errors=True)
    Path(out).mkdir()


def measure() -> Iterator[tuple[str, float, Seconds]]:
    """Yield figure, value and the measurements of each side."""
    with tempfile.TemporaryDirectory() as work:
        places = [f"{work}/{name}" for name in ("base", "tuned", "out")]
        for seed, place in enumerate(places[:2]):
            make(Path(place), seed)
        sides = {"copy": lambda: copy(*places), "tightlip": lambda: ours(*places), "stock": lambda: stock(*places)}
        seconds = alternate(sides)
        yield "subtract_time_over_copy", ratio(seconds, "tightlip", "copy"), seconds
        yield "subtract_speedup", ratio(seconds, "stock", "tightlip"), seconds
        peaks = {
            side: [peak_memory_mb(f"task_vectors:{name}", *places)]
            for side, name in (("tightlip", "ours"), ("stock", "stock"))
        }
        yield "subtract_peak_memory_mb", round(peaks["tightlip"][0]), peaks
