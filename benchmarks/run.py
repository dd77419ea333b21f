"""`make bench`: the engines against the stock libraries, in one run, as ratios; writes metrics/benchmarks.json.

Each ratio is the median over alternating repetitions, so that a change of the machine's speed hits both sides.
"""

import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")

import torch
from peft import LoraConfig
from stock import StockTrainer
from transformers import set_seed
from trl.experimental.orpo import ORPOConfig

from tightlip.files import write_json
from tightlip.guidance.decoder import generate
from tightlip.models.loading import load_model, load_tokenizer
from tightlip.preference.trainer import PackedORPOTrainer, pair_dataset

BASE = Path("models/base")
REPETITIONS = 3
PAIRS, PROMPT, COMPLETION = 8, 256, 48
PROMPTS, PROMPT_TOKENS, NEW_TOKENS, SCALE = 8, 128, 32, 2.0


def ratio(stock: Callable[[], Any], ours: Callable[[], Any]) -> float:
    """Median of stock time over our time; one round of each goes first, uncounted."""
    stock(), ours()
    ratios = []
    for _ in range(REPETITIONS):
        start = time.perf_counter()
        stock()
        middle = time.perf_counter()
        ours()
        ratios.append((middle - start) / (time.perf_counter() - middle))
    return round(statistics.median(ratios), 2)


def random_ids(length: int, rng: random.Random) -> list[int]:
    """Token ids above the special ones."""
    return [rng.randrange(100, 40_000) for _ in range(length)]


def orpo() -> dict[str, float]:
    """Time to train on the same pairs, batch of two, bf16."""
    rng = random.Random(0)
    pairs = [
        {
            "answer": str(number),
            "prompt_ids": random_ids(PROMPT, rng),
            "chosen_ids": random_ids(COMPLETION, rng),
            "rejected_ids": random_ids(COMPLETION, rng),
        }
        for number in range(PAIRS)
    ]

    lora = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")

    def train(kind: type, **extra: Any) -> None:
        set_seed(0)
        with tempfile.TemporaryDirectory() as work:
            config = ORPOConfig(
                output_dir=work, per_device_train_batch_size=2, num_train_epochs=1, bf16=True, save_strategy="no",
                report_to=[], remove_unused_columns=False, gradient_checkpointing=False, disable_tqdm=True,
                dataloader_pin_memory=False, use_cpu=not torch.cuda.is_available(), max_length=1024,
            )  # fmt: skip
            kind(
                model=load_model(BASE), args=config, train_dataset=pair_dataset(pairs),
                processing_class=load_tokenizer(BASE), peft_config=lora, **extra,
            ).train()  # fmt: skip

    packed = ratio(lambda: train(StockTrainer), lambda: train(PackedORPOTrainer, nll_on="sequence"))
    return {f"orpo_speedup_{PROMPT}_{COMPLETION}": packed}


def guided_decoding() -> dict[str, float]:
    """Time to answer the same prompts: transformers' guidance one by one, ours one by one and as one batch."""
    rng = random.Random(0)
    model = load_model(BASE)
    prompts = [random_ids(PROMPT_TOKENS, rng) for _ in range(PROMPTS)]
    negatives = [random_ids(PROMPT_TOKENS, rng) for _ in range(PROMPTS)]

    def stock() -> None:
        for prompt, negative in zip(prompts, negatives, strict=True):
            ids = torch.tensor([prompt])
            model.generate(
                ids, attention_mask=torch.ones_like(ids), negative_prompt_ids=torch.tensor([negative]), pad_token_id=0,
                guidance_scale=SCALE, do_sample=False, max_new_tokens=NEW_TOKENS, min_new_tokens=NEW_TOKENS,
            )  # fmt: skip

    def ours(batch_size: int) -> None:
        generate(
            model, prompts, negatives, scale=SCALE, space="log", max_new_tokens=NEW_TOKENS, eos_ids=[], pad_id=0,
            batch_size=batch_size,
        )  # fmt: skip

    return {
        "guided_speedup_batch_1": ratio(stock, lambda: ours(1)),
        f"guided_speedup_batch_{PROMPTS}": ratio(stock, lambda: ours(PROMPTS)),
    }


def main() -> None:
    """Measure, write and print."""
    if not BASE.is_dir():
        raise SystemExit(f"Error: {BASE} is missing; run `dvc repro fetch_base`")
    figures = {**orpo(), **guided_decoding()}
    write_json("metrics/benchmarks.json", figures)
    for name, value in figures.items():
        print(f"{name:32} {value:6.2f} ×")


if __name__ == "__main__":
    main()
