"""Loading models and tokenizers from a directory."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tightlip.models.attention import GROUPED


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
    _need(path / "config.json", f"{path}: no model here")
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

    _need(adapter / "adapter_config.json", f"{adapter}: no adapter here")
    tuned = PeftModel.from_pretrained(model, str(adapter), local_files_only=True)
    return tuned.merge_and_unload(safe_merge=True)


def load_tokenizer(path: str | Path) -> Any:
    """Load the tokenizer beside a model.

    Raises:
        ValueError: no tokenizer there, or one without chat template or EOS token.
    """
    _need(Path(path) / "tokenizer_config.json", f"{path}: no tokenizer here")
    tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
    if tokenizer.chat_template is None or tokenizer.eos_token_id is None:
        raise ValueError(f"{path}: the tokenizer has no chat template or no EOS token; take an instruct model")
    return tokenizer


def _need(path: Path, problem: str) -> None:
    if not path.is_file():
        raise ValueError(f"{problem} ({path.name} is missing); run `dvc repro` or correct the path in params.yaml")


def device() -> torch.device:
    """CUDA where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
