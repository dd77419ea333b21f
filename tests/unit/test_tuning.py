import copy
from pathlib import Path
from typing import Any

import pytest
import torch

from families import TOKENIZERS
from tightlip.models.chat_template import style
from tightlip.models.encoding import SENTENCE_TOKENS, encode_prompt
from tightlip.models.packing import PADDING
from tightlip.models.tuning import IGNORED, collate, encode_dialogue, tune
from tightlip.params import Tune
from tightlip.records import Dialogue, Role, Turn

ROLES: tuple[Role, Role] = ("user", "assistant")


def dialogue(*texts: str, system: str | None = None, id_: str = "d1") -> Dialogue:
    head = [] if system is None else [Turn(role="system", content=system)]
    turns = [Turn(role=ROLES[i % 2], content=text) for i, text in enumerate(texts)]
    return Dialogue(id=id_, domain="letters", split="train", turns=(*head, *turns))


TWO = dialogue("Hello, I am Anna.", "Hello, Anna.", "Where is my letter?", "At your address.", system="Be brief.")


def scored(tokenizer: Any, row: dict[str, list[int]]) -> list[str]:
    """The stretches of text that the labels score."""
    runs: list[list[int]] = [[]]
    for label in row["labels"]:
        if label != IGNORED:
            runs[-1].append(label)
        elif runs[-1]:
            runs.append([])
    return [tokenizer.decode(run) for run in runs if run]


def test_labels_cover_exactly_the_assistants_turns_and_their_eos(tiny_tokenizer: Any) -> None:
    (row,) = encode_dialogue(tiny_tokenizer, TWO, 512)
    assert scored(tiny_tokenizer, row) == ["Hello, Anna.<|im_end|>", "At your address.<|im_end|>"]
    assert all(label in (IGNORED, token) for token, label in zip(row["input_ids"], row["labels"], strict=True))


def test_the_ids_are_those_of_the_rendered_dialogue(tiny_tokenizer: Any) -> None:
    (row,) = encode_dialogue(tiny_tokenizer, TWO, 512)
    rendered = tiny_tokenizer.apply_chat_template([turn.model_dump() for turn in TWO.turns], tokenize=False)
    assert tiny_tokenizer.decode(row["input_ids"]) + "\n" == rendered


def test_long_dialogues_lose_their_oldest_exchange_and_the_labels_stay_on_the_answers(tiny_tokenizer: Any) -> None:
    ((whole, _),) = (map(len, row.values()) for row in encode_dialogue(tiny_tokenizer, TWO, 512))
    (row,) = encode_dialogue(tiny_tokenizer, TWO, whole + SENTENCE_TOKENS - 1)
    assert scored(tiny_tokenizer, row) == ["At your address.<|im_end|>"]
    assert "Be brief." in tiny_tokenizer.decode(row["input_ids"])
    assert "Anna" not in tiny_tokenizer.decode(row["input_ids"])


def test_a_last_answer_that_is_too_long_is_an_error(tiny_tokenizer: Any) -> None:
    with pytest.raises(ValueError, match="last message alone"):
        encode_dialogue(tiny_tokenizer, TWO, 40)


def test_an_answer_that_the_template_changes_in_the_past_is_scored_after_its_own_prompt() -> None:
    tokenizer = TOKENIZERS["thinking"]  # it drops thoughts from the past, and begins new answers with an empty one
    thought = "<think>Who is she?</think>Hello, Anna."
    talk = dialogue("I am Anna.", thought, "Where is it?", "There.")
    whole, own = encode_dialogue(tokenizer, talk, 512)
    assert scored(tokenizer, whole) == ["There.<|im_end|>"]
    assert "Who is she?" not in tokenizer.decode(whole["input_ids"])
    assert scored(tokenizer, own) == [f"{thought}<|im_end|>"]
    prompt = encode_prompt(tokenizer, talk.turns[:1])
    assert own["input_ids"][: len(prompt)] == prompt
    assert own["labels"][: len(prompt)] == [IGNORED] * len(prompt)


@pytest.mark.parametrize("family", TOKENIZERS)
def test_every_answer_is_scored_once_as_it_stands(family: str) -> None:
    tokenizer, answers = (
        TOKENIZERS[family],
        ["Hello, Anna. ", "\n\nAt your address.", "No <end_of_turn> <|im_end|></s>."],
    )
    talk = dialogue("I am Anna.", answers[0], "Where is it? ", answers[1], " Sure?", answers[2], system="Be brief.")
    rows = encode_dialogue(tokenizer, talk, 1024)
    found = sorted(text for row in rows for text in scored(tokenizer, row))
    end = tokenizer.decode([style(tokenizer).end])
    assert [text.strip() for text in found] == sorted(f"{answer}{end}".strip() for answer in answers)
    for row in rows:
        assert all(label in (IGNORED, token) for token, label in zip(row["input_ids"], row["labels"], strict=True))


def test_batches_are_padded_on_the_right_and_padding_is_neither_seen_nor_scored() -> None:
    rows = [
        {"input_ids": [5, 6, 7, 9], "labels": [IGNORED, 6, IGNORED, 9]},
        {"input_ids": [8, 3], "labels": [8, 3]},  # nothing predicts a first token
    ]
    batch = collate(rows)
    assert batch["input_ids"].shape == (2, 4)
    assert batch["input_ids"][0].tolist() == [5, 6, 7, 9]
    assert batch["segments"].tolist() == [[0, 0, 0, 0], [0, 0, PADDING, PADDING]]
    assert batch["attention_mask"][1, 0, 1].tolist() == [True, True, False, False]
    assert batch["scored"].tolist() == [0, 2, 4]  # of the flattened batch: what predicts 6, 9 and 3
    assert batch["targets"].tolist() == [6, 9, 3]


def test_the_loss_is_that_of_the_library(tiny_model: Any, tiny_tokenizer: Any, tmp_path: Path) -> None:
    from transformers import TrainingArguments

    from tightlip.models.tuning import _AnswerTrainer

    talks = (TWO, dialogue("Who am I?", "Anna."))
    rows = [row for talk in talks for row in encode_dialogue(tiny_tokenizer, talk, 512)]
    longest = max(len(row["input_ids"]) for row in rows)
    padded = {
        name: torch.tensor([row[name] + [fill] * (longest - len(row[name])) for row in rows])
        for name, fill in (("input_ids", tiny_tokenizer.eos_token_id), ("labels", IGNORED))
    }
    model = copy.deepcopy(tiny_model)
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.no_grad():
        expected = model(**padded).loss  # transformers shifts the labels itself
    arguments = TrainingArguments(output_dir=str(tmp_path), report_to=[], use_cpu=True)
    trainer = _AnswerTrainer(model=model, args=arguments)
    torch.testing.assert_close(trainer.compute_loss(model, collate(rows)).detach(), expected.float(), rtol=1e-2, atol=0)


@pytest.fixture(scope="module")
def dialogues() -> list[Dialogue]:
    texts = [("Hello, I am Anna.", "Hello, Anna."), ("Where is my letter?", "At your address."), ("Who?", "By me.")]
    return [dialogue(*texts[i % 3], id_=f"d{i}") for i in range(12)]


@pytest.fixture(scope="module")
def model(tiny_model: Any) -> Any:
    """The tiny model with larger embeddings: its own are too small for an adapter below them to change the answer."""
    larger = copy.deepcopy(tiny_model)
    larger.get_input_embeddings().weight.data *= 10
    return larger


def test_tuning_lowers_the_loss_and_repeats_itself(
    model: Any, tiny_tokenizer: Any, dialogues: list[Dialogue], tmp_path: Path
) -> None:
    def run(name: str, seed: int) -> tuple[Any, list[dict[str, float]]]:
        return tune(
            copy.deepcopy(model), tiny_tokenizer, dialogues, tmp_path / name,
            Tune(epochs=5, learning_rate=1e-2, batch_size=4, rank=8, max_length=256), seed=seed, save_seconds=60,
        )  # fmt: skip

    tuned, log = run("one", 0)
    assert [entry["step"] for entry in log] == [5, 10, 15]  # 12 dialogues, 4 a step, 5 epochs; logged every 5 steps
    assert log[-1]["loss"] < log[0]["loss"] / 2
    assert not any("lora" in name for name, _ in tuned.named_parameters())

    again, same_log = run("two", 0)
    assert same_log == log
    assert all(torch.equal(a, b) for a, b in zip(tuned.parameters(), again.parameters(), strict=True))
    other, _ = run("three", 1)
    assert not all(torch.equal(a, b) for a, b in zip(tuned.parameters(), other.parameters(), strict=True))
