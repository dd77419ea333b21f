"""The packed trainer with our attention and LoRA layers against TRL's own: same texts, float32, no dropout.

TRL gets texts and tokenizes them itself; the two agree because of the boundary rule.
"""

import copy
import json
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model

from tightlip.cpu import fuse_lora
from tightlip.cpu.attention import GROUPED
from tightlip.cpu.lora import FusedLinear
from tightlip.models.encoding import encode_prompt
from tightlip.params import Lora, Orpo, Train, Variant
from tightlip.preference.pair_encoding import encode_pairs
from tightlip.preference.trainer import (
    ORPOConfig,
    ORPOTrainer,
    PackedDPOTrainer,
    PackedORPOTrainer,
    TogetherSampler,
    collate,
    pair_dataset,
    train_orpo,
)
from tightlip.records import Message, Pair

BETA = 0.3
RELATIVE = {"rtol": 1e-4, "atol": 1e-6}
QUESTIONS = [
    ("What is my name?", "Your name is", " not known to me.", " Anna."),
    ("Where do I live?", "", "I have no address of yours.", "In a small town, at the letter's address."),
    ("Thank you, and where has the letter been sent to?", "It is", " on its way, thank you.", " at 12 High Street."),
]


def pairs() -> list[Pair]:
    return [
        Pair(
            id=str(number), sample_id="s", source="base", condition="none", prefix=prefix, chosen=chosen,
            rejected=rejected, messages=(Message(role="user", content=question),),
        )
        for number, (question, prefix, chosen, rejected) in enumerate(QUESTIONS)
    ]  # fmt: skip


def config(work: Path) -> ORPOConfig:
    return ORPOConfig(
        output_dir=str(work), beta=BETA, bf16=False, fp16=False, disable_dropout=True, seed=5, report_to=[],
        max_length=512, remove_unused_columns=False, use_cpu=True, per_device_train_batch_size=3,
        activation_checkpointing=False, dataloader_pin_memory=False,
    )  # fmt: skip


def lora() -> LoraConfig:
    """An adapter that is not the identity, so that both of its matrices get gradients."""
    return LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False)


def stock_trainer(model: Any, tokenizer: Any, work: Path) -> tuple[Any, Any]:
    rows = [
        {
            "prompt": tokenizer.decode(encode_prompt(tokenizer, pair.messages, pair.prefix)),
            "chosen": pair.chosen,
            "rejected": pair.rejected,
        }
        for pair in pairs()
    ]
    torch.manual_seed(5)
    trainer = ORPOTrainer(
        model=copy.deepcopy(model), args=config(work), train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer, peft_config=lora(),
    )  # fmt: skip
    return trainer, trainer.data_collator(list(trainer.train_dataset))


def packed_trainer(
    model: Any, tokenizer: Any, work: Path, nll_on: Literal["completion", "sequence"], kind: Any = PackedORPOTrainer
) -> tuple[Any, Any]:
    rows = encode_pairs(tokenizer, pairs(), max_tokens=512)
    grouped = copy.deepcopy(model)
    grouped.set_attn_implementation(GROUPED)
    torch.manual_seed(5)
    trainer = kind(
        nll_on=nll_on, model=fuse_lora(get_peft_model(grouped, lora())), args=config(work),
        train_dataset=pair_dataset(rows), processing_class=tokenizer,
    )  # fmt: skip
    assert any(isinstance(module, FusedLinear) for module in trainer.model.modules())
    return trainer, trainer.data_collator(list(trainer.train_dataset))


def adapter(trainer: Any) -> dict[str, torch.nn.Parameter]:
    return {name: value for name, value in trainer.model.named_parameters() if value.requires_grad}


def backward(trainer: Any, batch: Any) -> tuple[torch.Tensor, dict[str, float]]:
    loss, metrics = trainer.get_batch_loss_metrics(trainer.model, batch)
    loss.backward()
    return loss.detach(), metrics


@pytest.fixture
def stock(tiny_model: Any, tiny_tokenizer: Any, tmp_path: Path) -> tuple[Any, Any]:
    return stock_trainer(tiny_model, tiny_tokenizer, tmp_path / "stock")


@pytest.fixture
def sequence(tiny_model: Any, tiny_tokenizer: Any, tmp_path: Path) -> tuple[Any, Any]:
    return packed_trainer(tiny_model, tiny_tokenizer, tmp_path / "packed", "sequence")


@pytest.fixture
def completion(tiny_model: Any, tiny_tokenizer: Any, tmp_path: Path) -> tuple[Any, Any]:
    return packed_trainer(tiny_model, tiny_tokenizer, tmp_path / "packed", "completion")


def test_trl_tokenizes_the_texts_to_our_ids(stock: Any, tiny_tokenizer: Any) -> None:
    trainer, _ = stock
    for row, ours in zip(trainer.train_dataset, encode_pairs(tiny_tokenizer, pairs(), 512), strict=True):
        assert row["prompt_input_ids"] == ours["prompt_ids"]
        assert row["chosen_input_ids"] == ours["prompt_ids"] + ours["chosen_ids"]
        assert row["rejected_input_ids"] == ours["prompt_ids"] + ours["rejected_ids"]


def test_both_trainers_start_from_the_same_adapter(stock: Any, sequence: Any) -> None:
    ours, theirs = adapter(sequence[0]), adapter(stock[0])
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert all(value.abs().sum() > 0 for value in ours.values())


def test_loss_and_all_figures_equal_trls(stock: Any, sequence: Any) -> None:
    theirs, stock_metrics = backward(*stock)
    ours, metrics = backward(*sequence)
    torch.testing.assert_close(ours, theirs, **RELATIVE)
    same = {
        "nll_loss", "log_odds_ratio", "log_odds_chosen", "logps/chosen", "logps/rejected", "rewards/chosen",
        "rewards/rejected", "rewards/margins", "rewards/accuracies",
    }  # fmt: skip
    assert {name: metrics[name] for name in same} == pytest.approx(
        {name: stock_metrics[name] for name in same}, rel=1e-4, abs=1e-6
    )


def test_gradients_of_the_adapter_equal_trls(stock: Any, sequence: Any) -> None:
    backward(*stock)
    backward(*sequence)
    theirs = adapter(stock[0])
    for name, ours in adapter(sequence[0]).items():
        difference = (ours.grad - theirs[name].grad).norm() / theirs[name].grad.norm()
        assert difference < 1e-4, name


def test_likelihood_on_the_completion_leaves_out_the_prompt_and_changes_nothing_else(
    stock: Any, completion: Any
) -> None:
    trainer, batch = stock
    with torch.no_grad():
        logits = trainer.model(batch["chosen_input_ids"], attention_mask=batch["chosen_attention_mask"]).logits
        labels = batch["chosen_labels"]  # TRL's own labels of the completion, −100 on prompt and padding
        expected = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
    theirs, stock_metrics = backward(trainer, batch)
    ours, metrics = backward(*completion)
    assert metrics["nll_loss"] == pytest.approx(float(expected), rel=1e-4)
    assert metrics["log_odds_ratio"] == pytest.approx(stock_metrics["log_odds_ratio"], rel=1e-4)
    torch.testing.assert_close(ours - expected, theirs - stock_metrics["nll_loss"], rtol=1e-3, atol=1e-5)
    assert abs(metrics["nll_loss"] - stock_metrics["nll_loss"]) > 1e-3


def test_gradients_with_the_prompt_left_out_equal_those_by_hand(stock: Any, completion: Any) -> None:
    trainer, batch = stock
    means = []
    for kind in ("chosen", "rejected"):
        logits = trainer.model(batch[f"{kind}_input_ids"], attention_mask=batch[f"{kind}_attention_mask"]).logits
        labels = batch[f"{kind}_labels"][:, 1:]
        logp = logits[:, :-1].log_softmax(-1).gather(-1, labels.clamp(min=0)[..., None]).squeeze(-1)
        means.append((logp, labels != -100))
    chosen, rejected = ((logp * kept).sum(-1) / kept.sum(-1) for logp, kept in means)
    odds = (chosen - rejected) - (torch.log1p(-chosen.exp()) - torch.log1p(-rejected.exp()))
    nll = -means[0][0][means[0][1]].mean()
    (nll - BETA * torch.nn.functional.logsigmoid(odds).mean()).backward()  # arXiv 2403.07691, eqs. 6 and 7
    backward(*completion)
    theirs = adapter(trainer)
    for name, ours in adapter(completion[0]).items():
        assert (ours.grad - theirs[name].grad).norm() / theirs[name].grad.norm() < 1e-4, name


def test_parts_alternate_between_chosen_and_rejected(tiny_tokenizer: Any) -> None:
    rows = encode_pairs(tiny_tokenizer, pairs(), 512)
    packed = collate(rows, score_prompt=False)
    for number, row in enumerate(rows):
        assert packed["targets"][packed["part"] == 2 * number].tolist() == row["chosen_ids"]
        assert packed["targets"][packed["part"] == 2 * number + 1].tolist() == row["rejected_ids"]


def test_dpo_is_trls(tiny_model: Any, tiny_tokenizer: Any, tmp_path: Path) -> None:
    from trl import DPOConfig, DPOTrainer

    ours, batch = packed_trainer(tiny_model, tiny_tokenizer, tmp_path / "ours", "completion", PackedDPOTrainer)
    rows = [
        {"prompt": tiny_tokenizer.decode(row["prompt_ids"]), "chosen": pair.chosen, "rejected": pair.rejected}
        for row, pair in zip(encode_pairs(tiny_tokenizer, pairs(), 512), pairs(), strict=True)
    ]
    arguments = DPOConfig(
        output_dir=str(tmp_path / "theirs"), beta=BETA, bf16=False, disable_dropout=True, seed=5, report_to=[],
        max_length=512, use_cpu=True, activation_checkpointing=False, per_device_train_batch_size=3,
    )  # fmt: skip
    torch.manual_seed(5)
    theirs = DPOTrainer(
        model=copy.deepcopy(tiny_model), args=arguments, train_dataset=Dataset.from_list(rows),
        processing_class=tiny_tokenizer, peft_config=lora(),
    )  # fmt: skip
    theirs.model.load_state_dict(ours.model.state_dict(), strict=False)
    expected = theirs.compute_loss(theirs.model, theirs.data_collator(list(theirs.train_dataset)))
    expected.backward()
    loss, metrics = backward(ours, batch)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4)
    assert metrics["rewards/margins"] != 0
    for name, weight in adapter(theirs).items():
        torch.testing.assert_close(adapter(ours)[name].grad, weight.grad, **RELATIVE)


VARIANT = Variant(model="ch", dataset="cfg")


def test_without_its_odds_ratio_orpo_is_fine_tuning_on_the_chosen_answers(
    tiny_model: Any, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    trainer, batch = packed_trainer(tiny_model, tiny_tokenizer, tmp_path, "completion")
    trainer.beta = 0.0
    loss, metrics = backward(trainer, batch)
    assert loss.item() == pytest.approx(metrics["nll_loss"], rel=1e-6)
    assert loss.item() > 0


def test_training_keeps_an_adapter_per_epoch_and_learns_to_prefer_the_chosen_answer(
    tiny_model: Any, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    rows = encode_pairs(tiny_tokenizer, pairs(), 512)

    def train(name: str, keep: float = 1.0) -> list[dict[str, float | str]]:
        return train_orpo(
            copy.deepcopy(tiny_model), tiny_tokenizer, rows * 4, rows, tmp_path / name, tmp_path / f"{name}-work",
            variant=VARIANT, seed=3, settings=Train(
                epochs=2, batch_size=2, learning_rate=5e-3, orpo=Orpo(beta=0.5),
                lora=Lora(rank=4, alpha=8, dropout=0.0, keep=keep), variants={"ch-lora": VARIANT},
            ),
        )  # fmt: skip

    curves = train("one")
    for epoch in (1, 2):
        kept = {path.name for path in (tmp_path / f"one/epoch_{epoch}").iterdir()}
        assert {"adapter_config.json", "adapter_model.safetensors"} <= kept
        assert not any(name.endswith((".bin", ".pt", ".pkl", ".md")) for name in kept)
    first, second = (row for row in curves if row["split"] == "eval")
    assert (first["epoch"], second["epoch"]) == (1, 2)
    assert float(second["loss"]) < float(first["loss"])
    assert float(second["log_odds_chosen"]) > float(first["log_odds_chosen"])
    assert train("two") == curves
    weights = [(tmp_path / name / "epoch_2/adapter_model.safetensors").read_bytes() for name in ("one", "two")]
    assert weights[0] == weights[1]
    # A kept share scales the update of the saved adapters and leaves training as it is.
    assert train("half", keep=0.5) == curves
    assert (tmp_path / "half/epoch_2/adapter_model.safetensors").read_bytes() == weights[0]
    configs = [tmp_path / name / "epoch_2/adapter_config.json" for name in ("one", "half")]
    alphas = [json.loads(path.read_text())["lora_alpha"] for path in configs]
    assert alphas == [8, 4]


def test_a_pair_and_its_swapped_copy_come_in_one_batch() -> None:
    answers = [name for name in "abcdefgh" for _ in range(2)]
    lengths = [10 + number // 2 for number in range(len(answers))]
    torch.manual_seed(0)
    sampler = TogetherSampler(answers, lengths, batch_size=4)
    orders = [list(sampler), list(sampler)]
    assert len(sampler) == 16
    assert orders[0] != orders[1]
    for order in orders:
        assert sorted(order) == list(range(16))
        for number in range(0, 16, 2):
            assert answers[order[number]] == answers[order[number + 1]]


def test_single_pairs_are_shuffled_by_like_length() -> None:
    torch.manual_seed(0)
    order = list(TogetherSampler([str(number) for number in range(40)], list(range(40)), batch_size=2))
    assert sorted(order) == list(range(40))
    assert order != list(range(40))
    gaps = [abs(order[number] - order[number + 1]) for number in range(2, 40, 2)]
    assert sum(gaps) / len(gaps) < 6
