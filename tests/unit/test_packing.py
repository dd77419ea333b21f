"""Packed scores are those of separate sequences: the reference is one plain forward per prompt and completion."""

import copy
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tightlip.models.packing import PROMPT, Group, Packed, pack, part_means, read_shared, run
from tightlip.models.random_model import random_model, random_tokenizer
from tightlip.models.scoring import head_logits

TOLERANCE = {"atol": 1e-4, "rtol": 1e-4}
MODEL = random_model(random_tokenizer(), seed=0).eval()  # module level: hypothesis takes no function-scoped fixtures

texts = st.lists(st.integers(0, 300), min_size=1, max_size=8)
groups = st.builds(Group, texts, st.lists(texts, min_size=1, max_size=4))


def scored_logits(model: Any, packed: Packed) -> Tensor:
    return head_logits(model, run(model, packed).flatten(0, 1)[packed["scored"]])


def separate(model: Any, prompt: Any, completion: Any) -> Tensor:
    """Logits that predict a completion, from a sequence of its own."""
    logits: Tensor = model(input_ids=torch.tensor([[*prompt, *completion]])).logits[0]
    return logits[len(prompt) - 1 : -1]


@settings(max_examples=25, deadline=None)
@given(st.lists(groups, min_size=1, max_size=4))
@torch.no_grad()
def test_packed_logits_equal_those_of_separate_sequences(batch: list[Group]) -> None:
    packed = pack(batch)
    flat = [(prompt, text) for prompt, completions in batch for text in completions]
    expected = torch.cat([separate(MODEL, prompt, text) for prompt, text in flat])
    torch.testing.assert_close(scored_logits(MODEL, packed), expected, **TOLERANCE)
    assert packed["targets"].tolist() == [token for _, text in flat for token in text]
    assert packed["part"].tolist() == [number for number, (_, text) in enumerate(flat) for _ in text]


@settings(max_examples=15, deadline=None)
@given(texts, st.lists(groups, min_size=1, max_size=3))
@torch.no_grad()
def test_a_beginning_that_all_prompts_share_may_be_run_once(beginning: list[int], batch: list[Group]) -> None:
    whole = pack([Group([*beginning, *prompt], completions) for prompt, completions in batch])
    rest = pack(batch)
    hidden_BLD = run(MODEL, rest, read_shared(MODEL, beginning))
    found = head_logits(MODEL, hidden_BLD.flatten(0, 1)[rest["scored"]])
    torch.testing.assert_close(found, scored_logits(MODEL, whole), **TOLERANCE)


def test_a_model_whose_layers_forget_shares_no_beginning(sliding_model: Any) -> None:
    assert read_shared(sliding_model, [1, 2, 3]) == ()
    assert read_shared(MODEL, []) == ()


@settings(max_examples=15, deadline=None)
@given(st.lists(groups, min_size=1, max_size=3))
@torch.no_grad()
def test_the_prompts_own_tokens_are_scored_on_request(batch: list[Group]) -> None:
    packed = pack(batch, score_prompt=True)
    own = packed["part"] == PROMPT
    assert packed["targets"][own].tolist() == [token for prompt, _ in batch for token in prompt[1:]]
    expected = [separate(MODEL, prompt[:1], prompt[1:]) for prompt, _ in batch if len(prompt) > 1]
    if expected:
        torch.testing.assert_close(scored_logits(MODEL, packed)[own], torch.cat(expected), **TOLERANCE)
    without = pack(batch)
    assert packed["scored"][~own].tolist() == without["scored"].tolist()
    assert packed["part"][~own].tolist() == without["part"].tolist()


def test_the_layout_of_a_pack() -> None:
    packed = pack([Group([5, 6], [[7, 8], [9]]), Group([4], [[3]])])
    assert packed["input_ids"].tolist() == [[5, 6, 7, 8, 9], [4, 3, 0, 0, 0]]
    assert packed["position_ids"].tolist() == [[0, 1, 2, 3, 2], [0, 1, 0, 0, 0]]
    assert packed["scored"].tolist() == [1, 2, 1, 5]  # the prompt's last token predicts the first of each completion
    assert packed["targets"].tolist() == [7, 8, 9, 3]
    assert packed["part"].tolist() == [0, 0, 1, 2]
    looks = packed["attention_mask"].int()
    assert looks.shape == (2, 1, 5, 5)
    assert looks[0, 0].tolist() == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 1, 1, 1, 0],
        [1, 1, 0, 0, 1],  # the second completion sees the prompt, not the first completion
    ]
    assert looks[1, 0, 1].tolist() == [1, 1, 0, 0, 0]  # no token sees padding
    assert looks.sum(-1).min() >= 1  # a row that sees nothing would be NaN


@torch.no_grad()
def test_padding_and_the_other_packs_change_nothing() -> None:
    short, long = Group([5, 6], [[7, 8], [9]]), Group(list(range(20, 60)), [[3] * 9])
    alone, padded = scored_logits(MODEL, pack([short])), scored_logits(MODEL, pack([short, long]))
    torch.testing.assert_close(padded[: len(alone)], alone, **TOLERANCE)
    assert padded.isfinite().all()


def test_gradients_equal_those_of_separate_sequences() -> None:
    group = Group([5, 6, 7], [[8, 9], [10, 11, 12]])
    grads = []
    for logits in (
        lambda model: scored_logits(model, pack([group])),
        lambda model: torch.cat([separate(model, group.prompt, text) for text in group.completions]),
    ):
        model = copy.deepcopy(MODEL)
        scores = logits(model).log_softmax(-1)
        scores.gather(-1, torch.tensor([[8], [9], [10], [11], [12]])).mean().backward()
        grads.append(torch.cat([parameter.grad.flatten() for parameter in model.parameters()]))
    torch.testing.assert_close(grads[0], grads[1], rtol=1e-4, atol=1e-6)


@torch.no_grad()
def test_a_model_with_adapter_is_run_with_its_adapter(tiny_model: Any) -> None:
    from peft import LoraConfig, get_peft_model

    group = Group([5, 6, 7], [[8, 9]])
    config = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False)
    torch.manual_seed(0)
    tuned = get_peft_model(copy.deepcopy(tiny_model), config).eval()
    expected = separate(tuned, group.prompt, group.completions[0])
    torch.testing.assert_close(scored_logits(tuned, pack([group])), expected, **TOLERANCE)
    assert not torch.allclose(scored_logits(tiny_model, pack([group])), expected, **TOLERANCE)


def test_means_are_taken_per_completion_and_leave_out_the_prompt() -> None:
    values, part = torch.tensor([9.0, 1.0, 3.0, 9.0, 5.0]), torch.tensor([PROMPT, 0, 0, PROMPT, 1])
    assert part_means(values, part).tolist() == [2.0, 5.0]
    assert part_means(values[4:], part[4:] * 0).tolist() == [5.0]


def test_means_let_gradients_through() -> None:
    values = torch.tensor([1.0, 3.0, 5.0], requires_grad=True)
    part_means(values, torch.tensor([0, 0, 1])).sum().backward()
    assert values.grad is not None
    assert values.grad.tolist() == pytest.approx([0.5, 0.5, 1.0])
