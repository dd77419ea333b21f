"""The layers of a plain Llama on a CPU, which training, scoring and decoding write out."""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn
from transformers import LlamaForCausalLM

SETS = (("q_proj", "k_proj", "v_proj"), ("o_proj",), ("gate_proj", "up_proj"), ("down_proj",))
"""Projections of a layer that meet the same input."""


@dataclass(frozen=True)
class Layers:
    """The parts of a model that a run goes through.

    Attributes:
        projections: per layer and set the linear layers, with or without an adapter.
        norms: per layer those before attention and MLP.
    """

    projections: Sequence[Sequence[Sequence[Any]]]
    norms: Sequence[tuple[Any, Any]]

    @functools.cached_property
    def linear(self) -> list[Any]:
        """All linear layers."""
        return [module for sets in self.projections for modules in sets for module in modules]

    def modules(self, model: Any) -> Iterator[Any]:
        """Yield the modules of a model that a run passes by, whose hooks it would leave out."""
        decoder = model.model
        yield from (model, decoder, decoder.norm, model.lm_head)
        for layer, norms in zip(decoder.layers, self.norms, strict=True):
            yield from (layer, layer.self_attn, layer.mlp, layer.mlp.act_fn, *norms)
        yield from self.linear


def find_layers(model: Any) -> Layers | None:
    """Find the layers of a Llama on a CPU without biases, hooks or unusual parts; None of any other model.

    Args:
        model: a causal language model; where it has a PEFT adapter, what is below it.
    """
    if type(model) is not LlamaForCausalLM or model.device.type != "cpu":
        return None
    layers = Layers(
        [[_projections(layer, names) for names in SETS] for layer in model.model.layers],
        [(layer.input_layernorm, layer.post_attention_layernorm) for layer in model.model.layers],
    )
    usual = (
        model.config.hidden_act == "silu"
        and model.config.rope_parameters["rope_type"] in ("default", "linear", "llama3")
        and all(map(_linear, layers.linear))
        and not any(module._forward_hooks or module._forward_pre_hooks for module in layers.modules(model))
    )
    return layers if usual else None


def _projections(layer: Any, names: Sequence[str]) -> list[Any]:
    part = layer.self_attn if hasattr(layer.self_attn, names[0]) else layer.mlp
    return [getattr(part, name) for name in names]


def _linear(projection: Any) -> bool:
    """Whether a projection is a plain linear layer, or one of ours (`lora.FusedLinear`) with one adapter or none."""
    if type(projection) is not nn.Linear:
        ours = hasattr(projection, "in_use") and not projection.merged
        if not ours or (projection.in_use is None and not projection.disable_adapters):
            return False
    return projection.bias is None
