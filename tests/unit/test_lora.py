"""The reference is PEFT's own layer."""

import copy
from typing import Any

import torch
from peft import LoraConfig, get_peft_model

from tightlip.cpu import fuse_lora
from tightlip.cpu.lora import FusedLinear


def config(**options: Any) -> LoraConfig:
    return LoraConfig(
        r=4, lora_alpha=12, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False, **options
    )


def both(model: Any, **options: Any) -> tuple[Any, Any]:
    """PEFT's model and ours, with the same adapter."""
    made = []
    for _ in range(2):
        torch.manual_seed(0)
        made.append(get_peft_model(copy.deepcopy(model), config(**options)))
    return made[0], fuse_lora(made[1])


def run(model: Any, *, autocast: bool = False) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        logits = model(torch.tensor([[5, 6, 7], [8, 9, 10]])).logits.float()
    logits.log_softmax(-1)[..., 11].sum().backward()
    return logits.detach(), {name: value.grad for name, value in model.named_parameters() if value.requires_grad}


def distance(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return float((ours - theirs).norm() / theirs.norm())


def test_outputs_and_gradients_are_pefts(tiny_model: Any) -> None:
    stock, ours = both(tiny_model)
    expected, gradients = run(stock)
    found, fused = run(ours)
    assert distance(found, expected) < 1e-5
    assert gradients.keys() == fused.keys()
    for name, gradient in fused.items():
        assert distance(gradient, gradients[name]) < 1e-4, name


def test_under_autocast_they_are_as_near_to_the_exact_ones_as_pefts(tiny_model: Any) -> None:
    stock, ours = both(tiny_model)
    exact, exact_gradients = run(copy.deepcopy(stock))
    expected, gradients = run(stock, autocast=True)
    found, fused = run(ours, autocast=True)
    assert 0 < distance(found, exact) < 1.5 * distance(expected, exact)
    for name, gradient in fused.items():
        assert gradient.dtype == torch.float32
        assert distance(gradient, exact_gradients[name]) < 1.5 * distance(gradients[name], exact_gradients[name]), name


def test_a_bias_is_added() -> None:
    layer = torch.nn.Sequential(torch.nn.Linear(6, 5))
    options = LoraConfig(r=2, lora_alpha=2, target_modules=["0"], init_lora_weights=False)
    torch.manual_seed(0)
    stock = get_peft_model(copy.deepcopy(layer), options)
    torch.manual_seed(0)
    ours = fuse_lora(get_peft_model(copy.deepcopy(layer), options))
    x = torch.randn(3, 6)
    assert type(ours.base_model.model[0]) is FusedLinear
    torch.testing.assert_close(ours(x), stock(x))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(ours(x), stock(x), atol=0.03, rtol=0.03)


def test_a_disabled_or_merged_adapter_is_left_to_peft(tiny_model: Any) -> None:
    _, ours = both(tiny_model)
    ids = torch.tensor([[5, 6, 7]])
    with torch.no_grad():
        tuned = ours(ids).logits
        with ours.disable_adapter():
            torch.testing.assert_close(ours(ids).logits, tiny_model(ids).logits)
        ours.merge_adapter()
        torch.testing.assert_close(ours(ids).logits, tuned, atol=1e-4, rtol=1e-4)


def test_with_dropout_the_layers_stay_pefts(tiny_model: Any) -> None:
    _, ours = both(tiny_model, lora_dropout=0.1)
    assert not any(isinstance(module, FusedLinear) for module in ours.modules())


def test_only_the_adapter_is_trained(tiny_model: Any) -> None:
    _, ours = both(tiny_model)
    assert all(("lora_" in name) == value.requires_grad for name, value in ours.named_parameters())
