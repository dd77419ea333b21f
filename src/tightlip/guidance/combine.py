"""The guidance maths: two next-token distributions into one (arXiv 2412.06846, eqs. 2 and 6)."""

import torch
from torch import Tensor

from tightlip.rows import Space


def combine(positive: Tensor, negative: Tensor, scale: float, space: Space) -> Tensor:
    """Guide next-token scores away from the negative prompt.

    Args:
        positive, negative: logits, shape (batch, vocab), under the two system prompts. −inf bans a token; a token
            banned in either branch is banned in the result.
        scale: guidance scale γ ≥ 0; 1 returns the positive distribution.
        space: `log` combines log-probabilities (eq. 2), `prob` probabilities (eq. 6), clipped at 0 and renormalised.

    Returns:
        Log-probabilities, shape (batch, vocab), float32, fit for argmax and for sampling.

    Raises:
        ValueError: the shapes differ, or the scale is negative.
    """
    if positive.shape != negative.shape:
        raise ValueError(f"branches differ in shape: {tuple(positive.shape)} and {tuple(negative.shape)}")
    if scale < 0:
        raise ValueError(f"guidance scale must be at least 0, not {scale}")
    if scale == 1:
        return torch.log_softmax(positive.float(), dim=-1)
    # Banned in both branches before they are normalised: what is left then always has mass.
    banned = torch.isneginf(positive) | torch.isneginf(negative)
    log_pos, log_neg = (
        torch.log_softmax(logits.float().masked_fill(banned, -torch.inf), dim=-1) for logits in (positive, negative)
    )
    if space == "prob":
        guided = torch.lerp(log_neg.exp(), log_pos.exp(), scale).clamp_(min=0)
        return torch.log(guided / guided.sum(dim=-1, keepdim=True))
    # −inf − (−inf) would be NaN
    guided = torch.lerp(log_neg.masked_fill(banned, 0), log_pos.masked_fill(banned, 0), scale)
    return torch.log_softmax(guided.masked_fill(banned, -torch.inf), dim=-1)
