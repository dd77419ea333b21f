"""ORPO training: TRL's trainer with the packed batch layout and a choice of tokens for the likelihood term.

DPO and fine-tuning on the chosen answers, with which ORPO is compared, train on the same pairs in the same batches.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")

import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Sampler
from transformers import TrainerCallback
from transformers.trainer_pt_utils import LengthGroupedSampler
from trl.experimental.orpo import ORPOConfig, ORPOTrainer

from tightlip import cpu
from tightlip.files import atomic_dir
from tightlip.models.checkpoints import train as train_on
from tightlip.models.packing import PADDING, PROMPT, Group, Packed, pack, part_means, run
from tightlip.models.scoring import head_logits, token_logps
from tightlip.params import Train, Variant
from tightlip.preference.pair_encoding import EncodedPair

CURVES = (
    "loss", "nll_loss", "log_odds_ratio", "log_odds_chosen", "rewards/chosen", "rewards/rejected", "rewards/margins",
    "rewards/accuracies",
)  # fmt: skip


def collate(rows: Sequence[EncodedPair], *, score_prompt: bool) -> Packed:
    """Pack a batch of pairs, those of one prompt together; of two successive parts, the even one is the chosen."""
    groups: dict[tuple[int, ...], list[list[int]]] = {}
    for row in rows:
        groups.setdefault(tuple(row["prompt_ids"]), []).extend([row["chosen_ids"], row["rejected_ids"]])
    return pack([Group(prompt, texts) for prompt, texts in groups.items()], score_prompt=score_prompt)


class TogetherSampler(Sampler[int]):
    """Shuffles answers, by like length, and keeps the pairs of an answer together.

    A pair and its swapped copy differ in the guidance sentence alone. In one batch their gradients for the answer
    cancel out and those for the sentence add up; in different batches, training may never learn the sentence.
    """

    def __init__(self, answers: Sequence[str], lengths: Sequence[int], batch_size: int) -> None:
        pairs: dict[str, list[int]] = {}
        for number, answer in enumerate(answers):
            pairs.setdefault(answer, []).append(number)
        self.pairs, self.count = list(pairs.values()), len(answers)
        longest = [max(lengths[number] for number in numbers) for numbers in self.pairs]
        self.order = LengthGroupedSampler(max(1, batch_size // max(map(len, self.pairs))), lengths=longest)

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        for which in self.order:
            yield from self.pairs[which]


class PackedORPOTrainer(ORPOTrainer):
    """TRL's ORPO trainer over packed pairs (`tightlip.models.packing`); the loss itself stays TRL's.

    With β = 0 the likelihood term alone remains: fine-tuning on the chosen answers.

    Args:
        nll_on: `completion` takes the likelihood term over the chosen completion, `sequence` over the prompt too, as
            TRL and the paper do.
        kwargs: as for `ORPOTrainer`; the datasets come from `pair_dataset`.
    """

    def __init__(self, *, nll_on: Literal["completion", "sequence"], **kwargs: Any) -> None:
        super().__init__(data_collator=lambda rows: collate(rows, score_prompt=nll_on == "sequence"), **kwargs)
        self.use_dpo_data_collator = True  # TRL otherwise warns at every evaluation step

    def tokenize_row(self, feature: dict[str, Any], model: Any = None) -> dict[str, Any]:
        """Return the row unchanged: it is encoded already."""
        return feature

    def floating_point_ops(self, inputs: Packed) -> int:
        """Return 0: nothing reads the count, and the library would count the model's parameters at every step."""
        return 0

    def _get_train_sampler(self, train_dataset: Any = None) -> TogetherSampler:
        rows = train_dataset or self.train_dataset
        return TogetherSampler(rows["answer"], rows["length"], self.args.train_batch_size)

    def concatenated_forward(self, model: Any, batch: Packed) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Return mean log-probabilities of chosen and rejected completions, their mean logits, and the likelihood term.

        TRL averages the logits, for its log alone, over the texts and their padding; here padding does not count.
        """
        # Of each token, how many pairs are in its pack.
        pairs_BL = (batch["segments"].amax(-1, keepdim=True) // 2).expand_as(batch["segments"])
        with torch.autocast(self.accelerator.device.type, dtype=torch.bfloat16, enabled=self.args.bf16):
            hidden_BLD = run(model, batch)
            logp_S = token_logps(model, hidden_BLD.flatten(0, 1)[batch["scored"]], batch["targets"])
            chosen_V, rejected_V = head_logits(model, _mean_hidden(hidden_BLD.detach(), batch["segments"], pairs_BL))
        part_S, means = batch["part"], part_means(logp_S, batch["part"])
        # Prompt tokens are scored in `sequence` mode only, where every pair of a prompt counts them.
        weight_S = torch.where(part_S == PROMPT, pairs_BL.flatten()[batch["scored"]], part_S % 2 == 0)
        nll = -(logp_S * weight_S).sum() / weight_S.sum()
        return means[0::2], means[1::2], chosen_V, rejected_V, nll


class PackedDPOTrainer(PackedORPOTrainer):
    """DPO over packed pairs (arXiv 2305.18290, eq. 7); the reference is the model without its adapter.

    Logged under ORPO's names: the likelihood of the chosen answers, and margins instead of log odds ratios.
    """

    def concatenated_forward(self, model: Any, batch: Packed) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Return total instead of mean log-probabilities, and a likelihood term that teaches nothing."""
        with torch.no_grad(), self.accelerator.unwrap_model(model).disable_adapter():
            self._reference = self._totals(batch, *super().concatenated_forward(model, batch)[:2])
        chosen, rejected, chosen_V, rejected_V, nll = super().concatenated_forward(model, batch)
        return *self._totals(batch, chosen, rejected), chosen_V, rejected_V, nll.detach()

    @staticmethod
    def _totals(batch: Packed, chosen: Tensor, rejected: Tensor) -> tuple[Tensor, Tensor]:
        tokens = torch.bincount(batch["part"][batch["part"] != PROMPT])
        return chosen * tokens[0::2], rejected * tokens[1::2]

    def odds_ratio_loss(self, chosen: Tensor, rejected: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Return log σ of the margins, the rewards of both answers, and twice the mean margin, for the log."""
        rewards = [self.beta * (now - before) for now, before in zip((chosen, rejected), self._reference, strict=True)]
        margins = rewards[0] - rewards[1]
        mean = margins.detach().mean()
        return functional.logsigmoid(margins), rewards[0].detach(), rewards[1].detach(), mean, mean

    def get_batch_loss_metrics(self, model: Any, batch: Packed, train_eval: Any = "train") -> tuple[Tensor, Any]:
        """Subtract the likelihood term, which TRL adds, from the loss."""
        loss, metrics = super().get_batch_loss_metrics(model, batch, train_eval)
        return loss - metrics["eval_nll_loss" if train_eval == "eval" else "nll_loss"], metrics


def _mean_hidden(hidden_BLD: Tensor, segments_BL: Tensor, pairs_BL: Tensor) -> Tensor:
    """Mean hidden state of what predicts a token, with the chosen and with the rejected answers, shape (2, D)."""
    last_BL = segments_BL != functional.pad(segments_BL[:, 1:], (0, 1), value=PADDING)
    by_kind = [(segments_BL > 0) & (segments_BL % 2 == kind) & ~last_BL for kind in (1, 0)]
    weight_2BL = torch.where(segments_BL == 0, pairs_BL, torch.stack(by_kind)).to(hidden_BLD.dtype)
    total_21 = weight_2BL.sum((1, 2), dtype=torch.float32)[:, None]
    return (weight_2BL.flatten(1) @ hidden_BLD.flatten(0, 1) / total_21).to(hidden_BLD.dtype)


class _KeepEpochs(TrainerCallback):
    """Keep the adapter of each epoch under `<work>/epoch_<n>`, with a share of its update (`params.Lora.keep`)."""

    def __init__(self, work: Path, share: float) -> None:
        self.work, self.share = work, share

    def on_epoch_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        config = model.peft_config["default"]
        config.target_modules = sorted(config.target_modules)  # a set, written in another order by every process
        trained_alpha = config.lora_alpha
        config.lora_alpha = trained_alpha * self.share
        with atomic_dir(self.work / f"epoch_{round(state.epoch)}") as folder:
            model.save_pretrained(folder)
            (folder / "README.md").unlink(missing_ok=True)
        config.lora_alpha = trained_alpha


def train_orpo(
    model: Any,
    tokenizer: Any,
    train: Sequence[EncodedPair],
    dev: Sequence[EncodedPair],
    out: Path,
    work: Path,
    *,
    variant: Variant,
    settings: Train,
    seed: int,
) -> list[dict[str, float | str]]:
    """Train LoRA adapters on all linear layers and keep one per epoch; an interrupted training in `work` is resumed.

    Args:
        model: the model to adapt; its weights stay as they are.
        tokenizer: of the model.
        train, dev: encoded pairs.
        out: directory for `epoch_<n>`.
        work: directory of checkpoints and of the adapters so far; its name must decide all of the training.
        variant: objective, and what differs from the settings; `sft` trains on the chosen answers alone.
        settings: of all trainings.
        seed: of the adapter's weights and the order of the pairs.

    Returns:
        The curves: one row per log, with step, epoch, split and the columns `CURVES`.
    """
    torch.manual_seed(seed)  # of the adapter's weights
    lora = settings.lora
    adapter = LoraConfig(
        r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules="all-linear",
        task_type="CAUSAL_LM",
    )  # fmt: skip
    trainer = (PackedDPOTrainer if variant.objective == "dpo" else PackedORPOTrainer)(
        nll_on=variant.nll_on or settings.orpo.nll_on,
        model=cpu.fuse_lora(get_peft_model(model, adapter)),
        args=_arguments(variant, settings, work, seed, bf16=cpu.computes_bfloat16(model)),
        train_dataset=pair_dataset(train),
        eval_dataset=pair_dataset(dev),
        processing_class=tokenizer,
        callbacks=[_KeepEpochs(work, lora.keep)],
    )
    train_on(trainer, work, settings.save_seconds)
    for epoch in range(1, settings.epochs + 1):
        shutil.copytree(work / f"epoch_{epoch}", out / f"epoch_{epoch}")
    return curves(trainer.state.log_history)


def _arguments(variant: Variant, settings: Train, work: Path, seed: int, *, bf16: bool) -> ORPOConfig:
    """Put the settings of a training into the library's terms."""
    return ORPOConfig(
        output_dir=str(work), num_train_epochs=settings.epochs, per_device_train_batch_size=settings.batch_size,
        per_device_eval_batch_size=settings.batch_size, learning_rate=variant.learning_rate or settings.learning_rate,
        lr_scheduler_type="cosine_with_min_lr",
        lr_scheduler_kwargs={"min_lr_rate": settings.min_learning_rate_ratio}, warmup_steps=0,
        max_grad_norm=settings.max_grad_norm,
        beta={"orpo": settings.orpo.beta, "dpo": settings.dpo.beta, "sft": 0.0}[variant.objective],
        disable_dropout=settings.lora.dropout == 0, bf16=bf16, seed=seed, data_seed=seed, logging_steps=5,
        eval_strategy="epoch", save_strategy="no", report_to=[], remove_unused_columns=False,
        activation_checkpointing=False, dataloader_pin_memory=False, use_cpu=not torch.cuda.is_available(),
    )  # fmt: skip


def pair_dataset(pairs: Sequence[EncodedPair]) -> Dataset:
    """Make a dataset with the packs' lengths, by which the trainer groups batches."""
    rows = [
        dict(pair, length=len(pair["prompt_ids"]) + len(pair["chosen_ids"]) + len(pair["rejected_ids"]))
        for pair in pairs
    ]
    return Dataset.from_list(rows)


def curves(history: Sequence[dict[str, float]]) -> list[dict[str, float | str]]:
    """Turn the trainer's log history into rows with the same columns for both splits."""
    rows: list[dict[str, float | str]] = []
    for log in history:
        split, prefix = ("eval", "eval_") if "eval_loss" in log else ("train", "")
        if f"{prefix}nll_loss" in log:
            values = {name: log[prefix + name] for name in CURVES}
            rows.append({"step": log["step"], "epoch": log["epoch"], "split": split, **values})
    return rows
