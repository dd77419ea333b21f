"""The decoder: batched greedy decoding and sampling, with both guidance branches in one forward.

Prompts are run in small groups of like length, then decoded together; finished prompts leave the batch and waiting
ones take their places.

Shapes: B prompts in the batch, R rows of the forward (one or two per prompt: positive, negative), L padded length, V
vocabulary.
"""

import itertools
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

    space: Space
    plausibility: float
    banned_ids: Tensor
    max_new_tokens: int
    eos_ids: Tensor
    pad_id: int
    batch_size: int
    temperature: float
    joinable: bool
    prefill_tokens: float


@dataclass(frozen=True)
class _Prompt:
    """A prompt: its rows, positive and perhaps negative, its guidance scale and its generator of random numbers."""

    rows: Sequence[Sequence[int]]
    scale: float
    rng: random.Random


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
    negatives: Sequence[Sequence[int] | None] | None = None,
    *,
    scale: float | Sequence[float] = 1.0,
    space: Space = "prob",
    plausibility: float = 0.0,
    banned_ids: Collection[int] = (),
    max_new_tokens: int,
    eos_ids: Collection[int],
    pad_id: int,
    batch_size: int = 16,
    temperature: float = 0.0,
    seed: int = 0,
    with_eos: bool = False,
    progress: str | None = None,
) -> list[list[int]]:
    """Continue prompts, guided away from negative prompts where these are given.

    Args:
        model: a causal language model with or without adapter, in eval mode.
        prompts: token ids, one list a prompt.
        negatives: token ids of the same prompts under the negative system prompt; None decodes unguided.
        scale: guidance scale γ, one for all or one per prompt; at 1 no negative branch is run.
        space, plausibility: see `combine`.
        banned_ids: tokens that are never chosen.
        max_new_tokens: limit per answer.
        eos_ids: tokens that end an answer.
        pad_id: any token id; padding is masked.
        batch_size: prompts decoded at a time.
        temperature: 0 is greedy; above 0, samples from the (guided) distribution.
        seed: of the sampling; every prompt draws from a generator of its own, whatever the batch.
        with_eos: keep the EOS token that ended an answer.
        progress: label of a progress bar.

    Returns:
        New token ids of each prompt, in the order given.

    Raises:
        ValueError: empty prompt, unequal counts, or a negative prompt equal to its positive one: guidance would
            silently do nothing.
    """
    scales = list(scale) if isinstance(scale, Sequence) else [scale] * len(prompts)
    rows = _rows(prompts, negatives, scales)
    ends = torch.tensor(sorted(eos_ids), dtype=torch.long, device=model.device)
    banned = torch.tensor(sorted(banned_ids), dtype=torch.long, device=model.device)
    joinable = all(type(layer) is DynamicLayer for layer in DynamicCache(config=model.config).layers)
    prefill = PREFILL_TOKENS * (1 if model.device.type == "cpu" else 16) if joinable else math.inf
    settings = _Settings(
        space, plausibility, banned, max_new_tokens, ends, pad_id, batch_size, temperature, joinable, prefill
    )  # fmt: skip
    rngs = [random.Random(f"{seed} {i}") for i in range(len(prompts))]  # noqa: S311
    work = [_Prompt(*each) for each in zip(rows, scales, rngs, strict=True)]
    with tqdm(total=len(prompts), desc=progress, disable=progress is None, unit="prompt") as bar:
        answers: list[list[int]] = _decode(model, work, settings, bar)
    return answers if with_eos else [ids[:-1] if ids[-1:] and ids[-1] in eos_ids else ids for ids in answers]


def _rows(
    prompts: Sequence[Sequence[int]], negatives: Sequence[Sequence[int] | None] | None, scales: Sequence[float]
) -> list[list[Sequence[int]]]:
    """Return the rows of every prompt: the prompt, and where it is guided the negative one."""
    for name, values in (("negative prompts", negatives), ("guidance scales", scales)):
        if values is not None and len(values) != len(prompts):
            raise ValueError(f"{len(prompts)} prompts but {len(values)} {name}")
    rows: list[list[Sequence[int]]] = []
    for number, (prompt, negative, scale) in enumerate(
        zip(prompts, negatives or [None] * len(prompts), scales, strict=True)
    ):
        if not prompt or (negative is not None and not negative):
            raise ValueError("a prompt is empty; at least one token is needed")
        if negative is not None and list(prompt) == list(negative):
            raise ValueError(f"prompt {number}: the negative prompt equals the positive one; guidance would do nothing")
        rows.append([prompt] if negative is None or scale == 1 else [prompt, negative])
    return rows


@torch.inference_mode()
def _decode(model: Any, prompts: Sequence[_Prompt], settings: _Settings, bar: Any) -> list[list[int]]:
    """Decode all prompts; answers include EOS."""
    answers: list[list[int]] = [[] for _ in prompts]
    waiting = deque(sorted(range(len(prompts)), key=lambda i: (-len(prompts[i].rows[0]), i)))
    running: list[_Batch] = []  # none or one
    while waiting or running:
        free = settings.batch_size - sum(len(batch.chosen) for batch in running)
        if waiting and (not running or (settings.joinable and free >= max(1, settings.batch_size // 4))):
            chosen = [waiting.popleft() for _ in range(min(free, len(waiting)))]
            running = [_join([*running, *_prefill(model, prompts, chosen, settings)])]
        (batch,) = running
        tokens_B = _next_tokens(batch.logits, [prompts[i] for i in batch.chosen], settings)
        ended = torch.isin(tokens_B, settings.eos_ids).tolist()
        keep = []
        for place, (i, token, end) in enumerate(zip(batch.chosen, tokens_B.tolist(), ended, strict=True)):
            answers[i].append(token)
            if not end and len(answers[i]) < settings.max_new_tokens:
                keep.append(place)
        bar.update(len(batch.chosen) - len(keep))
        running = [_step(model, batch, tokens_B, keep, [len(prompts[i].rows) for i in batch.chosen])] if keep else []
    return answers


def _prefill(model: Any, prompts: Sequence[_Prompt], chosen: Sequence[int], settings: _Settings) -> list[_Batch]:
    """Run prompts in groups of like length; `chosen` comes longest first."""
    groups: list[list[int]] = []
    for i in chosen:
        together = [row for j in [*(groups[-1] if groups else []), i] for row in prompts[j].rows]
        if groups and len(together) * max(map(len, together)) <= settings.prefill_tokens:
            groups[-1].append(i)
        else:
            groups.append([i])
    batches = []
    for group in groups:
        ids_RL, mask_RL = left_pad([row for i in group for row in prompts[i].rows], settings.pad_id, model.device)
        cache, position_RL = DynamicCache(config=model.config), (mask_RL.cumsum(-1) - 1).clamp_(min=0)
        batches.append(_Batch(group, cache, mask_RL, _logits(model, ids_RL, mask_RL, position_RL, cache)))
    return batches


def _step(model: Any, batch: _Batch, tokens_B: Tensor, keep: Sequence[int], branches: Sequence[int]) -> _Batch:
    """Feed the chosen tokens of the prompts that go on; both branches of a prompt take the same token."""
    mask_RL, cache = batch.mask, batch.cache
    if len(keep) < len(batch.chosen):
        first = [0, *itertools.accumulate(branches)]
        keep_R = torch.tensor([row for place in keep for row in range(first[place], first[place + 1])])
        keep_R = keep_R.to(mask_RL.device)
        cache.batch_select_indices(keep_R)
        mask_RL, tokens_B, branches = mask_RL[keep_R], tokens_B[list(keep)], [branches[place] for place in keep]
    mask_RL = functional.pad(mask_RL, (0, 1), value=1)
    tokens_R = tokens_B.repeat_interleave(torch.tensor(branches, device=tokens_B.device))
    logits_RV = _logits(model, tokens_R[:, None], mask_RL, mask_RL.sum(-1, keepdim=True) - 1, cache)
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


def _next_tokens(logits_RV: Tensor, prompts: Sequence[_Prompt], settings: _Settings) -> Tensor:
    """Pick one token per prompt, shape (B,)."""
    logits_RV[:, settings.banned_ids] = -torch.inf
    rows = list(itertools.accumulate((len(prompt.rows) for prompt in prompts), initial=0))[:-1]
    scores_BV = logits_RV[rows].float()
    guided: dict[float, list[int]] = {}
    for place, prompt in enumerate(prompts):
        if len(prompt.rows) == 2:
            guided.setdefault(prompt.scale, []).append(place)
    for scale, places in guided.items():
        positive, negative = logits_RV[[rows[i] for i in places]], logits_RV[[rows[i] + 1 for i in places]]
        scores_BV[places] = combine(positive, negative, scale, settings.space, settings.plausibility)
    if settings.temperature == 0:
        return scores_BV.argmax(dim=-1)
    upto_BV = torch.softmax(scores_BV.double() / settings.temperature, dim=-1).cumsum(dim=-1)
    drawn_B1 = upto_BV.new_tensor([[prompt.rng.random()] for prompt in prompts])
    tokens_B1 = torch.searchsorted(upto_BV, drawn_B1 * upto_BV[:, -1:], right=True)
    return tokens_B1.squeeze(-1).clamp_(max=upto_BV.shape[-1] - 1)


def left_pad(rows: Sequence[Sequence[int]], pad_id: int, device: Any) -> tuple[Tensor, Tensor]:
    """Pad on the left: ids and attention mask, both of shape (rows, longest)."""
    longest = max(map(len, rows))
    ids = torch.tensor([[pad_id] * (longest - len(row)) + list(row) for row in rows], device=device)
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows], device=device)
    return ids, mask
