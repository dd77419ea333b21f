"""The decoder: batched greedy decoding and sampling, with both guidance branches in one forward.

Finished prompts leave the batch and waiting ones take their places. `batch` runs any model, `tightlip.cpu` runs Llamas
on a CPU.

Shapes: B prompts in the batch, N rows of the forward (one or two per prompt: positive, negative), V vocabulary.
"""

import functools
import random
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from tqdm import tqdm

from tightlip import cpu
from tightlip.guidance.batch import ModelRows
from tightlip.guidance.combine import combine
from tightlip.table_rows import UNGUIDED, Guidance


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
class Decoding:
    """How answers are decoded.

    Attributes:
        max_new_tokens: limit per answer.
        eos_ids: tokens that end an answer.
        pad_id: any token id; padding is masked.
        batch_size: prompts decoded at a time.
        temperature: 0 is greedy; above 0, samples from the (guided) distribution.
        seed: of the sampling; every prompt draws from a generator of its own, whatever the batch.
        banned_ids: tokens that are never chosen.
    """

    max_new_tokens: int
    eos_ids: Collection[int]
    pad_id: int
    batch_size: int = 16
    temperature: float = 0.0
    seed: int = 0
    banned_ids: Collection[int] = ()


@dataclass
class _Prompt:
    """A prompt in the batch.

    Attributes:
        branches: token ids, positive and perhaps negative.
        guidance: of this prompt.
        rng: random numbers of its own.
        rows: numbers of its branches' rows while it is decoded.
        answer: token ids so far.
    """

    branches: Sequence[Sequence[int]]
    guidance: Guidance
    rng: random.Random
    rows: list[int]
    answer: list[int]


def generate(
    model: Any,
    prompts: Sequence[Sequence[int]],
    negatives: Sequence[Sequence[int] | None] | None = None,
    *,
    decoding: Decoding,
    guidance: Guidance | Sequence[Guidance] = UNGUIDED,
    first: int = 0,
    with_eos: bool = False,
    prompt_cache: dict[tuple[int, ...], Any] | None = None,
    progress: str | None = None,
) -> list[list[int]]:
    """Continue prompts, guided away from negative prompts where these are given.

    Args:
        model: a causal language model with or without adapter, in eval mode.
        prompts: token ids, one list a prompt.
        negatives: token ids of the same prompts under the negative system prompt; None decodes unguided.
        decoding: limits, batch size and sampling.
        guidance: one for all prompts or one per prompt; at γ = 1 no negative branch is run.
        first: number of the first prompt in a longer series; it seeds the prompts' generators.
        with_eos: keep the EOS token that ended an answer.
        prompt_cache: an empty dict at first, which the caller passes on to further calls with the same model, for
            instance at another γ: prompts in it are not read again. Llamas on a CPU fill it, with 23 kB per token at
            135M parameters.
        progress: label of a progress bar.

    Returns:
        New token ids of each prompt, in the order given.

    Raises:
        ValueError: empty prompt, unequal counts, or a negative prompt equal to its positive one: guidance would
            silently do nothing.
    """
    guidances = [guidance] * len(prompts) if isinstance(guidance, Guidance) else list(guidance)
    branches = _branches(prompts, negatives, guidances)
    work = [
        _Prompt(token_ids, each, random.Random(f"{decoding.seed} {first + i}"), [], [])  # noqa: S311
        for i, (token_ids, each) in enumerate(zip(branches, guidances, strict=True))
    ]

    bar = tqdm(total=len(prompts), desc=progress, disable=progress is None, unit="prompt")
    with bar, torch.inference_mode():
        stock_rows = functools.partial(ModelRows, model, decoding.pad_id)
        _decode(cpu.decoding_rows(model, branches, prompt_cache) or stock_rows, work, decoding, bar)
    answers = [prompt.answer for prompt in work]
    return answers if with_eos else [ids[:-1] if ids[-1:] and ids[-1] in decoding.eos_ids else ids for ids in answers]


def _branches(
    prompts: Sequence[Sequence[int]],
    negatives: Sequence[Sequence[int] | None] | None,
    guidances: Sequence[Guidance],
) -> list[list[Sequence[int]]]:
    """Return the branches of every prompt: the prompt, and where it is guided the negative one."""
    for name, values in (("negative prompts", negatives), ("guidances", guidances)):
        if values is not None and len(values) != len(prompts):
            raise ValueError(f"{len(prompts)} prompts but {len(values)} {name}")
    branches: list[list[Sequence[int]]] = []
    for number, (prompt, negative, guidance) in enumerate(
        zip(prompts, negatives or [None] * len(prompts), guidances, strict=True)
    ):
        if not prompt or (negative is not None and not negative):
            raise ValueError("a prompt is empty; at least one token is needed")
        if negative is not None and list(prompt) == list(negative):
            raise ValueError(f"prompt {number}: the negative prompt equals the positive one; guidance would do nothing")
        branches.append([prompt] if negative is None or not guidance.needs_negative else [prompt, negative])
    return branches


def _decode(new_rows: Callable[[], Rows], prompts: Sequence[_Prompt], decoding: Decoding, bar: Any) -> None:
    """Decode all prompts; answers include EOS."""
    waiting = deque(sorted(prompts, key=lambda prompt: -len(prompt.branches[0])))
    running: list[_Prompt] = []
    rows, logits_NV = new_rows(), None
    eos_ids = torch.tensor(sorted(decoding.eos_ids), dtype=torch.long)
    while waiting or running:
        free = decoding.batch_size - len(running)
        if waiting and (not running or (rows.joinable and free >= max(1, decoding.batch_size // 4))):
            if logits_NV is not None and not running:
                rows, logits_NV = new_rows(), None
            added = [waiting.popleft() for _ in range(min(free, len(waiting)))]
            logits_NV = _add(rows, logits_NV, added)
            running += added
        tokens_B = _next_tokens(logits_NV, running, decoding)
        ended = torch.isin(tokens_B, eos_ids.to(tokens_B.device)).tolist()
        tokens, going = tokens_B.tolist(), []
        for prompt, token, end in zip(running, tokens, ended, strict=True):
            prompt.answer.append(token)
            if not end and len(prompt.answer) < decoding.max_new_tokens:
                going.append(prompt)
        bar.update(len(running) - len(going))
        if going and len(going) < len(running):
            rows.select(_close_gaps(going))
        running = going
        if running:
            # Both branches of a prompt take the same token.
            last_tokens = {row: prompt.answer[-1] for prompt in running for row in prompt.rows}
            logits_NV = rows.step(tokens_B.new_tensor([last_tokens[row] for row in range(len(last_tokens))]))


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
    rows = sorted(row for prompt in prompts for row in prompt.rows)
    gaps = iter(sorted(set(range(len(rows))) - set(rows)))
    new = {row: row if row < len(rows) else next(gaps) for row in rows}
    for prompt in prompts:
        prompt.rows = [new[row] for row in prompt.rows]
    return sorted(new, key=new.__getitem__)


def _next_tokens(logits_NV: Tensor, prompts: Sequence[_Prompt], decoding: Decoding) -> Tensor:
    """Pick one token per prompt, shape (B,)."""
    if decoding.banned_ids:
        logits_NV[:, sorted(decoding.banned_ids)] = -torch.inf
    alike: dict[Guidance, list[int]] = {}  # places of the prompts with the same guidance
    for place, prompt in enumerate(prompts):
        alike.setdefault(prompt.guidance if len(prompt.rows) == 2 else UNGUIDED, []).append(place)
    scores: list[Tensor] = []
    for guidance, places in alike.items():
        branches = [_take(logits_NV, rows) for rows in zip(*(prompts[place].rows for place in places), strict=True)]
        scores.append(branches[0].float() if len(branches) == 1 else combine(branches[0], branches[1], guidance))
    if len(scores) == 1:
        scores_BV = scores[0]
    else:
        scores_BV = torch.cat(scores)[torch.tensor([place for places in alike.values() for place in places]).argsort()]
    if decoding.temperature == 0:
        return scores_BV.argmax(dim=-1)
    upto_BV = torch.softmax(scores_BV.double() / decoding.temperature, dim=-1).cumsum(dim=-1)
    drawn_B1 = upto_BV.new_tensor([[prompt.rng.random()] for prompt in prompts])
    tokens_B1 = torch.searchsorted(upto_BV, drawn_B1 * upto_BV[:, -1:], right=True)
    return tokens_B1.squeeze(-1).clamp_(max=upto_BV.shape[-1] - 1)


def _take(logits_NV: Tensor, rows: Sequence[int]) -> Tensor:
    """Return some rows; a single one is not copied."""
    return logits_NV[rows[0] : rows[0] + 1] if len(rows) == 1 else logits_NV[list(rows)]
