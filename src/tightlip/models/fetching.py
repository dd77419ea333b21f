"""Fetching models: packaged GGUF, hub, path, or a seeded random one; saved as safetensors."""

import importlib.util
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tightlip.failures import remedy
from tightlip.models.chat import load_tokenizer
from tightlip.models.loading import load_model
from tightlip.params import ModelSource


def fetch(source: ModelSource, seed: int, out: Path, field: str = "base") -> None:
    """Bring a model to `out` as safetensors with tokenizer and chat template; `field` of the params names it in errors.

    Raises:
        ValueError: the package, file, hub id or path is missing, with the remedy.
    """
    model, tokenizer = _FETCHERS[source.source](source, seed, field)
    _drop_quantizer(model)
    model.to(getattr(torch, source.dtype)).save_pretrained(out)
    tokenizer.save_pretrained(out)


def _from_package(source: ModelSource, seed: int, field: str) -> tuple[Any, Any]:
    package, _, name = source.name.partition("/")
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(f"{field}.name: package {package!r} is not installed; run `make setup`")
    folder = Path(next(iter(spec.submodule_search_locations)))
    if not (folder / name).is_file():
        raise ValueError(f"{field}.name: package {package!r} has no file {name!r}; check the name and the version")
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name)
    return AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32), tokenizer


def _from_hub(source: ModelSource, seed: int, field: str) -> tuple[Any, Any]:
    kwargs: dict[str, Any] = {"revision": source.revision}
    try:
        tokenizer = AutoTokenizer.from_pretrained(source.name, **kwargs)
        return AutoModelForCausalLM.from_pretrained(
            source.name, dtype=getattr(torch, source.dtype), use_safetensors=True, **kwargs
        ), tokenizer
    except OSError as error:
        if remedy(error):
            raise
        reason = type(error).__name__
        raise ValueError(
            f"{field}.name: {source.name!r} at {source.revision} cannot be fetched ({reason}); check the network, the "
            "name, and that HF_TOKEN in .env may read it"
        ) from None


def _from_path(source: ModelSource, seed: int, field: str) -> tuple[Any, Any]:
    tokenizer = load_tokenizer(source.name)
    return load_model(source.name, source.dtype), tokenizer


def _from_random(source: ModelSource, seed: int, field: str) -> tuple[Any, Any]:
    from tightlip.models.random_model import random_model, random_tokenizer

    tokenizer = random_tokenizer()
    return random_model(tokenizer, seed), tokenizer


_FETCHERS = {"package": _from_package, "hub": _from_hub, "path": _from_path, "random": _from_random}


def _drop_quantizer(model: Any) -> None:
    """Forget that the weights came quantized; saving would otherwise write a checkpoint that does not load."""
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.hf_quantizer = None
    if getattr(model, "is_quantized", False):
        model.is_quantized = False
