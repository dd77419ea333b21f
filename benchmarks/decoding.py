"""Guided decoding: transformers' `generate` one prompt at a time against one batched decoder; greedy, the same tokens.

Prompts are random tokens, as many as those of the laptop profile.
"""

import functools
import random
import time
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from measure import BASE, Seconds, alternate, random_ids, ratio

from tightlip.guidance.decoder import Decoding, generate
from tightlip.models.loading import load_model
from tightlip.table_rows import UNGUIDED, Guidance

NEW_TOKENS, SCALE, PROMPT_TOKENS = 32, 2.0, 128
MANY = 50
STEP_REPETITIONS = 25
"""Steps take milliseconds, in which the machine's speed varies most."""


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


def ours(
    positive: Sequence[list[int]],
    negative: Sequence[list[int]] | None,
    batch_size: int,
    new_tokens: int = NEW_TOKENS,
    of: Any = None,
    prompt_cache: dict[tuple[int, ...], Any] | None = None,
) -> None:
    """Our decoder, of SmolLM2-135M if no other model is given."""
    generate(
        model() if of is None else of, positive, negative, prompt_cache=prompt_cache,
        decoding=Decoding(new_tokens, [], 0, batch_size), guidance=Guidance(SCALE) if negative else UNGUIDED,
    )  # fmt: skip


def seconds_per_step(
    positive: Sequence[list[int]],
    negative: Sequence[list[int]] | None,
    new_tokens: int = NEW_TOKENS,
    of: Any = None,
) -> float:
    """Seconds per token of a whole batch after the first: what two lengths of answer differ in, the prompts read."""
    times, read = [], {}
    for length in (1, 1, new_tokens + 1):
        start = time.perf_counter()
        ours(positive, negative, len(positive), length, of, read)
        times.append(time.perf_counter() - start)
    return (times[2] - times[1]) / new_tokens


def measure() -> Iterator[tuple[str, float, Seconds]]:
    """Yield figure, value and the measurements of each side."""
    some, others = prompts(8)
    stock(some[:1], others[:1])
    seconds = alternate({
        "stock": lambda: stock(some, others),
        "tightlip": lambda: ours(some, others, 1),
        "unguided": lambda: ours(some, None, 1),
    })  # fmt: skip
    yield "guided_speedup_batch_1", ratio(seconds, "stock", "tightlip"), seconds
    yield "guidance_overhead_batch_1_with_prompts", ratio(seconds, "tightlip", "unguided"), seconds
    for batch in (1, 16):
        batch_of, negatives = prompts(batch)
        seconds = alternate({
            "tightlip": functools.partial(seconds_per_step, batch_of, negatives),
            "unguided": functools.partial(seconds_per_step, batch_of, None),
        }, repetitions=STEP_REPETITIONS)  # fmt: skip
        yield f"guidance_overhead_batch_{batch}", ratio(seconds, "tightlip", "unguided"), seconds
    many, others = prompts(MANY)
    seconds = alternate({"tightlip": lambda: ours(many, others, 16), "unguided": lambda: ours(many, None, 16)})
    yield "guidance_overhead_batch_16_with_prompts", ratio(seconds, "tightlip", "unguided"), seconds
    both = {"stock": lambda: stock(many, others), "tightlip": lambda: ours(many, others, 16)}
    seconds = alternate(both, warm=False)
    yield "guided_speedup_eval_50_prompts", ratio(seconds, "stock", "tightlip"), seconds
    seconds = _bandwidth()
    yield "decode_fraction_of_bandwidth_limit", ratio(seconds, "stream", "tightlip"), seconds
    yield "decode_fraction_of_piecewise_limit", ratio(seconds, "pieces", "tightlip"), seconds


def _bandwidth() -> Seconds:
    """Seconds of a step, and of reading the bytes of weights and cache that it must read; batch of one.

    Read as one stream, the memory's own limit, and in the pieces in which products that wait for one another can read
    them: four matrices per layer, and the head.
    """
    config = model().config
    per_token = 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim * 2  # keys, values; bf16
    needed = sum(parameter.nbytes for parameter in model().parameters()) + (PROMPT_TOKENS + NEW_TOKENS) * per_token
    sizes = [model().lm_head.weight.nbytes]
    for layer in model().model.layers:
        attention, mlp = layer.self_attn, layer.mlp
        together = (attention.q_proj, attention.k_proj, attention.v_proj), (mlp.gate_proj, mlp.up_proj)
        for modules in (*together, [attention.o_proj], [mlp.down_proj]):
            sizes.append(sum(module.weight.nbytes for module in modules))
    prompt = random_ids(PROMPT_TOKENS, random.Random(0))

    def reading(sizes: Sequence[int]) -> float:
        # New tables each time, since some are read at twice the speed of others.
        tables = [torch.ones(size // 4, device=model().device) for size in sizes]
        start = time.perf_counter()
        for table in tables:
            total = table.sum()
        total.item()  # a GPU is waited for
        return (time.perf_counter() - start) * needed / sum(sizes)

    return alternate({
        "stream": lambda: reading([2**29]),  # more than any cache holds
        "pieces": lambda: reading(sizes),
        "tightlip": functools.partial(seconds_per_step, [prompt], None, 2 * NEW_TOKENS),
    }, repetitions=STEP_REPETITIONS)  # fmt: skip
