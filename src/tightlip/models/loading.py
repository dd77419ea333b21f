"""Loading models from a directory."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from tightlip.models.attention import GROUPED
from tightlip.models.chat import need_file, reason
from tightlip.models.task_vector import find_tensors


def load_model(path: str | Path, dtype: str | None = None, adapter: str | Path | None = None) -> Any:
    """Load a causal language model in eval mode on the best device at hand.

    Args:
        path: directory with config and safetensors.
        dtype: `float32` or `bfloat16`; None keeps the stored type.
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
    model = model.to(device()).eval()
    if model.device.type == "cpu" and model.config._attn_implementation == "sdpa":
        model.set_attn_implementation(GROUPED)
    return model


def _load(path: Path, dtype: Any) -> Any:
    """Load what the files hold; the library makes weights up where the config asks for more or others."""
    try:
        model, found = AutoModelForCausalLM.from_pretrained(
            path, dtype=dtype, use_safetensors=True, local_files_only=True, trust_remote_code=False,
            output_loading_info=True,
        )  # fmt: skip
    except Exception as error:  # whatever a broken file makes the library raise
        raise ValueError(
            f"{path}: the model cannot be loaded ({reason(error)}); take a causal language model that transformers "
            "knows without code of its own, or fetch it again"
        ) from None
    wrong = sorted({*found["missing_keys"], *(name for name, *_ in found["mismatched_keys"])})
    if wrong:
        raise ValueError(
            f"{path}: the weights do not fit config.json: {wrong[0]} is missing or of another shape ({len(wrong)} in "
            "all); fetch the model again"
        )
    return model


def _attach(model: Any, adapter: Path) -> Any:
    from peft import PeftModel

    need_file(adapter / "adapter_config.json", f"{adapter}: no adapter here")
    tuned = PeftModel.from_pretrained(model, str(adapter), local_files_only=True)
    return tuned.merge_and_unload(safe_merge=True)


def device() -> torch.device:
    """CUDA where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
