"""The reference is the library's own attention."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from tightlip.cpu import attention
from tightlip.cpu.attention import GROUPED, grouped_attention

MODULE: Any = SimpleNamespace(num_key_value_groups=3, is_causal=True, training=False)


def states(length: int, keys: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    """Two rows, six heads in two groups, head size 8."""
    rng = torch.Generator().manual_seed(0)
    shapes = [(2, 6, length, 8), (2, 2, keys, 8), (2, 2, keys, 8)]
    return tuple(torch.randn(shape, generator=rng, dtype=dtype, requires_grad=True) for shape in shapes)  # type: ignore[return-value]


def mask(length: int, keys: int) -> Tensor:
    """Causal, the second row with three columns of padding on its left."""
    allowed = torch.ones(2, 1, length, keys, dtype=torch.bool).tril(keys - length)
    allowed[1, :, :, :3] = False
    return allowed


@pytest.mark.parametrize(("length", "keys"), [(9, 9), (1, 9), (8, 9)])
@pytest.mark.parametrize("scaling", [None, 0.3])
@pytest.mark.parametrize("block", [2, 256])
def test_values_and_gradients_are_those_of_the_library(
    length: int, keys: int, scaling: float | None, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "BLOCK", block)
    found = []
    for function in (grouped_attention, sdpa_attention_forward):
        inputs = states(length, keys)
        out, weights = function(MODULE, *inputs, mask(length, keys), scaling=scaling)
        seen = out[:, 3:] if length > 1 else out  # a row of padding may be anything
        gradients = torch.autograd.grad(seen.square().sum(), inputs)
        assert out.shape == (2, length, 6, 8)
        assert weights is None
        found.append((seen, *gradients))
    torch.testing.assert_close(*found)


def test_under_autocast_it_computes_in_its_type() -> None:
    query, key, value = inputs = states(9, 9)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out, _ = grouped_attention(MODULE, query, key, value.detach(), mask(9, 9))
    expected, _ = sdpa_attention_forward(MODULE, *inputs, mask(9, 9))
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out[:, 3:].float(), expected[:, 3:], atol=0.03, rtol=0.03)
    out.sum().backward()
    assert query.grad is not None
    assert query.grad.dtype == torch.float32


def test_queries_that_see_later_keys_are_not_cut_into_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "BLOCK", 2)
    module: Any = SimpleNamespace(num_key_value_groups=3, is_causal=False, training=False)
    allowed = torch.ones(2, 1, 9, 9, dtype=torch.bool)
    found, expected = (f(module, *states(9, 9), allowed)[0] for f in (grouped_attention, sdpa_attention_forward))
    torch.testing.assert_close(found, expected)


def test_a_row_that_sees_nothing_is_no_nan() -> None:
    query, key, value = states(9, 9)
    out, _ = grouped_attention(MODULE, query, key, value, torch.zeros(2, 1, 9, 9, dtype=torch.bool))
    assert torch.isfinite(out).all()


@pytest.mark.parametrize("case", ["long", "dropout", "no mask", "position_bias"])
def test_what_it_is_not_made_for_goes_to_the_library(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[dict[str, Any]] = []

    def library(*_: Any, **options: Any) -> str:
        calls.append(options)
        return case

    monkeypatch.setattr(attention, "sdpa_attention_forward", library)
    if case == "long":
        monkeypatch.setattr(attention, "LARGEST", 10)
    options: dict[str, Any] = {"dropout": 0.1} if case == "dropout" else {}
    if case == "position_bias":
        options["position_bias"] = torch.zeros(2, 6, 9, 9)
    allowed = None if case == "no mask" else mask(9, 9)
    assert grouped_attention(MODULE, *states(9, 9), allowed, **options) == case
    assert len(calls) == 1


def test_a_model_answers_alike_padded_or_not(tiny_model: Any) -> None:
    ids = torch.tensor([[5, 6, 7, 8], [2, 2, 9, 10]])
    allowed = torch.tensor([[1, 1, 1, 1], [0, 0, 1, 1]])
    with torch.no_grad():
        stock = tiny_model(ids, attention_mask=allowed).logits
        tiny_model.set_attn_implementation(GROUPED)
        try:
            ours = tiny_model(ids, attention_mask=allowed).logits
            plain = tiny_model(ids[:1]).logits
        finally:
            tiny_model.set_attn_implementation("sdpa")
    torch.testing.assert_close(ours[0], stock[0])
    torch.testing.assert_close(ours[1, 2:], stock[1, 2:])
    torch.testing.assert_close(plain[0], stock[0])
