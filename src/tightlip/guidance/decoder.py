"""The decoder: batched greedy decoding and sampling, with both guidance branches in one forward.

Shapes: B prompts in the batch, R rows of the forward (B, or 2B with a negative branch), L padded prompt length.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm
from transformers import DynamicCache

from tightlip.guidance.combine import combine
from tightlip.rows import Space


@dataclass(frozen=True)
class _Settings:
    scale: float
    space: Space
    max_new_tokens: int
    eos_ids: frozenset[int]
    pad_id: int
    temperature: float


def generate(
    model: Any,
    prompts: Sequence[Sequence[int]],
    negatives: Sequence[Sequence[int]] | None = None,
    *,
    scale: float = 1.0,
    space: Space = "prob",
    max_new_tokens: int,
    eos_ids: Collection[int],
    pad_id: int,
    batch_size: int = 16,
    temperature: float = 0.0,
    seed: int = 0,
    progress: str | None = None,
) -> list[list[int]]:
    """Continue prompts, guided away from negative prompts where these are given.

    Args:
        model: a causal language model with or without adapter, in eval mode.
        prompts: token ids, one list a prompt.
        negatives: token ids of the same prompts under the negative system prompt; None decodes unguided.
        scale: guidance scale γ; at 1 the negative branch is not run at all.
        space: `log` (eq. 2) or `prob` (eq. 6), see `combine`.
        max_new_tokens: limit per answer.
        eos_ids: tokens that end an answer.
        pad_id: any token id; padding is masked.
        batch_size: prompts per batch; prompts of like length are batched together.
        temperature: 0 is greedy; above 0, samples from the (guided) distribution.
        seed: of the sampling; batches draw from their own generators.
        progress: label of a progress bar.

    Returns:
        New token ids of each prompt, in the order given, without EOS.

    Raises:
        ValueError: empty prompt, unequal counts, or a negative prompt equal to its positive one: guidance would
            silently do nothing.
    """
    if not all(prompts) or not all(negatives or []):
        raise ValueError("a prompt is empty; at least one token is needed")
    guided = _check_negatives(prompts, negatives) and scale != 1
    settings = _Settings(scale, space, max_new_tokens, frozenset(eos_ids), pad_id, temperature)
    order = sorted(range(len(prompts)), key=lambda i: (-len(prompts[i]), i))
    answers: list[list[int]] = [[] for _ in prompts]
    with tqdm(total=len(prompts), desc=progress, disable=progress is None, unit="prompt") as bar:
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            rows = [list(prompts[i]) for i in chosen]
            if guided and negatives is not None:
                rows += [list(negatives[i]) for i in chosen]
            rng = torch.Generator(device=model.device).manual_seed(seed + start)
            for i, answer in zip(chosen, _decode(model, rows, len(chosen), settings, rng), strict=True):
                answers[i] = answer
            bar.update(len(chosen))
    return answers


def _check_negatives(prompts: Sequence[Sequence[int]], negatives: Sequence[Sequence[int]] | None) -> bool:
    if negatives is None:
        return False
    if len(negatives) != len(prompts):
        raise ValueError(f"{len(prompts)} prompts but {len(negatives)} negative prompts")
    for number, (positive, negative) in enumerate(zip(prompts, negatives, strict=True)):
        if list(positive) == list(negative):
            raise ValueError(f"prompt {number}: the negative prompt equals the positive one; guidance would do nothing")
    return True


@torch.inference_mode()
def _decode(
    model: Any, rows: list[list[int]], batch: int, settings: _Settings, rng: torch.Generator
) -> list[list[int]]:
    """Decode one batch; rows `batch:` are the negative branch. Finished prompts leave the batch."""
    ids_RL, mask_RL = left_pad(rows, settings.pad_id, model.device)
    branches = len(rows) // batch
    answers: list[list[int]] = [[] for _ in range(batch)]
    alive = list(range(batch))
    cache = DynamicCache(config=model.config)
    position_RL = (mask_RL.cumsum(-1) - 1).clamp_(min=0)
    last = torch.tensor([-1], device=model.device)  # 1 would take a view, for which torch copies the head once per row
    for _ in range(settings.max_new_tokens):
        out = model(
            input_ids=ids_RL, attention_mask=mask_RL, position_ids=position_RL, past_key_values=cache,
            use_cache=True, logits_to_keep=last,
        )  # fmt: skip
        tokens_B = _next_tokens(out.logits[:, -1], branches, settings, rng)
        finished = torch.isin(tokens_B, torch.tensor(sorted(settings.eos_ids), device=tokens_B.device))
        for i, token, end in zip(alive, tokens_B.tolist(), finished.tolist(), strict=True):
            if not end:
                answers[i].append(token)
        if bool(finished.any()):
            keep = (~finished).nonzero().squeeze(-1)
            alive = [alive[i] for i in keep.tolist()]
            if not alive:
                break
            keep_R = torch.cat([keep + branch * len(finished) for branch in range(branches)])
            cache.batch_select_indices(keep_R)
            mask_RL, position_RL, tokens_B = mask_RL[keep_R], position_RL[keep_R], tokens_B[keep]
        ids_RL = tokens_B.repeat(branches)[:, None]
        mask_RL = torch.cat([mask_RL, mask_RL.new_ones(len(mask_RL), 1)], dim=1)
        position_RL = position_RL[:, -1:] + 1
    return answers


def _next_tokens(logits: Tensor, branches: int, settings: _Settings, rng: torch.Generator) -> Tensor:
    """Pick one token per prompt from the logits of all branches, shape (B,)."""
    if branches == 2:
        positive, negative = logits.chunk(2)
        scores = combine(positive, negative, settings.scale, settings.space)
    else:
        scores = logits.float()
    if settings.temperature == 0:
        return scores.argmax(dim=-1)
    probabilities = torch.softmax(scores / settings.temperature, dim=-1)
    return torch.multinomial(probabilities, 1, generator=rng).squeeze(-1)


def left_pad(rows: Sequence[Sequence[int]], pad_id: int, device: Any) -> tuple[Tensor, Tensor]:
    """Pad on the left: ids and attention mask, both of shape (rows, longest)."""
    longest = max(map(len, rows))
    ids = torch.tensor([[pad_id] * (longest - len(row)) + list(row) for row in rows], device=device)
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows], device=device)
    return ids, mask
