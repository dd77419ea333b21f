"""Loading models from a directory."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from tightlip import cpu
from tightlip.failures import remedy
from tightlip.files import read_json
from tightlip.models.model_files import need_file, reason
from tightlip.models.safetensors_index import find_tensors


def load_model(path: str | Path, dtype: str | None = None, adapter: str | Path | None = None) -> Any:
    """Load a causal language model in eval mode on the best device at hand.

    Args:
        path: directory with config and safetensors.
        dtype: `float32` or `bfloat16`; None takes the stored type. Where bfloat16 is emulated it becomes float32.
        adapter: directory of a PEFT adapter to attach and merge into the weights in memory.

    Raises:
        ValueError: the directory is missing or holds no model, or one that is broken or needs code of its own.
    """
    path = Path(path)
    need_file(path / "config.json", f"{path}: no model here")
    find_tensors(path)
    model = _load(path, "auto" if dtype is None else getattr(torch, dtype))
    if adapter is not None:
        model = _attach(model, Path(adapter))
    return cpu.use_grouped_attention(cpu.widen(model.to(device())).eval())


def check_config(path: Path) -> None:
    """Check, before memory is taken for it, that a model's config asks for no more than its files hold.

    Raises:
        ValueError: it asks for more layers or wider ones, for quantized weights, or for a model that does not load.
    """
    tensors, config = find_tensors(path), read_json(path / "config.json")
    check_quantization(config, str(path))
    layers = config.get("num_hidden_layers", 0) if isinstance(config, dict) else None
    fits = isinstance(layers, int) and layers <= len(tensors)
    if fits:
        with explained(path), torch.device("meta"):  # where numbers take no memory
            known = AutoConfig.from_pretrained(path, local_files_only=True, trust_remote_code=False)
            model = AutoModelForCausalLM.from_config(known, trust_remote_code=False)
        held = sum(math.prod(tensor.shape) for tensor in tensors.values())
        fits = sum(weight.numel() for weight in model.parameters()) <= 2 * held  # files hold shared weights once
    if not fits:
        raise ValueError(f"{path}: config.json asks for a larger model than its files hold; fetch the model again")


def check_quantization(config: Any, name: str) -> None:
    """Check that a model's weights are not quantized: nothing here trains quantized weights, or subtracts them.

    Args:
        config: content of `config.json`.
        name: what the error calls the model.

    Raises:
        ValueError: the config has a `quantization_config`.
    """
    if isinstance(config, dict) and config.get("quantization_config") is not None:
        raise ValueError(
            f"{name}: config.json has a quantization_config, and quantized weights cannot be trained here; "
            "take the model with its weights in float32, float16 or bfloat16"
        )


def _load(path: Path, dtype: Any) -> Any:
    """Load what the files hold; the library makes weights up where the config asks for more, and drops others."""
    with explained(path):
        model, loading_info = AutoModelForCausalLM.from_pretrained(
            path, dtype=dtype, use_safetensors=True, local_files_only=True, trust_remote_code=False,
            output_loading_info=True, ignore_mismatched_sizes=True,
        )  # fmt: skip
    reshaped = {name for name, *_ in loading_info["mismatched_keys"]}
    wrong = sorted(loading_info["missing_keys"] | loading_info["unexpected_keys"] | reshaped)
    if wrong:
        raise ValueError(
            f"{path}: the weights do not fit config.json: {wrong[0]} is missing, left over or of another shape "
            f"({len(wrong)} in all); fetch the model again"
        )
    return model


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn whatever a broken model or adapter makes the library raise into a `ValueError`."""
    try:
        yield
    except Exception as error:
        if remedy(error):
            raise
        raise ValueError(
            f"{path}: it cannot be loaded ({reason(error)}); take a causal language model that transformers "
            "knows without code of its own, or fetch it again"
        ) from None


def _attach(model: Any, adapter: Path) -> Any:
    from peft import PeftModel

    for name in ("adapter_config.json", "adapter_model.safetensors"):
        need_file(adapter / name, f"{adapter}: no adapter here")
    with explained(adapter):
        tuned = PeftModel.from_pretrained(model, str(adapter), local_files_only=True)
    return tuned.merge_and_unload(safe_merge=True)


def device() -> torch.device:
    """CUDA where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
