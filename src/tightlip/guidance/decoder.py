"""The decoder: batched greedy decoding and sampling, with both guidance branches in one forward.

Prompts are run in small groups of like length, then decoded together; finished prompts leave the batch and waiting
ones take their places.

Shapes: B prompts in the batch, R rows of the forward (one or two per prompt: positive, negative), L padded length, V
vocabulary.
"""

import math
import random
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from tightlip.guidance.combine import combine
from tightlip.rows import Space

PREFILL_TOKENS = 1024
"""Tokens of prompts run at a time on a CPU, where more no longer fits its caches; times 16 elsewhere."""

LAST = torch.tensor([-1])
"""The last position, as an index: as a number it takes a view, for which torch copies the head once per row."""


@dataclass(frozen=True)
class _Settings:
    """Beside the arguments of `generate`: whether caches can be joined, and how many tokens to prefill at a time.

    Only caches that keep all tokens in all layers can: others hold rows of the same length.
    """

    scale: float
    space: Space
    max_new_tokens: int
    eos_ids: Tensor
    pad_id: int
    batch_size: int
    temperature: float
    seed: int
    joinable: bool
    prefill_tokens: float


@dataclass
class _Batch:
    """What is being decoded: its cache, the mask of the cache's columns and the scores of the next tokens.

    Attributes:
        chosen: numbers of the prompts, B.
        mask: shape (R, L); a row's tokens stand at its right end.
        logits: shape (R, V).
    """

    chosen: list[int]
    cache: DynamicCache
    mask: Tensor
    logits: Tensor


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
        batch_size: prompts decoded at a time.
        temperature: 0 is greedy; above 0, samples from the (guided) distribution.
        seed: of the sampling; every prompt draws from a generator of its own, whatever the batch.
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
    ends = torch.tensor(sorted(eos_ids), dtype=torch.long, device=model.device)
    joinable = all(type(layer) is DynamicLayer for layer in DynamicCache(config=model.config).layers)
    prefill = PREFILL_TOKENS * (1 if model.device.type == "cpu" else 16) if joinable else math.inf
    settings = _Settings(
        scale, space, max_new_tokens, ends, pad_id, batch_size, temperature, seed, joinable, prefill
    )  # fmt: skip
    rows = [[prompt] for prompt in prompts]
    if guided and negatives is not None:
        rows = [[prompt, negative] for prompt, negative in zip(prompts, negatives, strict=True)]
    with tqdm(total=len(prompts), desc=progress, disable=progress is None, unit="prompt") as bar:
        answers: list[list[int]] = _decode(model, rows, settings, bar)
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
def _decode(model: Any, rows: Sequence[Sequence[Sequence[int]]], settings: _Settings, bar: Any) -> list[list[int]]:
    """Decode all prompts, each with one row per branch."""
    branches = len(rows[0]) if rows else 1
    rngs = [random.Random(f"{settings.seed} {i}") for i in range(len(rows))]  # noqa: S311
    answers: list[list[int]] = [[] for _ in rows]
    waiting = deque(sorted(range(len(rows)), key=lambda i: (-len(rows[i][0]), i)))
    running: list[_Batch] = []  # none or one
    while waiting or running:
        free = settings.batch_size - sum(len(batch.chosen) for batch in running)
        if waiting and (not running or (settings.joinable and free >= max(1, settings.batch_size // 4))):
            chosen = [waiting.popleft() for _ in range(min(free, len(waiting)))]
            running = [_join([*running, *_prefill(model, rows, chosen, settings)])]
        (batch,) = running
        tokens_B = _next_tokens(batch.logits, branches, settings, [rngs[i] for i in batch.chosen])
        ended = torch.isin(tokens_B, settings.eos_ids).tolist()
        keep = []
        for place, (i, token, end) in enumerate(zip(batch.chosen, tokens_B.tolist(), ended, strict=True)):
            if not end:
                answers[i].append(token)
            if not end and len(answers[i]) < settings.max_new_tokens:
                keep.append(place)
        bar.update(len(batch.chosen) - len(keep))
        running = [_step(model, batch, tokens_B, keep, branches)] if keep else []
    return answers


def _prefill(
    model: Any, rows: Sequence[Sequence[Sequence[int]]], chosen: Sequence[int], settings: _Settings
) -> list[_Batch]:
    """Run prompts in groups of like length; `chosen` comes longest first."""
    groups: list[list[int]] = []
    for i in chosen:
        together = [row for j in [*(groups[-1] if groups else []), i] for row in rows[j]]
        if groups and len(together) * max(map(len, together)) <= settings.prefill_tokens:
            groups[-1].append(i)
        else:
            groups.append([i])
    batches = []
    for group in groups:
        ids_RL, mask_RL = left_pad([row for i in group for row in rows[i]], settings.pad_id, model.device)
        cache, position_RL = DynamicCache(config=model.config), (mask_RL.cumsum(-1) - 1).clamp_(min=0)
        batches.append(_Batch(group, cache, mask_RL, _logits(model, ids_RL, mask_RL, position_RL, cache)))
    return batches


def _step(model: Any, batch: _Batch, tokens_B: Tensor, keep: Sequence[int], branches: int) -> _Batch:
    """Feed the chosen tokens of the prompts that go on; both branches of a prompt take the same token."""
    mask_RL, cache = batch.mask, batch.cache
    if len(keep) < len(batch.chosen):
        keep_R = torch.tensor([place * branches + branch for place in keep for branch in range(branches)])
        keep_R = keep_R.to(mask_RL.device)
        cache.batch_select_indices(keep_R)
        mask_RL, tokens_B = mask_RL[keep_R], tokens_B[list(keep)]
    mask_RL = functional.pad(mask_RL, (0, 1), value=1)
    ids_R1, position_R1 = tokens_B.repeat_interleave(branches)[:, None], mask_RL.sum(-1, keepdim=True) - 1
    logits_RV = _logits(model, ids_R1, mask_RL, position_R1, cache)
    return _Batch([batch.chosen[place] for place in keep], cache, mask_RL, logits_RV)


def _logits(model: Any, ids: Tensor, mask: Tensor, positions: Tensor, cache: DynamicCache) -> Tensor:
    """Run the model and return the logits of the last position, shape (R, V)."""
    out = model(
        input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True,
        logits_to_keep=LAST.to(ids.device),
    )  # fmt: skip
    logits: Tensor = out.logits[:, -1]
    return logits


def _join(batches: Sequence[_Batch]) -> _Batch:
    """Put batches together, aligned at the right end and cut to the longest row."""
    if len(batches) == 1:
        return batches[0]
    longest = int(max(batch.mask.sum(-1).max() for batch in batches))

    def fit(tensor: Tensor, dim: int) -> Tensor:
        more = longest - tensor.shape[dim]
        if more > 0:
            return functional.pad(tensor, (0, 0) * (tensor.dim() - 1 - dim) + (more, 0))
        return tensor.narrow(dim, -more, longest)

    first, *_ = batches
    for number, layer in enumerate(first.cache.layers):
        if not layer.is_initialized:  # it shares the states of another layer
            continue
        layers = [batch.cache.layers[number] for batch in batches]
        layer.keys = torch.cat([fit(each.keys, 2) for each in layers])
        layer.values = torch.cat([fit(each.values, 2) for each in layers])
    return _Batch(
        chosen=[i for batch in batches for i in batch.chosen],
        cache=first.cache,
        mask=torch.cat([fit(batch.mask, 1) for batch in batches]),
        logits=torch.cat([batch.logits for batch in batches]),
    )


def _next_tokens(logits_RV: Tensor, branches: int, settings: _Settings, rngs: Sequence[random.Random]) -> Tensor:
    """Pick one token per prompt, shape (B,)."""
    if branches == 2:
        scores_BV = combine(logits_RV[0::2], logits_RV[1::2], settings.scale, settings.space)
    else:
        scores_BV = logits_RV.float()
    if settings.temperature == 0:
        return scores_BV.argmax(dim=-1)
    upto_BV = torch.softmax(scores_BV.double() / settings.temperature, dim=-1).cumsum(dim=-1)
    drawn_B1 = upto_BV.new_tensor([[rng.random()] for rng in rngs])
    tokens_B1 = torch.searchsorted(upto_BV, drawn_B1 * upto_BV[:, -1:], right=True)
    return tokens_B1.squeeze(-1).clamp_(max=upto_BV.shape[-1] - 1)


def left_pad(rows: Sequence[Sequence[int]], pad_id: int, device: Any) -> tuple[Tensor, Tensor]:
    """Pad on the left: ids and attention mask, both of shape (rows, longest)."""
    longest = max(map(len, rows))
    ids = torch.tensor([[pad_id] * (longest - len(row)) + list(row) for row in rows], device=device)
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows], device=device)
    return ids, mask
