"""Task vectors: forgetting via negation (Ilharco et al. 2023; arXiv 2412.06846, section 2.1)."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from tqdm import tqdm

Activation = Literal["identity", "relu"]


def negate(base: Tensor, tuned: Tensor, scale: float, activation: Activation) -> Tensor:
    """Return base − scale · activation(tuned − base), computed in float32, in the type of `base`.

    Raises:
        ValueError: the shapes differ.
    """
    if base.shape != tuned.shape:
        raise ValueError(f"shape {list(base.shape)} in the base but {list(tuned.shape)} in the tuned model")
    delta = tuned.float() - base.float()
    if activation == "relu":
        delta = delta.relu_()
    return (base.float() - scale * delta).to(base.dtype)


def subtract(base: Path, tuned: Path, out: Path, scale: float, activation: Activation) -> int:
    """Write Model-sub to `out`, shard by shard as the base is laid out, tensor by tensor.

    Returns:
        Number of tensors.

    Raises:
        ValueError: a tensor is missing, extra, or of another shape in the tuned model.
    """
    same_architecture(base, tuned, str(tuned))
    of_base, of_tuned = _locate(base), _locate(tuned)
    for shard, names in tqdm(_by_shard(of_base), desc="subtract", unit="shard"):
        tensors = {
            name: negate(_tensor(base / shard, name), _tensor(tuned / of_tuned[name], name), scale, activation)
            for name in names
        }
        save_file(tensors, out / shard, metadata={"format": "pt"})
    for path in base.iterdir():
        if path.suffix != ".safetensors" and path.is_file():
            shutil.copy(path, out / path.name)
    return len(of_base)


def same_architecture(base: Path, tuned: Path, name: str) -> None:
    """Check, without reading the weights, that two models have the same tensors.

    Args:
        base, tuned: directories of the models.
        name: what the error calls the tuned model.

    Raises:
        ValueError: a tensor is missing, extra, or of another shape in the tuned model.
    """
    of_base, of_tuned = _locate(base), _locate(tuned)
    _same_names(set(of_base), set(of_tuned), name)
    for tensor in of_base:
        shapes = _shape(base / of_base[tensor], tensor), _shape(tuned / of_tuned[tensor], tensor)
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"{name}: tensor {tensor}: shape {shapes[0]} in the base but {shapes[1]} in the tuned model; "
                "the models must be of one architecture"
            )


def _shape(path: Path, name: str) -> list[int]:
    with safe_open(path, framework="pt") as tensors:
        shape: list[int] = tensors.get_slice(name).get_shape()
        return shape


def _by_shard(where: dict[str, str]) -> list[tuple[str, list[str]]]:
    shards = sorted(set(where.values()))
    return [(shard, sorted(name for name in where if where[name] == shard)) for shard in shards]


def _locate(model: Path) -> dict[str, str]:
    """Map each tensor's name to the file that holds it."""
    index = model / "model.safetensors.index.json"
    if index.is_file():
        located: dict[str, str] = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        return located
    if not (model / "model.safetensors").is_file():
        raise ValueError(f"{model}: no model.safetensors here; run `dvc repro` or correct the path in params.yaml")
    return dict.fromkeys(_names(model / "model.safetensors"), "model.safetensors")


def _names(path: Path) -> Iterator[str]:
    with safe_open(path, framework="pt") as tensors:
        yield from tensors.keys()


def _tensor(path: Path, name: str) -> Tensor:
    with safe_open(path, framework="pt") as tensors:
        tensor: Tensor = tensors.get_tensor(name)
        return tensor


def _same_names(base: set[str], tuned: set[str], name: str) -> None:
    for kind, names in (("misses", base - tuned), ("has the extra", tuned - base)):
        if names:
            raise ValueError(
                f"{name}: the tuned model {kind} tensor {min(names)} ({len(names)} in all); "
                "base and tuned model must be of one architecture"
            )
