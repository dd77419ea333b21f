"""The decoder: batched greedy decoding and sampling, with both guidance branches in one forward.

Finished prompts leave the batch and waiting ones take their places. What runs the model stands in `batch` (any model)
and `llama` (Llamas on a CPU).

Shapes: B prompts in the batch, N rows of the forward (one or two per prompt: positive, negative), V vocabulary.
"""

import functools
import math
import random
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from tqdm import tqdm

from tightlip.guidance.batch import ModelRows
from tightlip.guidance.combine import combine
from tightlip.guidance.llama_decoding import LlamaRows, State, read, supports
from tightlip.table_rows import Space

READ_AHEAD = 2**30
"""Bytes of states up to which all prompts are read before the first is continued, if the caller keeps none."""


class Rows(Protocol):
    """Rows being decoded: their caches.

    Attributes:
        joinable: whether rows can be added while others are decoded.
    """

    joinable: bool

    def add(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """Read prompts, the longest first, as new last rows; return the logits that follow, shape (added rows, V)."""

    def select(self, order: Sequence[int]) -> None:
        """Keep rows; `order` gives the present number of each."""

    def step(self, tokens_N: Tensor) -> Tensor:
        """Feed one token per row and return the logits that follow, shape (N, V)."""


@dataclass(frozen=True)
class _Settings:
    """Beside the arguments of `generate`."""

    space: Space
    plausibility: float
    banned_ids: Tensor
    max_new_tokens: int
    eos_ids: Tensor
    batch_size: int
    temperature: float


@dataclass
class _Prompt:
    """A prompt in the batch.

    Attributes:
        branches: token ids, positive and perhaps negative.
        scale: γ.
        rng: random numbers of its own.
        rows: numbers of its branches' rows while it is decoded.
        answer: token ids so far.
    """

    branches: Sequence[Sequence[int]]
    scale: float
    rng: random.Random
    rows: list[int]
    answer: list[int]


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
    first: int = 0,
    with_eos: bool = False,
    prompt_cache: dict[tuple[int, ...], State] | None = None,
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
        first: number of the first prompt, if there were others before: it decides the generators.
        with_eos: keep the EOS token that ended an answer.
        prompt_cache: kept by the caller, an empty dict at first: prompts in it need not be read again by a further
            call with the same model, at another γ say. Llamas on a CPU fill it, with 23 kB per token at 135M
            parameters.
        progress: label of a progress bar.

    Returns:
        New token ids of each prompt, in the order given.

    Raises:
        ValueError: empty prompt, unequal counts, or a negative prompt equal to its positive one: guidance would
            silently do nothing.
    """
    scales = list(scale) if isinstance(scale, Sequence) else [scale] * len(prompts)
    branches = _branches(prompts, negatives, scales)
    ends = torch.tensor(sorted(eos_ids), dtype=torch.long, device=model.device)
    banned = torch.tensor(sorted(banned_ids), dtype=torch.long, device=model.device)
    settings = _Settings(space, plausibility, banned, max_new_tokens, ends, batch_size, temperature)
    work = [
        _Prompt(rows_of, scale, random.Random(f"{seed} {first + i}"), [], [])  # noqa: S311
        for i, (rows_of, scale) in enumerate(zip(branches, scales, strict=True))
    ]

    new_rows: Callable[[], Rows] = functools.partial(ModelRows, model, pad_id)
    bar = tqdm(total=len(prompts), desc=progress, disable=progress is None, unit="prompt")
    with bar, torch.inference_mode():
        if supports(model):
            kept: dict[tuple[int, ...], State] = {} if prompt_cache is None else prompt_cache
            new_rows = functools.partial(LlamaRows, model, kept)
            for which in range(2):  # apart, so that positive prompts are read alike whatever γ asks for beside them
                some = [rows[which] for rows in branches if which < len(rows)]
                read(model, some, kept, READ_AHEAD if prompt_cache is None else math.inf)
        _decode(new_rows, work, settings, bar)
    answers = [prompt.answer for prompt in work]
    return answers if with_eos else [ids[:-1] if ids[-1:] and ids[-1] in eos_ids else ids for ids in answers]


def _branches(
    prompts: Sequence[Sequence[int]], negatives: Sequence[Sequence[int] | None] | None, scales: Sequence[float]
) -> list[list[Sequence[int]]]:
    """Return the branches of every prompt: the prompt, and where it is guided the negative one."""
    for name, values in (("negative prompts", negatives), ("guidance scales", scales)):
        if values is not None and len(values) != len(prompts):
            raise ValueError(f"{len(prompts)} prompts but {len(values)} {name}")
    branches: list[list[Sequence[int]]] = []
    for number, (prompt, negative, scale) in enumerate(
        zip(prompts, negatives or [None] * len(prompts), scales, strict=True)
    ):
        if not prompt or (negative is not None and not negative):
            raise ValueError("a prompt is empty; at least one token is needed")
        if negative is not None and list(prompt) == list(negative):
            raise ValueError(f"prompt {number}: the negative prompt equals the positive one; guidance would do nothing")
        branches.append([prompt] if negative is None or scale == 1 else [prompt, negative])
    return branches


def _decode(new_rows: Callable[[], Rows], prompts: Sequence[_Prompt], settings: _Settings, bar: Any) -> None:
    """Decode all prompts; answers include EOS."""
    waiting = deque(sorted(prompts, key=lambda prompt: -len(prompt.branches[0])))
    running: list[_Prompt] = []
    rows, logits_NV = new_rows(), None
    while waiting or running:
        free = settings.batch_size - len(running)
        if waiting and (not running or (rows.joinable and free >= max(1, settings.batch_size // 4))):
            if logits_NV is not None and not running:
                rows, logits_NV = new_rows(), None
            added = [waiting.popleft() for _ in range(min(free, len(waiting)))]
            logits_NV = _add(rows, logits_NV, added)
            running += added
        tokens_B = _next_tokens(logits_NV, running, settings)
        ended = torch.isin(tokens_B, settings.eos_ids).tolist()
        tokens, going = tokens_B.tolist(), []
        for prompt, token, end in zip(running, tokens, ended, strict=True):
            prompt.answer.append(token)
            if not end and len(prompt.answer) < settings.max_new_tokens:
                going.append(prompt)
        bar.update(len(running) - len(going))
        if going and len(going) < len(running):
            rows.select(_close_gaps(going))
        running = going
        if running:
            # Both branches of a prompt take the same token.
            of_row = {row: prompt.answer[-1] for prompt in running for row in prompt.rows}
            logits_NV = rows.step(tokens_B.new_tensor([of_row[row] for row in range(len(of_row))]))


def _add(rows: Rows, logits_NV: Tensor | None, added: Sequence[_Prompt]) -> Tensor:
    """Put prompts into the batch."""
    number = 0 if logits_NV is None else len(logits_NV)
    for prompt in added:
        prompt.rows = list(range(number, number + len(prompt.branches)))
        number += len(prompt.branches)
    new_NV = rows.add([branch for prompt in added for branch in prompt.branches])
    return new_NV if logits_NV is None else torch.cat([logits_NV, new_NV])


def _close_gaps(prompts: Sequence[_Prompt]) -> list[int]:
    """Give the rows of these prompts the lowest numbers, most of them their own; return the old number of each."""
    kept = sorted(row for prompt in prompts for row in prompt.rows)
    gaps = iter(sorted(set(range(len(kept))) - set(kept)))
    new = {row: row if row < len(kept) else next(gaps) for row in kept}
    for prompt in prompts:
        prompt.rows = [new[row] for row in prompt.rows]
    return sorted(new, key=new.__getitem__)


def _next_tokens(logits_NV: Tensor, prompts: Sequence[_Prompt], settings: _Settings) -> Tensor:
    """Pick one token per prompt, shape (B,)."""
    if len(settings.banned_ids):
        logits_NV[:, settings.banned_ids] = -torch.inf
    alike: dict[float, list[int]] = {}  # places of the prompts with the same γ
    for place, prompt in enumerate(prompts):
        alike.setdefault(prompt.scale if len(prompt.rows) == 2 else 1.0, []).append(place)
    scores: list[Tensor] = []
    for scale, places in alike.items():
        branches = [_take(logits_NV, rows) for rows in zip(*(prompts[place].rows for place in places), strict=True)]
        if len(branches) == 1:
            scores.append(branches[0].float())
        else:
            scores.append(combine(branches[0], branches[1], scale, settings.space, settings.plausibility))
    if len(scores) == 1:
        scores_BV = scores[0]
    else:
        scores_BV = torch.cat(scores)[torch.tensor([place for places in alike.values() for place in places]).argsort()]
    if settings.temperature == 0:
        return scores_BV.argmax(dim=-1)
    upto_BV = torch.softmax(scores_BV.double() / settings.temperature, dim=-1).cumsum(dim=-1)
    drawn_B1 = upto_BV.new_tensor([[prompt.rng.random()] for prompt in prompts])
    tokens_B1 = torch.searchsorted(upto_BV, drawn_B1 * upto_BV[:, -1:], right=True)
    return tokens_B1.squeeze(-1).clamp_(max=upto_BV.shape[-1] - 1)


def _take(logits_NV: Tensor, rows: Sequence[int]) -> Tensor:
    """Return some rows; a single one is not copied."""
    return logits_NV[rows[0] : rows[0] + 1] if len(rows) == 1 else logits_NV[list(rows)]
