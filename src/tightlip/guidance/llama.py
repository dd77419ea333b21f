"""Llamas on a CPU: a decoding step written out, for all that it costs beside reading the weights.

Weights that meet the same input are one matrix, packed as oneDNN wants it. Every row keeps its place in a cache that is
written where it lies. A prompt is read by itself, without padding, so that its state does not depend on what else is
decoded, and can be kept.

Shapes: N rows, H query heads, G key-value heads, D head size, T tokens of a prompt, C columns of the cache, V
vocabulary.
"""

from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import DynamicCache, LlamaForCausalLM

COLUMNS = 32
"""The cache grows by so many columns; products over a part of its columns would be slower than over all."""

LARGEST = 2**31
"""Bytes of weights above which a second copy of them, packed, takes more memory than it is worth."""

State = tuple[Tensor, Tensor]
"""A prompt that was read: keys and values, shape (layers, 2, G, T, D), and the logits that follow, shape (V,)."""


class LlamaRows:
    """Rows of a Llama; see `decoder.Rows`."""

    joinable = True

    def __init__(self, model: Any, prompt_cache: dict[tuple[int, ...], State] | None) -> None:
        self.model, self.weights, self.prompt_cache = model, _prepared(model), prompt_cache
        self.lengths: list[int] = []
        config = model.config
        self.shape = (config.num_hidden_layers, 2, 0, config.num_key_value_heads, 0, config.head_dim)
        self.cache = torch.empty(self.shape, dtype=model.dtype)

    def add(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """Read prompts, or remember them."""
        states = [self._read(tuple(prompt)) for prompt in prompts]
        first = len(self.lengths)
        self.lengths += map(len, prompts)
        self._make_room()
        for row, (cached, _) in enumerate(states, first):
            self.cache[:, :, row, :, : cached.shape[3]] = cached
        return torch.stack([logits_V for _, logits_V in states])

    def _read(self, prompt: tuple[int, ...]) -> State:
        if self.prompt_cache is not None and prompt in self.prompt_cache:
            return self.prompt_cache[prompt]
        cache = DynamicCache(config=self.model.config)
        out = self.model(torch.tensor([prompt]), past_key_values=cache, logits_to_keep=torch.tensor([-1]))
        cached = torch.stack([states[0] for layer in cache.layers for states in (layer.keys, layer.values)])
        state = cached.unflatten(0, (-1, 2)), out.logits[0, -1]
        if self.prompt_cache is not None:
            self.prompt_cache[prompt] = state
        return state

    def _make_room(self) -> None:
        """Grow the cache to the rows and the longest of them."""
        old = self.cache
        rows, columns = max(len(self.lengths), old.shape[2]), max(*self.lengths, old.shape[4])
        if (rows, columns) != (old.shape[2], old.shape[4]):
            layers, two, _, groups, _, size = old.shape
            columns = -(-columns // COLUMNS) * COLUMNS
            # Zeros: what no row has written yet is weighted with 0, and must be finite.
            self.cache = old.new_zeros(layers, two, rows, groups, columns, size)
            self.cache[:, :, : old.shape[2], :, : old.shape[4]] = old

    def select(self, order: Sequence[int]) -> None:
        """Move rows."""
        for row, old in enumerate(order):
            if row != old:
                self.cache[:, :, row] = self.cache[:, :, old]
        self.lengths = [self.lengths[old] for old in order]

    def step(self, tokens_N: Tensor) -> Tensor:
        """Feed one token per row."""
        positions_N = torch.tensor(self.lengths)
        self.lengths = [length + 1 for length in self.lengths]
        self._make_room()
        hidden_NC = torch.arange(self.cache.shape[4]) > positions_N[:, None]
        bias_NC = torch.zeros(hidden_NC.shape, dtype=self.cache.dtype).masked_fill_(hidden_NC, -torch.inf)
        return self.weights.step(tokens_N, positions_N, bias_NC, self.cache)


class _Weights:
    """The weights of a model, as operations, and what they were made of."""

    def __init__(self, model: Any) -> None:
        decoder = model.model
        self.source = _fingerprint(model)
        self.layers = [_Layer(layer) for layer in decoder.layers]
        self.embed, self.rotary = decoder.embed_tokens, decoder.rotary_emb
        self.norm, self.head = _norm(decoder.norm), _linear(model.lm_head)

    def step(self, tokens_N: Tensor, positions_N: Tensor, bias_NC: Tensor, cache: Tensor) -> Tensor:
        """Return the logits after one token per row, shape (N, V), and write its keys and values to the cache.

        Args:
            tokens_N, positions_N: the tokens and their columns.
            bias_NC: 0 where a row looks, −inf elsewhere.
            cache: keys and values, shape (layers, 2, at least N, G, C, D).
        """
        x, rows_N = self.embed(tokens_N), torch.arange(len(tokens_N))
        groups, columns, size = cache.shape[3:]
        bias = bias_NC[:, None].expand(-1, groups, -1).reshape(-1, 1, columns)
        cos, sin = (each[0, :, None] for each in self.rotary(x, positions_N[None]))
        sin = torch.cat([-sin[..., : size // 2], sin[..., size // 2 :]], dim=-1)  # with the signs of `rotate_half`
        for layer, (all_keys, all_values) in zip(self.layers, cache, strict=True):
            heads = layer.qkv(layer.norm(x)).view(len(x), -1, size)
            rotated = heads[:, :-groups]
            rotated = torch.addcmul(rotated * cos, rotated.roll(size // 2, -1), sin)
            all_keys[rows_N, :, positions_N] = rotated[:, -groups:]
            all_values[rows_N, :, positions_N] = heads[:, -groups:]
            keys, values = (each[: len(x)].view(-1, columns, size) for each in (all_keys, all_values))
            queries = rotated[:, :-groups].reshape(len(keys), -1, size)
            scores = torch.baddbmm(bias, queries, keys.transpose(1, 2), alpha=layer.scaling)
            x = x + layer.o(torch.bmm(scores.softmax(-1), values).view(len(x), -1))
            gate, up = layer.gate_up(layer.mlp_norm(x)).chunk(2, dim=-1)
            x = x + layer.down(functional.silu(gate) * up)
        logits: Tensor = self.head(self.norm(x))
        return logits


class _Layer:
    def __init__(self, layer: Any) -> None:
        attention, mlp = layer.self_attn, layer.mlp
        self.norm, self.mlp_norm = _norm(layer.input_layernorm), _norm(layer.post_attention_layernorm)
        self.qkv, self.o = _linear(attention.q_proj, attention.k_proj, attention.v_proj), _linear(attention.o_proj)
        self.gate_up, self.down = _linear(mlp.gate_proj, mlp.up_proj), _linear(mlp.down_proj)
        self.scaling = attention.scaling


def _norm(norm: Any) -> Callable[[Tensor], Tensor]:
    weight, eps = norm.weight.detach(), norm.variance_epsilon
    return lambda x: functional.rms_norm(x, weight.shape, weight, eps)


def _linear(*modules: Any) -> Callable[[Tensor], Tensor]:
    """Make one operation of linear layers with the same input."""
    weight = torch.cat([module.weight.detach() for module in modules])
    if weight.dtype != torch.bfloat16 or not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return lambda x: functional.linear(x, weight)
    packed = torch.ops.mkldnn._reorder_linear_weight(weight, 1)
    return lambda x: torch.ops.mkldnn._linear_pointwise(x, packed, None, "none", [], "")


_PREPARED: WeakKeyDictionary[nn.Module, _Weights] = WeakKeyDictionary()


def _prepared(model: Any) -> _Weights:
    """Prepare the weights of a model, once for as long as they stay the same."""
    weights = _PREPARED.get(model)
    if weights is None or weights.source != _fingerprint(model):
        weights = _PREPARED[model] = _Weights(model)
    return weights


def _fingerprint(model: Any) -> list[tuple[int, int]]:
    """Say where the weights lie and how often they were written."""
    return [(weight.data_ptr(), weight._version) for weight in model.parameters()]


def supports(model: Any) -> bool:
    """Say whether steps of the model can be written out: a plain Llama on a CPU, its adapter merged, nothing hooked."""
    if type(model) is not LlamaForCausalLM or model.device.type != "cpu":
        return False
    linear = [module for name, module in model.named_modules() if name.endswith(("_proj", "lm_head"))]
    return (
        model.config.hidden_act == "silu"
        and model.config.rope_parameters["rope_type"] in ("default", "linear", "llama3")
        and all(type(module) is nn.Linear and module.bias is None for module in linear)
        and not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
        and sum(weight.nbytes for weight in model.parameters()) <= LARGEST
    )
