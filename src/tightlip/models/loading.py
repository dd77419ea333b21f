"""Loading models from a directory."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from tightlip.models.attention import GROUPED
from tightlip.models.chat import need_file


def load_model(path: str | Path, dtype: str | None = None, adapter: str | Path | None = None) -> Any:
    """Load a causal language model in eval mode on the best device at hand.

    Args:
        path: directory with config and safetensors.
        dtype: `float32` or `bfloat16`; None keeps the stored type.
        adapter: directory of a PEFT adapter to attach and merge into the weights in memory.

    Raises:
        ValueError: the directory is missing or holds no model.
    """
    path = Path(path)
    need_file(path / "config.json", f"{path}: no model here")
    if not any(path.glob("*.safetensors")):
        raise ValueError(f"{path}: no model here (no *.safetensors); run `dvc repro` or correct params.yaml")
    wanted = "auto" if dtype is None else getattr(torch, dtype)
    model = AutoModelForCausalLM.from_pretrained(path, dtype=wanted, use_safetensors=True, local_files_only=True)
    if adapter is not None:
        model = _attach(model, Path(adapter))
    model = model.to(device()).eval()
    if model.device.type == "cpu" and model.config._attn_implementation == "sdpa":
        model.set_attn_implementation(GROUPED)
    return model


def _attach(model: Any, adapter: Path) -> Any:
    from peft import PeftModel

    need_file(adapter / "adapter_config.json", f"{adapter}: no adapter here")
    tuned = PeftModel.from_pretrained(model, str(adapter), local_files_only=True)
    return tuned.merge_and_unload(safe_merge=True)


def device() -> torch.device:
    """CUDA where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
