"""The written-out layers against transformers' and PEFT's own, which the same model runs where they are refused."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model

from tightlip.cpu import fuse_lora
from tightlip.cpu import llama_training as llama
from tightlip.models.packing import Group, Packed, pack, read_shared, run
from tightlip.models.random_model import random_model, random_tokenizer
from tightlip.models.scoring import token_logps, unwrap

MODEL = random_model(random_tokenizer(), seed=0).eval()
GROUPS = [Group([5, 6, 7, 8], [[9, 10], [11]]), Group([12, 13], [[14, 15, 16]])]


def config(target_modules: str | list[str] = "all-linear") -> LoraConfig:
    return LoraConfig(r=4, lora_alpha=12, target_modules=target_modules, task_type="CAUSAL_LM", init_lora_weights=False)


def tuned(dtype: torch.dtype = torch.float32, target_modules: str | list[str] = "all-linear") -> Any:
    torch.manual_seed(0)
    return fuse_lora(get_peft_model(copy.deepcopy(MODEL).to(dtype), config(target_modules)))


def refused(monkeypatch: pytest.MonkeyPatch, work: Callable[[], Any]) -> Any:
    """Do something through transformers and PEFT."""
    with monkeypatch.context() as patch:
        patch.setattr(llama, "supported", lambda *_: None)
        return work()


def outcome(model: Any, batch: Packed, *, autocast: bool = False) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Log-probabilities, and the gradients of what learns."""
    model.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        logps = token_logps(model, run(model, batch).flatten(0, 1)[batch["scored"]], batch["targets"])
    (logps * torch.arange(1, len(logps) + 1)).sum().backward()
    return logps.detach(), {name: w.grad.clone() for name, w in model.named_parameters() if w.grad is not None}


def same(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> None:
    total = sum(float(gradient.norm()) for gradient in theirs.values())
    for name, gradient in ours.items():
        assert (gradient - theirs[name]).norm() <= 1e-4 * theirs[name].norm() + 1e-6 * total, name


def accepts(model: Any) -> bool:
    return llama.supported(unwrap(model), 2, 7, 7) is not None


TUNED = tuned()
ids = st.lists(st.integers(5, 300), min_size=1, max_size=12)
groups = st.lists(st.builds(Group, ids, st.lists(ids, min_size=1, max_size=3)), min_size=1, max_size=3)


@settings(deadline=None, max_examples=40)
@given(groups=groups, score_prompt=st.booleans())
def test_log_probabilities_and_gradients_are_transformers_over_random_packs(
    groups: list[Group], score_prompt: bool
) -> None:
    batch = pack(groups, score_prompt=score_prompt)
    assert accepts(TUNED)
    with pytest.MonkeyPatch.context() as patch:
        expected, gradients = refused(patch, lambda: outcome(TUNED, batch))
    found, ours = outcome(TUNED, batch)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert ours.keys() == gradients.keys()
    same(ours, gradients)


def test_in_bfloat16_they_are_as_near_to_the_exact_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = tuned(torch.bfloat16), pack(GROUPS)
    exact, exact_gradients = outcome(copy.deepcopy(model).float(), batch)
    expected, gradients = refused(monkeypatch, lambda: outcome(model, batch, autocast=True))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert accepts(model)
    found, ours = outcome(model, batch, autocast=True)
    assert 0 < (found - exact).norm() < 1.5 * (expected - exact).norm()

    def distance(of: dict[str, torch.Tensor]) -> float:
        return sum(float((of[name].float() - exact_gradients[name].float()).norm()) for name in exact_gradients)

    assert 0 < distance(ours) < 1.5 * distance(gradients)


def test_the_input_gets_its_gradient_where_the_embeddings_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = tuned(), pack(GROUPS)
    model.get_input_embeddings().weight.requires_grad_(True)
    assert accepts(model)
    _, expected = refused(monkeypatch, lambda: outcome(model, batch))
    _, found = outcome(model, batch)
    assert any("embed_tokens" in name for name in found)
    same(found, expected)


@torch.no_grad()
@pytest.mark.parametrize("model", [MODEL, TUNED], ids=["bare", "adapter"])
def test_a_beginning_that_was_read_before_is_seen(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shared, batch = read_shared(model, [20, 21, 22]), pack(GROUPS)
    whole = pack([Group([20, 21, 22, *group.prompt], group.completions) for group in GROUPS])

    def scored(batch: Packed, shared: Any = ()) -> torch.Tensor:
        return run(model, batch, shared).flatten(0, 1)[batch["scored"]]

    expected = refused(monkeypatch, lambda: scored(whole))
    torch.testing.assert_close(scored(batch, shared), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(scored(whole), expected, rtol=1e-4, atol=1e-5)
    through_transformers = refused(monkeypatch, lambda: scored(batch, shared))
    torch.testing.assert_close(through_transformers, expected, rtol=1e-4, atol=1e-5)


def test_longer_rows_than_a_block_of_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llama, "BLOCK", 3)
    batch = pack(GROUPS)
    expected, gradients = refused(monkeypatch, lambda: outcome(TUNED, batch))
    found, ours = outcome(TUNED, batch)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    same(ours, gradients)


def disabled() -> Any:
    model = tuned()
    model.base_model.disable_adapter_layers()
    return model


def merged() -> Any:
    model = tuned()
    model.merge_adapter()
    return model


def with_two() -> Any:
    model = tuned()
    model.add_adapter("other", config())
    model.base_model.set_adapter(["default", "other"])
    return model


def hooked() -> Any:
    model = tuned()
    unwrap(model).model.layers[1].mlp.register_forward_hook(lambda *_: None)
    return model


def with_learning_norm() -> Any:
    model = tuned()
    unwrap(model).model.layers[1].input_layernorm.weight.requires_grad_(True)
    return model


def with_bias() -> Any:
    model = copy.deepcopy(MODEL)
    width = model.config.hidden_size
    model.model.layers[0].self_attn.o_proj = torch.nn.Linear(width, width)
    return model


def checkpointed() -> Any:
    model = tuned()
    unwrap(model).activation_checkpointing_enable()
    return model


@pytest.mark.parametrize(
    "made",
    [
        merged, with_two, hooked, with_learning_norm, with_bias, checkpointed,
        lambda: tuned(target_modules=["q_proj"]),
        lambda: get_peft_model(copy.deepcopy(MODEL), config()),
        lambda: copy.deepcopy(MODEL).requires_grad_(True),
    ],
    ids=["merged", "two adapters", "hook", "norm learns", "bias", "checkpointing", "partly", "PEFT's", "all learns"],
)  # fmt: skip
def test_what_is_not_written_out_runs_through_transformers(made: Callable[[], Any]) -> None:
    model = made()
    assert accepts(tuned())
    assert not accepts(model)
    expected = unwrap(model).model(torch.tensor([[5, 6, 7]])).last_hidden_state
    torch.testing.assert_close(run(model, pack([Group([5, 6, 7], [])])), expected)


def test_a_disabled_adapter_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = disabled(), pack(GROUPS)
    assert accepts(model)
    with torch.no_grad():
        torch.testing.assert_close(run(model, batch), run(MODEL, batch), rtol=1e-5, atol=1e-6)
        assert not torch.allclose(run(model, batch), run(TUNED, batch), atol=1e-3)


def test_another_type_than_that_of_the_weights_and_scores_beyond_memory_are_refused() -> None:
    model = tuned(torch.bfloat16)
    assert accepts(model)
    with torch.autocast("cpu", dtype=torch.float16):
        assert not accepts(model)
    assert llama.supported(unwrap(model), 64, 2**12, 2**12) is None
