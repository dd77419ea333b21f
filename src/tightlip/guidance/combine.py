"""The guidance maths: two next-token distributions into one (arXiv 2412.06846, eqs. 2 and 6)."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from tightlip.table_rows import Guidance

TINY = torch.finfo(torch.float32).tiny


def combine(positive: Tensor, negative: Tensor, guidance: Guidance) -> Tensor:
    """Guide next-token scores away from the negative prompt.

    Args:
        positive, negative: logits, shape (batch, vocab), under the two system prompts. −inf bans a token; a token
            banned in either branch is banned in the result.
        guidance: a scale γ of 1 returns the positive distribution. The space `log` combines log-probabilities (eq. 2),
            `prob` probabilities (eq. 6), clipped at 0 and renormalised. Plausibility is the share of the positive
            branch's largest probability below which a token is dropped, so that guidance cannot raise tokens that the
            positive branch takes for nonsense (arXiv 2210.15097, eq. 2).

    Returns:
        Log-probabilities, shape (batch, vocab), float32, fit for argmax and for sampling.

    Raises:
        ValueError: the shapes differ, the scale is negative, or plausibility is no share.
    """
    scale, plausibility = guidance.scale, guidance.plausibility
    if positive.shape != negative.shape:
        raise ValueError(f"branches differ in shape: {tuple(positive.shape)} and {tuple(negative.shape)}")
    if scale < 0:
        raise ValueError(f"guidance scale must be at least 0, not {scale}")
    if not 0 <= plausibility <= 1:
        raise ValueError(f"plausibility must be between 0 and 1, not {plausibility}")
    if not guidance.needs_negative:
        return torch.log_softmax(positive.float(), dim=-1)
    # In-place operations on two copies: allocating a new table takes longer than computing it.
    positive, negative = (each.to(torch.float32, copy=True) for each in (positive, negative))
    banned = _banned(positive, negative, plausibility)
    if guidance.space == "log":
        # Unnormalised logits do: they differ from log-probabilities by a constant. −inf − (−inf) is NaN, hence the ban.
        guided = negative.lerp_(positive, scale)
        if banned is not None:
            guided.masked_fill_(banned, -torch.inf)
        return torch.log_softmax(guided, dim=-1, out=guided)
    for each in (positive, negative):
        # A token is banned in both branches before they are normalised, so that the remaining tokens have mass.
        if banned is not None:
            each.masked_fill_(banned, -torch.inf)
        torch.softmax(each, dim=-1, out=each)
    guided = negative.lerp_(positive, scale).clamp_(min=0)
    guided.div_(guided.sum(dim=-1, keepdim=True))
    # log 0 takes ten times as long as any other log: the smallest number stands for 0 and becomes −inf afterwards.
    return functional.threshold(guided.clamp_(min=TINY).log_(), math.log(TINY) + 1e-3, -math.inf, inplace=True)


def _banned(positive: Tensor, negative: Tensor, plausibility: float) -> Tensor | None:
    """Find the tokens that are banned in either branch or not plausible; None, if there are none."""
    lowest = torch.minimum(positive.amin(), negative.amin())
    if plausibility == 0 and lowest > -torch.inf:
        return None
    banned = torch.isneginf(positive + negative)
    if plausibility > 0:
        best = positive.masked_fill(banned, -torch.inf).amax(-1, keepdim=True)
        banned |= positive < best + math.log(plausibility)
    return banned
