"""Attention on a CPU: query heads that share key and value heads run as one matrix product.

On a CPU torch's fused kernel wants keys and values repeated once per query head, and its backward pass takes longer
than all other work of a short sequence. Two batched matrix products and a softmax take a third of that time. The
score matrix is held in memory, so sequences beyond `LARGEST` scores go to the library's kernel.

Shapes: B rows, H query heads, G key-value heads, L queries, S keys, D head size.
"""

from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

GROUPED = "tightlip_grouped"
"""The name under which transformers finds it (`model.set_attn_implementation`)."""

LARGEST = 2**25
"""Scores of one layer (B · H · L · S) above which the library's kernel, which never holds them all, takes over."""

SPECIAL = ("cache", "position_bias", "s_aux", "softcap")
"""Options of few model families, left to the library's kernel."""


def grouped_attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **options: Any,
) -> tuple[Tensor, None]:
    """Attend, as transformers' `sdpa_attention_forward` does.

    Args:
        module: the attention layer.
        query: shape (B, H, L, D).
        key, value: shape (B, G, S, D), H a multiple of G.
        attention_mask: bool, shape (B or 1, 1, L, S), true where a query may look; without, the library's kernel runs.
        scaling: of the scores; None is 1 / √D.
        dropout: share of weights dropped; above 0, the library's kernel runs.
        options: `SPECIAL` or of no consequence here.

    Returns:
        The attended values, shape (B, L, H, D), and None for the weights.
    """
    batch, heads, length, size = query.shape
    groups, keys = key.shape[1], key.shape[2]
    special = dropout > 0 or any(options.get(name) is not None for name in SPECIAL)
    if attention_mask is None or special or batch * heads * length * keys > LARGEST:
        return sdpa_attention_forward(  # type: ignore[no-any-return]
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **options
        )
    query = (query * (size**-0.5 if scaling is None else scaling)).reshape(batch * groups, -1, size)
    scores = torch.bmm(query, key.reshape(-1, keys, size).transpose(1, 2)).view(batch, heads, length, keys)
    scores.masked_fill_(~attention_mask, torch.finfo(scores.dtype).min)  # −inf would make rows of padding NaN
    weights = torch.softmax(scores, dim=-1).view(batch * groups, -1, keys)
    attended = torch.bmm(weights, value.reshape(-1, keys, value.shape[-1])).view(batch, heads, length, -1)
    return attended.transpose(1, 2).contiguous(), None


def _mask(*args: Any, **options: Any) -> Tensor | None:
    """Make the mask even where it is causal and no more, which the library's kernel would know by itself."""
    mask: Tensor | None = sdpa_mask(*args, **options | {"allow_is_causal_skip": False})
    return mask


AttentionInterface.register(GROUPED, grouped_attention)
AttentionMaskInterface.register(GROUPED, _mask)
