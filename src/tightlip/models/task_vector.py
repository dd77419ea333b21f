"""Task vectors: forgetting via negation (Ilharco et al. 2023; arXiv 2412.06846, section 2.1)."""

import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, Literal

import torch
from torch import Tensor
from tqdm import tqdm

from tightlip.models.safetensors_index import StoredTensor, find_tensors

Activation = Literal["identity", "relu"]

PART = 2**20
"""Numbers subtracted at a time; 4 MB in float32 stay in the caches."""


def negate(base: Tensor, tuned: Tensor, scale: float, activation: Activation) -> Tensor:
    """Return base − scale · activation(tuned − base), computed in float32, in the type of `base`.

    Raises:
        ValueError: the shapes differ.
    """
    if base.shape != tuned.shape:
        raise ValueError(f"shape {list(base.shape)} in the base but {list(tuned.shape)} in the tuned model")
    if activation == "identity" and base.dtype == tuned.dtype in (torch.float32, torch.bfloat16, torch.float16):
        return torch.lerp(base, tuned, -scale)  # the same in one pass, in float32 inside
    delta = tuned.float() - base.float()
    if activation == "relu":
        delta = delta.relu_()
    return (base.float() - scale * delta).to(base.dtype)


def subtract(base: Path, tuned: Path, out: Path, scale: float, activation: Activation) -> int:
    """Write Model-sub to `out`, in files laid out as the base's; memory does not grow with the model.

    Returns:
        Number of tensors.

    Raises:
        ValueError: a tensor is missing, extra, or of another shape in the tuned model, or of a type beyond `DTYPES`.
    """
    base_tensors, tuned_tensors = same_architecture(base, tuned, str(tuned))
    total = sum(math.prod(stored.shape) for stored in base_tensors.values())
    buffers = [torch.empty(PART * torch.float64.itemsize, dtype=torch.uint8) for _ in range(2)]
    with tqdm(total=total, desc="subtract", unit="", unit_scale=True) as bar:
        for shard in sorted({stored.path for stored in base_tensors.values()}):
            names = [name for name, stored in base_tensors.items() if stored.path == shard]
            with shard.open("rb") as left, (out / shard.name).open("wb") as result:
                result.write(
                    left.read(min(base_tensors[name].start for name in names))
                )  # the header is that of the base
                for name in sorted(names, key=lambda name: base_tensors[name].start):
                    with tuned_tensors[name].path.open("rb") as right:
                        for base_part, tuned_part in _parts(
                            (base_tensors[name], left), (tuned_tensors[name], right), buffers
                        ):
                            part = negate(base_part, tuned_part, scale, activation)
                            result.write(part.view(torch.uint8).numpy().data)
                            bar.update(len(part))
    for path in base.iterdir():
        if path.suffix != ".safetensors" and path.is_file():
            shutil.copy(path, out / path.name)
    return len(base_tensors)


def _parts(
    base: tuple[StoredTensor, BinaryIO], tuned: tuple[StoredTensor, BinaryIO], buffers: Sequence[Tensor]
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the same `PART` numbers of a tensor from the files of both models, read into the buffers."""
    size = math.prod(base[0].shape)
    for first in range(0, size, PART):
        count = min(PART, size - first)
        yield (
            base[0].read(base[1], first, count, buffers[0]),
            tuned[0].read(tuned[1], first, count, buffers[1]),
        )


def same_architecture(base: Path, tuned: Path, name: str) -> tuple[dict[str, StoredTensor], dict[str, StoredTensor]]:
    """Check, without reading the weights, that two models have the same tensors.

    Args:
        base, tuned: directories of the models.
        name: what the error calls the tuned model.

    Returns:
        The tensors of both, by name.

    Raises:
        ValueError: a tensor is missing, extra, or of another shape in the tuned model, or of a type beyond `DTYPES`.
    """
    base_tensors, tuned_tensors = find_tensors(base), find_tensors(tuned)
    same_tensors(
        {key: stored.shape for key, stored in base_tensors.items()},
        {key: stored.shape for key, stored in tuned_tensors.items()},
        name,
    )
    return base_tensors, tuned_tensors


def same_tensors(base: Mapping[str, list[int]], tuned: Mapping[str, list[int]], name: str) -> None:
    """Check that two models have the same tensors.

    Args:
        base, tuned: shapes by the tensors' names.
        name: what the error calls the tuned model.

    Raises:
        ValueError: a tensor is missing, extra, or of another shape in the tuned model.
    """
    for kind, names in (("misses", set(base) - set(tuned)), ("has the extra", set(tuned) - set(base))):
        if names:
            raise ValueError(
                f"{name}: the tuned model {kind} tensor {min(names)} ({len(names)} in all); "
                "base and tuned model must be of one architecture"
            )
    for tensor in base:
        if base[tensor] != tuned[tensor]:
            raise ValueError(
                f"{name}: tensor {tensor}: shape {base[tensor]} in the base but {tuned[tensor]} in the tuned model; "
                "the models must be of one architecture"
            )
