"""Tuning Model-ch: a wide LoRA on the assistant's turns of PII-rich dialogues, merged into the weights."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from transformers import PreTrainedModel, Trainer, TrainingArguments

from tightlip.models.chat import encode_completion, encode_prompt, fit_messages
from tightlip.models.lora import attach_lora
from tightlip.models.scoring import last_hidden, token_logps
from tightlip.records import Dialogue

IGNORED = -100


def encode_dialogue(tokenizer: Any, dialogue: Dialogue, max_length: int) -> dict[str, list[int]]:
    """Encode a dialogue for training: ids, and labels that score the assistant's turns and their EOS alone.

    Over-long dialogues lose whole oldest exchanges.
    """
    *head, last = dialogue.turns
    completion = encode_completion(tokenizer, last.content)
    kept = fit_messages(tokenizer, head, "", max_length - len(completion))
    ids = [*encode_prompt(tokenizer, kept), *completion]
    labels = [IGNORED] * len(ids)
    for number, turn in enumerate([*kept, last]):
        if turn.role == "assistant":
            start = len(encode_prompt(tokenizer, kept[:number]))
            scored = encode_completion(tokenizer, turn.content)
            if ids[start : start + len(scored)] != scored:
                raise ValueError(f"dialogue {dialogue.id}: the chat template changes the text of turn {number}")
            labels[start : start + len(scored)] = scored
    return {"input_ids": ids, "labels": labels}


def pad_batch(rows: Sequence[dict[str, list[int]]], pad_id: int) -> dict[str, torch.Tensor]:
    """Pad encoded dialogues on the right."""
    longest = max(len(row["input_ids"]) for row in rows)

    def padded(name: str, fill: int) -> torch.Tensor:
        return torch.tensor([row[name] + [fill] * (longest - len(row[name])) for row in rows])

    mask = torch.tensor([[1] * len(row["input_ids"]) + [0] * (longest - len(row["input_ids"])) for row in rows])
    return {"input_ids": padded("input_ids", pad_id), "labels": padded("labels", IGNORED), "attention_mask": mask}


class _AnswerTrainer(Trainer):
    """The library's trainer; labelled tokens alone pass the head."""

    def compute_loss(self, model: Any, inputs: dict[str, torch.Tensor], *_: Any, **__: Any) -> torch.Tensor:
        labels = torch.nn.functional.pad(inputs.pop("labels")[:, 1:], (0, 1), value=IGNORED).flatten()
        positions = (labels != IGNORED).nonzero().squeeze(-1)
        with torch.autocast(labels.device.type, dtype=torch.bfloat16):
            hidden = last_hidden(model, **inputs).flatten(0, 1)[positions]
            return -token_logps(model, hidden, labels[positions]).mean()


def tune(
    model: PreTrainedModel,
    tokenizer: Any,
    dialogues: Sequence[Dialogue],
    work: Path,
    *,
    epochs: int,
    learning_rate: float,
    batch_size: int,
    rank: int,
    max_length: int,
    seed: int,
) -> tuple[Any, list[dict[str, float]]]:
    """Tune a model.

    Returns:
        The tuned model, the update merged into its weights, and the training log: step, epoch and loss.
    """
    rows = [encode_dialogue(tokenizer, dialogue, max_length) for dialogue in dialogues]
    arguments = TrainingArguments(
        output_dir=str(work), num_train_epochs=epochs, per_device_train_batch_size=batch_size,
        learning_rate=learning_rate, lr_scheduler_type="cosine", weight_decay=0.0, max_grad_norm=1.0, bf16=True,
        seed=seed, data_seed=seed, logging_steps=5, save_strategy="no", report_to=[], remove_unused_columns=False,
        train_sampling_strategy="group_by_length", dataloader_pin_memory=False, use_cpu=not torch.cuda.is_available(),
    )  # fmt: skip
    torch.manual_seed(seed)  # of the adapter's weights
    config = LoraConfig(r=rank, lora_alpha=rank, target_modules="all-linear", task_type="CAUSAL_LM")
    trainer = _AnswerTrainer(
        model=attach_lora(model, config),
        args=arguments,
        train_dataset=rows,
        data_collator=lambda batch: pad_batch(batch, tokenizer.eos_token_id),
    )
    trainer.train()
    log = [
        {"step": entry["step"], "epoch": entry["epoch"], "loss": entry["loss"]}
        for entry in trainer.state.log_history
        if "loss" in entry
    ]
    return trainer.model.merge_and_unload(safe_merge=True), log
