"""Attention on a CPU: query heads that share key and value heads run as one matrix product.

On a CPU torch's fused kernel wants keys and values repeated once per query head, and its backward pass takes longer
than all other work of a short sequence. Two batched matrix products and a softmax take a third of that time. The
scores are held in memory, all of them for the backward pass, so beyond `LARGEST` the library's kernel takes over.

Shapes: B rows, H query heads, G key-value heads, L queries, S keys, D head size.
"""

from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from tightlip.models.kernel_inputs import compute_dtype, to_bias

GROUPED = "tightlip_grouped"
"""The name under which transformers finds it (`model.set_attn_implementation`)."""

LARGEST = 2**25
"""Scores of one layer held at once, above which the library's kernel, which never holds them all, takes over."""

BLOCK = 256
"""Queries that share a product; each block sees only the keys up to its end."""

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
    keys = key.shape[2]
    special = dropout > 0 or any(options.get(name) is not None for name in SPECIAL)
    # Queries of a block see no keys after it; what a short sequence saves by that, more and smaller products cost.
    block = min(BLOCK, length) if getattr(module, "is_causal", False) else length
    learns = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (query, key, value))
    held = batch * heads * (length if learns else block) * keys  # a block's scores are gone after it
    if attention_mask is None or special or held > LARGEST:
        return sdpa_attention_forward(  # type: ignore[no-any-return]
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **options
        )
    query = query * (size**-0.5 if scaling is None else scaling)
    key, value = key.reshape(-1, keys, size), value.reshape(-1, keys, value.shape[-1])
    with compute_dtype(query) as dtype:
        bias = to_bias(attention_mask, dtype)
        attended: Tensor = _Attention.apply(query.to(dtype), key.to(dtype), value.to(dtype), bias, block)
    return attended, None


Blocks = list[tuple[Tensor, Tensor]]
"""Tensors for the backward pass of each block of queries: the queries, shape (N, H / G · Q, D), and their weights."""


def attend(
    query_BHLD: Tensor, key_NSD: Tensor, value_NSD: Tensor, bias: Tensor, block: int, saved: Blocks | None
) -> Tensor:
    """Compute softmax(Q Kᵀ + bias) V block of queries by block of queries, with N = B · G products each.

    Args:
        query_BHLD: scaled queries, the last ones of the keys' positions.
        key_NSD, value_NSD: keys and values.
        bias: from `to_bias`, shape (B or 1, 1, L, S).
        block: queries that share a product and see no key after the last of them; L, if they may.
        saved: takes the tensors that `attend_backward` needs; None saves nothing.

    Returns:
        The attended values, shape (B, L, H, D).
    """
    batch, heads, length, _ = query_BHLD.shape
    products, keys, size = value_NSD.shape
    attended_BLHD = query_BHLD.new_empty(batch, length, heads, size)
    for start in range(0, length, block):
        end = min(start + block, length)
        seen = keys - length + end
        query_NQD = query_BHLD[:, :, start:end].reshape(products, -1, query_BHLD.shape[-1])
        # In float32: torch's softmax of bfloat16 takes twice as long.
        scores = torch.bmm(query_NQD, key_NSD[:, :seen].transpose(1, 2)).float()
        scores.view(batch, heads, -1, seen).add_(bias[..., start:end, :seen])
        weights_NQS = torch.softmax(scores, dim=-1, out=scores).to(query_NQD.dtype)
        result = torch.bmm(weights_NQS, value_NSD[:, :seen]).view(batch, heads, -1, size)
        attended_BLHD[:, start:end] = result.transpose(1, 2)
        if saved is not None:
            saved.append((query_NQD, weights_NQS))
    return attended_BLHD


def attend_backward(
    grad_BLHD: Tensor, key_NSD: Tensor, value_NSD: Tensor, block: int, saved: Blocks
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of `attend`'s queries, keys and values.

    Masked weights are 0, and so is their gradient: the mask is not needed.
    """
    batch, length, heads, size = grad_BLHD.shape
    products, keys, _ = value_NSD.shape
    query_BHLD = grad_BLHD.new_empty(batch, heads, length, key_NSD.shape[-1])
    grad_key_NSD, grad_value_NSD = torch.zeros_like(key_NSD), torch.zeros_like(value_NSD)
    for start, (query_NQD, weights_NQS) in zip(range(0, length, block), saved, strict=True):
        end = min(start + block, length)
        seen = keys - length + end
        grad_NQD = grad_BLHD[:, start:end].transpose(1, 2).reshape(products, -1, size)
        grad_NQS = torch.bmm(grad_NQD, value_NSD[:, :seen].transpose(1, 2))
        scores_NQS = torch._softmax_backward_data(grad_NQS, weights_NQS, -1, weights_NQS.dtype)
        query_BHLD[:, :, start:end] = torch.bmm(scores_NQS, key_NSD[:, :seen]).view(batch, heads, end - start, -1)
        grad_key_NSD[:, :seen].baddbmm_(scores_NQS.transpose(1, 2), query_NQD)
        grad_value_NSD[:, :seen].baddbmm_(weights_NQS.transpose(1, 2), grad_NQD)
    return query_BHLD, grad_key_NSD, grad_value_NSD


class _Attention(torch.autograd.Function):
    """`attend` for autograd."""

    @staticmethod
    def forward(ctx: Any, query_BHLD: Tensor, key_NSD: Tensor, value_NSD: Tensor, bias: Tensor, block: int) -> Tensor:
        saved: Blocks | None = [] if any(ctx.needs_input_grad) else None
        attended_BLHD = attend(query_BHLD, key_NSD, value_NSD, bias, block, saved)
        ctx.save_for_backward(key_NSD, value_NSD, *(tensor for pair in saved or () for tensor in pair))
        ctx.block = block
        return attended_BLHD

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        key_NSD, value_NSD, *saved = ctx.saved_tensors
        blocks = list(zip(saved[::2], saved[1::2], strict=True))
        return *attend_backward(grads[0], key_NSD, value_NSD, ctx.block, blocks), None, None


def _mask(*args: Any, **options: Any) -> Tensor | None:
    """Make the mask even where it is causal and no more, which the library's kernel would know by itself."""
    mask: Tensor | None = sdpa_mask(*args, **options | {"allow_is_causal_skip": False})
    return mask


AttentionInterface.register(GROUPED, grouped_attention)
AttentionMaskInterface.register(GROUPED, _mask)
