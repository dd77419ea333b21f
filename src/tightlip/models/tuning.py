"""Tuning Model-ch: a wide LoRA on the assistant's turns of PII-rich dialogues, merged into the weights."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import PreTrainedModel, Trainer, TrainingArguments

from tightlip import cpu
from tightlip.models.checkpoints import train
from tightlip.models.encoding import encode_completion, encode_prompt, fit_messages
from tightlip.models.packing import Group, Packed, pack, run
from tightlip.models.scoring import token_logps
from tightlip.params import Tune
from tightlip.records import Dialogue

IGNORED = -100


def encode_dialogue(tokenizer: Any, dialogue: Dialogue, max_length: int) -> list[dict[str, list[int]]]:
    """Encode a dialogue for training: ids, and labels that score the assistant's turns and their ends alone.

    Over-long dialogues lose whole oldest exchanges.

    Returns:
        A row for the whole dialogue, and one for each earlier assistant turn that the chat template changes once later
        turns follow (some templates trim it or drop its reasoning): that row ends with the turn as it was written.
    """
    *head, last = dialogue.turns
    completion = encode_completion(tokenizer, last.content)
    fitted = fit_messages(tokenizer, head, "", max_length - len(completion))
    ids = [*encode_prompt(tokenizer, fitted), *completion]
    labels = [IGNORED] * len(ids)
    rows = [{"input_ids": ids, "labels": labels}]
    for number, turn in enumerate([*fitted, last]):
        if turn.role == "assistant":
            prompt = encode_prompt(tokenizer, fitted[:number])
            scored = encode_completion(tokenizer, turn.content)
            whole = [*prompt, *scored]
            if ids[: len(whole)] == whole:
                labels[len(prompt) : len(whole)] = scored
            else:
                rows.append({"input_ids": whole, "labels": [*[IGNORED] * len(prompt), *scored]})
    return rows


def collate(rows: Sequence[dict[str, list[int]]]) -> Packed:
    """Pack encoded dialogues; their labelled tokens are scored."""
    batch = pack([Group(row["input_ids"], ()) for row in rows], score_prompt=True)
    labels = torch.tensor([label for row in rows for label in row["labels"][1:]])
    chosen = labels != IGNORED
    batch["scored"], batch["targets"], batch["part"] = (batch[name][chosen] for name in ("scored", "targets", "part"))
    return batch


class _AnswerTrainer(Trainer):
    """The library's trainer; only labelled tokens pass the head."""

    def compute_loss(self, model: Any, inputs: Packed, *_: Any, **__: Any) -> torch.Tensor:
        with torch.autocast(inputs["targets"].device.type, dtype=torch.bfloat16, enabled=self.args.bf16):
            hidden = run(model, inputs).flatten(0, 1)[inputs["scored"]]
            return -token_logps(model, hidden, inputs["targets"]).mean()

    def floating_point_ops(self, inputs: Packed) -> int:
        """Return 0: nothing reads the count, and the library would count the model's parameters at every step."""
        return 0


def tune(
    model: PreTrainedModel,
    tokenizer: Any,
    dialogues: Sequence[Dialogue],
    work: Path,
    settings: Tune,
    *,
    seed: int,
    save_seconds: float,
) -> tuple[Any, list[dict[str, float]]]:
    """Tune a model; an interrupted tuning in `work` is resumed.

    Args:
        model: the model to tune; it is changed.
        tokenizer: of the model.
        dialogues: training dialogues.
        work: directory of the checkpoints; its name must decide all of the tuning.
        settings: epochs, learning rate, batch size, rank and length.
        seed: of the adapter's weights and the order of the dialogues.
        save_seconds: see `params.Train`.

    Returns:
        The tuned model, the update merged into its weights, and the training log: step, epoch and loss.
    """
    rows = [row for dialogue in dialogues for row in encode_dialogue(tokenizer, dialogue, settings.max_length)]
    arguments = TrainingArguments(
        output_dir=str(work), num_train_epochs=settings.epochs, per_device_train_batch_size=settings.batch_size,
        learning_rate=settings.learning_rate, lr_scheduler_type="cosine", weight_decay=0.0, max_grad_norm=1.0,
        bf16=cpu.computes_bfloat16(model), seed=seed,
        data_seed=seed, logging_steps=5, save_strategy="no", report_to=[], remove_unused_columns=False,
        train_sampling_strategy="group_by_length", dataloader_pin_memory=False, use_cpu=not torch.cuda.is_available(),
    )  # fmt: skip
    torch.manual_seed(seed)  # of the adapter's weights
    config = LoraConfig(r=settings.rank, lora_alpha=settings.rank, target_modules="all-linear", task_type="CAUSAL_LM")
    trainer = _AnswerTrainer(
        model=cpu.fuse_lora(get_peft_model(model, config)),
        args=arguments,
        train_dataset=rows,
        data_collator=collate,
    )
    train(trainer, work, save_seconds)
    log = [
        {"step": entry["step"], "epoch": entry["epoch"], "loss": entry["loss"]}
        for entry in trainer.state.log_history
        if "loss" in entry
    ]
    return trainer.model.merge_and_unload(safe_merge=True), log
