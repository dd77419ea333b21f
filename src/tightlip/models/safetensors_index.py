"""The tensors of a model's safetensors files, found from the headers alone."""

import json
from pathlib import Path
from typing import BinaryIO, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64,
    "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
    "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2,
}  # fmt: skip
"""Types by their names in safetensors files."""


class StoredTensor(NamedTuple):
    """A tensor in a file: `start` is the place of its first byte."""

    path: Path
    dtype: torch.dtype
    shape: list[int]
    start: int

    def read(self, handle: BinaryIO, first: int, count: int, buffer: Tensor) -> Tensor:
        """Read `count` numbers, from the `first` on, into a buffer of bytes."""
        place = buffer[: count * self.dtype.itemsize]
        handle.seek(self.start + first * self.dtype.itemsize)
        handle.readinto(place.numpy().data)  # type: ignore[attr-defined]
        return place.view(self.dtype)


def find_tensors(model: Path) -> dict[str, StoredTensor]:
    """Find every tensor of a model, in one file or in several with an index.

    Raises:
        ValueError: no safetensors there, an index that is none, or a file whose header lies or that is cut off.
    """
    index = model / "model.safetensors.index.json"
    if index.is_file():
        shards = _shards(index)
    elif (model / "model.safetensors").is_file():
        shards = ["model.safetensors"]
    else:
        raise ValueError(
            f"{model}: no model here (no model.safetensors, and no other format is loaded); run `dvc repro` or "
            "correct the path in params.yaml"
        )
    return {name: stored for shard in shards for name, stored in _tensors(model / shard).items()}


def _shards(index: Path) -> list[str]:
    try:
        shards = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        if all(Path(shard).name == shard for shard in shards):
            return shards
    except (ValueError, LookupError, TypeError, AttributeError):
        pass
    raise ValueError(f"{index}: not an index of safetensors files in the same directory; fetch the model again")


def _tensors(path: Path) -> dict[str, StoredTensor]:
    """Read the header of a safetensors file: its length in 8 bytes, and JSON."""
    try:
        with safe_open(path, framework="pt"):
            pass  # the library checks the header
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{path}: not a readable safetensors file ({error}); fetch the model again") from None
    with path.open("rb") as handle:
        length = int.from_bytes(handle.read(8), "little")
        header = json.loads(handle.read(length))
    tensors = {name: tensor for name, tensor in header.items() if name != "__metadata__"}
    for name, tensor in tensors.items():
        if tensor["dtype"] not in DTYPES:
            raise ValueError(
                f"{path}: tensor {name}: no arithmetic with type {tensor['dtype']}; "
                f"store the model in one of {', '.join(DTYPES)}"
            )
    return {
        name: StoredTensor(path, DTYPES[tensor["dtype"]], tensor["shape"], 8 + length + tensor["data_offsets"][0])
        for name, tensor in tensors.items()
    }
