"""The reference is the model's own logits and torch's log-softmax."""

import copy
from typing import Any

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tightlip.models.random_model import random_model, random_tokenizer
from tightlip.models.scoring import CHUNK, head_logits, last_hidden, token_logps

MODEL = random_model(random_tokenizer(), seed=0).eval().requires_grad_(False)
VOCABULARY, HIDDEN = MODEL.get_output_embeddings().weight.shape
SIZES = {
    "vocab_size": 64, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "head_dim": 8, "pad_token_id": 0,
}  # fmt: skip
FAMILIES = {
    "Gemma2": {"final_logit_softcapping": 0.5},
    "Cohere": {"logit_scale": 0.25},
    "Granite": {"logits_scaling": 4.0},
    "Qwen2": {},
    "Phi": {},  # its head has a bias
}


def stock(model: Any, hidden: Tensor, targets: Tensor) -> Tensor:
    return head_logits(model, hidden).float().log_softmax(-1).gather(-1, targets[:, None]).squeeze(-1)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 3 * CHUNK), st.integers(0, 2**31))
def test_values_and_gradients_are_those_of_a_log_softmax(count: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(count, HIDDEN, generator=generator, requires_grad=True)
    targets = torch.randint(VOCABULARY, (count,), generator=generator)
    weights = torch.randn(count, generator=generator)
    found, expected = token_logps(MODEL, hidden, targets), stock(MODEL, hidden, targets)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    (ours,) = torch.autograd.grad((found * weights).sum(), hidden)
    (theirs,) = torch.autograd.grad((expected * weights).sum(), hidden)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_a_head_that_learns_gets_its_gradient() -> None:
    hidden, targets = torch.randn(3, HIDDEN), torch.tensor([1, 2, 3])
    model = copy.deepcopy(MODEL)
    model.get_output_embeddings().weight.requires_grad_(True)
    token_logps(model, hidden, targets).sum().backward()
    assert model.get_output_embeddings().weight.grad.abs().sum() > 0


def test_under_autocast_it_is_as_near_to_the_exact_one_as_the_stock_way() -> None:
    torch.manual_seed(0)
    hidden, targets = torch.randn(99, HIDDEN, requires_grad=True), torch.randint(VOCABULARY, (99,))
    exact = stock(MODEL, hidden, targets)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, rounded = token_logps(MODEL, hidden, targets), stock(MODEL, hidden, targets)
    assert found.dtype == torch.float32
    assert 0 < (found - exact).norm() < 1.5 * (rounded - exact).norm()
    gradients = [torch.autograd.grad(each.sum(), hidden)[0] for each in (exact, found, rounded)]
    assert (gradients[1] - gradients[0]).norm() < 1.5 * (gradients[2] - gradients[0]).norm()


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_are_the_models_own_whatever_its_family_does_after_the_head(family: str) -> None:
    config = getattr(transformers, f"{family}Config")(**SIZES, **FAMILIES[family])
    torch.manual_seed(0)
    model: Any = getattr(transformers, f"{family}ForCausalLM")(config).eval().requires_grad_(False)
    head = model.get_output_embeddings()
    if isinstance(head, nn.Linear) and head.bias is not None:
        nn.init.normal_(head.bias)
    ids = torch.tensor([[5, 6, 7, 8]])
    hidden, expected = last_hidden(model, input_ids=ids), model(ids).logits
    torch.testing.assert_close(head_logits(model, hidden), expected)
    logps = token_logps(model, hidden[0, :-1], ids[0, 1:])
    of_targets = expected[0, :-1].log_softmax(-1).gather(-1, ids[0, 1:, None]).squeeze(-1)
    torch.testing.assert_close(logps, of_targets, rtol=1e-4, atol=1e-5)
