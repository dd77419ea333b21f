"""What layers written by hand need before they compute: the type to compute in, and a mask as numbers."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


@contextmanager
def compute_dtype(x: Tensor) -> Iterator[torch.dtype]:
    """Yield the type that autocast would compute in, or that of `x` without autocast; inside, nothing else casts.

    For layers that are one `torch.autograd.Function`: autocast would cast again at every operation in it.
    """
    device = x.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
    with torch.autocast(device, enabled=False):
        yield dtype


def to_bias(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Turn a mask, true where a query may look, into what is added to the scores.

    The lowest number, not −inf, which would make rows of padding NaN.
    """
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill_(~mask, torch.finfo(dtype).min)
