"""The guidance maths: two next-token distributions into one (arXiv 2412.06846, eqs. 2 and 6)."""

import math

import torch
from torch import Tensor

from tightlip.rows import Space


def combine(positive: Tensor, negative: Tensor, scale: float, space: Space, plausibility: float = 0.0) -> Tensor:
    """Guide next-token scores away from the negative prompt.

    Args:
        positive, negative: logits, shape (batch, vocab), under the two system prompts. −inf bans a token; a token
            banned in either branch is banned in the result.
        scale: guidance scale γ ≥ 0; 1 returns the positive distribution.
        space: `log` combines log-probabilities (eq. 2), `prob` probabilities (eq. 6), clipped at 0 and renormalised.
        plausibility: share of the positive branch's largest probability below which a token is dropped, so that
            guidance cannot raise what the positive branch holds for nonsense (arXiv 2210.15097, eq. 2).

    Returns:
        Log-probabilities, shape (batch, vocab), float32, fit for argmax and for sampling.

    Raises:
        ValueError: the shapes differ, the scale is negative, or plausibility is no share.
    """
    if positive.shape != negative.shape:
        raise ValueError(f"branches differ in shape: {tuple(positive.shape)} and {tuple(negative.shape)}")
    if scale < 0:
        raise ValueError(f"guidance scale must be at least 0, not {scale}")
    if not 0 <= plausibility <= 1:
        raise ValueError(f"plausibility must be between 0 and 1, not {plausibility}")
    if scale == 1:
        return torch.log_softmax(positive.float(), dim=-1)
    # Banned in both branches before they are normalised: what is left then always has mass.
    banned = torch.isneginf(positive) | torch.isneginf(negative)
    if plausibility > 0:
        best = positive.float().masked_fill(banned, -torch.inf).amax(-1, keepdim=True)
        banned |= positive.float() < best + math.log(plausibility)
    log_pos, log_neg = (
        torch.log_softmax(logits.float().masked_fill(banned, -torch.inf), dim=-1) for logits in (positive, negative)
    )
    if space == "prob":
        guided = torch.lerp(log_neg.exp(), log_pos.exp(), scale).clamp_(min=0)
        return torch.log(guided / guided.sum(dim=-1, keepdim=True))
    # −inf − (−inf) would be NaN
    guided = torch.lerp(log_neg.masked_fill(banned, 0), log_pos.masked_fill(banned, 0), scale)
    return torch.log_softmax(guided.masked_fill(banned, -torch.inf), dim=-1)
