"""Guided decoding: transformers' `generate` one prompt at a time against one batched decoder; greedy, the same tokens.

Prompts are random tokens, as many as those of the laptop profile.
"""

import functools
import random
import statistics
import time
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from measure import BASE, Seconds, alternate, random_ids, ratio

from tightlip.guidance.decoder import generate
from tightlip.models.loading import load_model

NEW_TOKENS, SCALE, PROMPT_TOKENS = 32, 2.0, 128
MANY = 50


@functools.cache
def model() -> Any:
    """SmolLM2-135M in bf16."""
    return load_model(BASE)


def prompts(count: int) -> tuple[list[list[int]], list[list[int]]]:
    """Prompts of 96 to 160 tokens, and their negatives."""
    rng = random.Random(0)
    pairs = [[random_ids(rng.randint(96, 160), rng) for _ in range(2)] for _ in range(count)]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def stock(positive: Sequence[list[int]], negative: Sequence[list[int]]) -> None:
    """Transformers, one by one, with the attention that it comes with."""
    attention = model().config._attn_implementation
    model().set_attn_implementation("sdpa")
    for prompt, other in zip(positive, negative, strict=True):
        ids = torch.tensor([prompt])
        model().generate(
            ids, attention_mask=torch.ones_like(ids), negative_prompt_ids=torch.tensor([other]), guidance_scale=SCALE,
            do_sample=False, max_new_tokens=NEW_TOKENS, pad_token_id=0, eos_token_id=None,
        )  # fmt: skip
    model().set_attn_implementation(attention)


def ours(positive: Sequence[list[int]], negative: Sequence[list[int]] | None, batch_size: int) -> None:
    """Our decoder."""
    generate(
        model(), positive, negative, scale=SCALE if negative else 1.0, space="log", max_new_tokens=NEW_TOKENS,
        eos_ids=[], pad_id=0, batch_size=batch_size,
    )  # fmt: skip


def measure() -> Iterator[tuple[str, float, Seconds]]:
    """Yield figure, value and the measurements of each side."""
    positive, negative = prompts(8)
    stock(positive[:1], negative[:1])
    sides = {
        "stock": lambda: stock(positive, negative),
        "tightlip": lambda: ours(positive, negative, 1),
        "unguided": lambda: ours(positive, None, 1),
    }
    seconds = alternate(sides)
    yield "guided_speedup_batch_1", ratio(seconds, "stock", "tightlip"), seconds
    yield "guidance_overhead_batch_1", ratio(seconds, "tightlip", "unguided"), seconds
    some, others = prompts(MANY)
    seconds = alternate({"tightlip": lambda: ours(some, others, 16), "unguided": lambda: ours(some, None, 16)})
    yield "guidance_overhead_batch_16", ratio(seconds, "tightlip", "unguided"), seconds
    both = {"stock": lambda: stock(some, others), "tightlip": lambda: ours(some, others, 16)}
    seconds = alternate(both, warm=False)
    yield "guided_speedup_eval_50_prompts", ratio(seconds, "stock", "tightlip"), seconds
    yield "decode_fraction_of_bandwidth_limit", *_bandwidth()


def _bandwidth() -> tuple[float, Seconds]:
    """Bytes of weights and cache that a step must read, over the bandwidth, against the time per step; batch of one.

    The time per step is that of the tokens after the first: what two lengths of answer differ in.
    """
    weights = sum(parameter.nbytes for parameter in model().parameters())
    config = model().config
    per_token = 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim * 2  # keys, values; bf16
    prompt = random_ids(PROMPT_TOKENS, random.Random(0))
    table = torch.randn(2**27)  # 512 MB, more than any cache holds

    def step_seconds(new_tokens: int) -> float:
        start = time.perf_counter()
        generate(model(), [prompt], max_new_tokens=new_tokens, eos_ids=[], pad_id=0)
        return time.perf_counter() - start

    seconds: Seconds = {"limit": [], "tightlip": []}
    step_seconds(4), table.sum()
    for _ in range(5):
        start = time.perf_counter()
        table.sum()
        bandwidth = table.nbytes / (time.perf_counter() - start)
        seconds["limit"].append((weights + (PROMPT_TOKENS + 32) * per_token) / bandwidth)
        seconds["tightlip"].append((step_seconds(65) - step_seconds(1)) / 64)
    return round(statistics.median(map(float.__truediv__, seconds["limit"], seconds["tightlip"])), 2), seconds
