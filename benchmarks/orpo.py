"""ORPO training: TRL's trainer as it comes against the packed one, in bf16; seconds of `train()`."""

import random
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from measure import BASE, Seconds, alternate, peak_memory_mb, random_ids, ratio
from peft import LoraConfig, get_peft_model
from stock import StockTrainer

from tightlip import cpu
from tightlip.models.loading import load_model
from tightlip.models.tokenizer import load_tokenizer
from tightlip.preference.pair_encoding import EncodedPair
from tightlip.preference.trainer import ORPOConfig, PackedORPOTrainer, pair_dataset


@dataclass(frozen=True)
class Case:
    """What is trained on.

    Attributes:
        prompt, completion: tokens of each prompt, and of each chosen and rejected completion.
        pairs_per_prompt: candidate pairs of one prompt.
        batch: pairs per step.
        steps: steps per measurement.
    """

    prompt: int
    completion: int
    pairs_per_prompt: int = 1
    batch: int = 2
    steps: int = 4

    def pairs(self) -> list[EncodedPair]:
        """Random token ids."""
        rng = random.Random(0)
        made = []
        for number in range(self.batch * self.steps // self.pairs_per_prompt):
            prompt = random_ids(self.prompt, rng)
            made += [
                EncodedPair(answer=str(number), prompt_ids=prompt, chosen_ids=random_ids(self.completion, rng),
                            rejected_ids=random_ids(self.completion, rng))
                for _ in range(self.pairs_per_prompt)
            ]  # fmt: skip
        return made


CASES = {
    "orpo_speedup_256_48": Case(256, 48, steps=3),
    "orpo_speedup_1024_96": Case(1024, 96, steps=1),
    "orpo_speedup_4_pairs_per_prompt": Case(256, 48, pairs_per_prompt=4, batch=8, steps=1),  # two prompts a step
    "orpo_speedup_4_pairs_one_prompt_a_step": Case(256, 48, pairs_per_prompt=4, batch=4, steps=2),
}


def trainer(kind: str, case: Case, work: str, model: Any = None) -> Any:
    """Make a trainer of kind `stock` or `tightlip`; of SmolLM2-135M if no other model is given."""
    torch.manual_seed(0)
    model = load_model(BASE) if model is None else model
    config = ORPOConfig(
        output_dir=work, per_device_train_batch_size=case.batch, num_train_epochs=1, bf16=True, save_strategy="no",
        report_to=[], remove_unused_columns=False, gradient_checkpointing=False, disable_tqdm=True, max_length=8192,
        dataloader_pin_memory=False, use_cpu=not torch.cuda.is_available(), logging_strategy="no",
    )  # fmt: skip
    lora = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
    common = {"args": config, "train_dataset": pair_dataset(case.pairs()), "processing_class": load_tokenizer(BASE)}
    if kind == "stock":
        model.set_attn_implementation("sdpa")
        return StockTrainer(model=model, peft_config=lora, **common)
    return PackedORPOTrainer(model=cpu.fuse_lora(get_peft_model(model, lora)), nll_on="sequence", **common)


def seconds_of(trained: Any) -> Callable[[], float]:
    """Return a function that trains and returns how many seconds that took."""
    return lambda: float(trained.train().metrics["train_runtime"])


def once(kind: str, name: str) -> None:
    """Train once, for the measurement of memory."""
    with tempfile.TemporaryDirectory() as work:
        trainer(kind, CASES[name], work).train()


def measure() -> Iterator[tuple[str, float, Seconds]]:
    """Yield figure, ratio and the seconds of both sides."""
    for name, case in CASES.items():
        with tempfile.TemporaryDirectory() as work:
            trainers = {kind: trainer(kind, case, work) for kind in ("stock", "tightlip")}
            seconds = alternate({kind: seconds_of(each) for kind, each in trainers.items()})
        yield name, ratio(seconds, "stock", "tightlip"), seconds
    peaks = {kind: [peak_memory_mb("orpo:once", kind, "orpo_speedup_1024_96")] for kind in ("stock", "tightlip")}
    yield "orpo_peak_memory_ratio_1024_96", round(peaks["tightlip"][0] / peaks["stock"][0], 2), peaks
