"""The type that a model computes in: float32 on CPUs that have no instructions for bfloat16.

Such a CPU (AVX2) emulates bfloat16: a product of matrices takes eight times as long as in float32, and a training that
takes a minute elsewhere takes hours.
"""

from typing import Any

import torch

LARGEST = 2**31
"""Bytes of weights above which a copy of twice the size takes more memory than it is worth."""


def has_bfloat16() -> bool:
    """Say whether this machine multiplies in bfloat16."""
    return torch.cuda.is_available() or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def computes_bfloat16(model: Any) -> bool:
    """Say whether a model is trained in bfloat16: where that is fast, or where its weights stayed in it."""
    return has_bfloat16() or model.dtype == torch.bfloat16


def widen(model: Any) -> Any:
    """Return the model in float32, if it is in bfloat16 on a CPU that emulates it and is at most `LARGEST`."""
    emulated = model.device.type == "cpu" and model.dtype == torch.bfloat16 and not has_bfloat16()
    fits = sum(weight.nbytes for weight in model.parameters()) <= LARGEST
    return model.float() if emulated and fits else model
