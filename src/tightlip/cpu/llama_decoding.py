"""Llamas on a CPU: the decoder's forward pass written out, since most of a step's time is not the reading of weights.

Weights with the same input are one matrix, in oneDNN's packed layout. Every row keeps its place in a cache that is
updated in place. Prompts whose states are cached are read before anything is decoded, so that their states do not
depend on when they enter the batch.

Shapes: T tokens run at once, N rows, H query heads, G key-value heads, D head size, C columns of the cache, V
vocabulary.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn import functional

from tightlip.cpu.attention import grouped_attention
from tightlip.cpu.llama_layers import find_layers
from tightlip.cpu.prefix_trees import Tree, as_tensors, build_prefix_trees

COLUMNS = 32
"""The cache grows by so many columns; products over a part of its columns would be slower than over all."""

FEW = 8
"""Rows up to which torch's fused attention is faster than two matrix products."""

LARGEST = 2**31
"""Bytes of weights above which a second copy of them, packed, takes more memory than it is worth."""


READ_AHEAD = 2**30
"""Bytes of states up to which all prompts are read before the first is continued, if the caller keeps none."""


class State(NamedTuple):
    """A prompt that was read.

    Attributes:
        cached: keys and values of the trees that were read with it, shape (layers, 2, B, G, L, D).
        tree: number of its tree.
        path: its nodes, shape (T,).
        logits_1V: what follows.
    """

    cached: Tensor
    tree: int
    path: Tensor
    logits_1V: Tensor


Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]
"""Of layer number, queries (T, H, D), keys and values (T, G, D): the attended values, T · H · D of them."""


class LlamaRows:
    """Rows of a Llama; see `decoder.Rows`."""

    joinable = True

    def __init__(self, model: Any, prompt_cache: dict[tuple[int, ...], State]) -> None:
        self.weights, self.prompt_cache = _prepared(model), prompt_cache
        self.lengths: list[int] = []
        # Keys and values, shape (2, rows, G, C, D), layer by layer: in one piece they would be too large for the
        # allocator to keep, and every page of a new one would be the kernel's work.
        self.cache = list(self.weights.states(rows=0, columns=0))

    def add(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """Read prompts, or take their states from the cache."""
        states = [self.prompt_cache.get(prompt) or _read_alone(self.weights, prompt) for prompt in map(tuple, prompts)]
        first = len(self.lengths)
        self.lengths += map(len, prompts)
        self._make_room()
        for row, state in enumerate(states, first):
            for cache, cached in zip(self.cache, state.cached, strict=True):
                cache[:, row, :, : len(state.path)] = cached[:, state.tree].index_select(2, state.path)
        return torch.cat([state.logits_1V for state in states])

    def _make_room(self) -> None:
        """Fit the cache to the rows and the longest of them; it shrinks only where that is worth the copy."""
        two, rows, groups, columns, size = self.cache[0].shape
        needed = -(-max(self.lengths) // COLUMNS) * COLUMNS
        if len(self.lengths) <= rows and 3 * columns // 4 <= needed <= columns:
            return
        shared_columns = min(columns, needed)
        for number, old in enumerate(self.cache):
            new = old.new_empty(two, max(len(self.lengths), rows), groups, needed, size)
            new[:, :rows, :, :shared_columns] = old[..., :shared_columns, :]
            # Places that no row has written yet get weight 0, and must be finite.
            new[:, :rows, :, shared_columns:] = 0
            new[:, rows:] = 0
            self.cache[number] = new

    def select(self, order: Sequence[int]) -> None:
        """Move rows."""
        for row, old in enumerate(order):
            if row != old:
                for cache in self.cache:
                    cache[:, row] = cache[:, old]
        self.lengths = [self.lengths[old] for old in order]

    def step(self, tokens_N: Tensor) -> Tensor:
        """Feed one token per row."""
        positions_N, rows_N, count = torch.tensor(self.lengths), torch.arange(len(tokens_N)), len(tokens_N)
        self.lengths = [length + 1 for length in self.lengths]
        self._make_room()
        groups, columns, size = self.cache[0].shape[2:]
        hidden_NC = torch.arange(columns) > positions_N[:, None]
        bias = torch.zeros(hidden_NC.shape, dtype=self.cache[0].dtype).masked_fill_(hidden_NC, -torch.inf)[
            :, None, None
        ]
        flat_bias = bias.expand(-1, groups, -1, -1).reshape(-1, 1, columns)

        def attend(number: int, queries: Tensor, new_keys: Tensor, new_values: Tensor) -> Tensor:
            keys, values = self.cache[number]
            keys[rows_N, :, positions_N], values[rows_N, :, positions_N] = new_keys, new_values
            keys, values, scaling = keys[:count], values[:count], self.weights.layers[number].attention.scaling
            queries = queries.reshape(count, groups, -1, size)  # those of a group stand where others have positions
            if count <= FEW:
                return functional.scaled_dot_product_attention(queries, keys, values, attn_mask=bias, scale=scaling)
            flat_keys, flat_values = keys.view(-1, columns, size), values.view(-1, columns, size)
            scores = torch.baddbmm(flat_bias, queries.flatten(0, 1), flat_keys.transpose(1, 2), alpha=scaling)
            return torch.bmm(scores.softmax(-1), flat_values)

        return self.weights.logits(tokens_N, positions_N, attend)


def read_branches(
    model: Any, branches: Sequence[Sequence[Sequence[int]]], prompt_cache: dict[tuple[int, ...], State] | None
) -> Callable[[], LlamaRows]:
    """Read the prompts of a decoding and return what makes its rows.

    Positive and negative prompts are read apart, so that positive ones are read alike whether γ needs negatives or not.

    Args:
        model: see `supports`.
        branches: token ids of each prompt, positive and perhaps negative.
        prompt_cache: the caller's; None keeps the states for this decoding alone, and up to `READ_AHEAD` of them.
    """
    states: dict[tuple[int, ...], State] = {} if prompt_cache is None else prompt_cache
    for branch in range(2):
        prompts = [rows[branch] for rows in branches if branch < len(rows)]
        read(model, prompts, states, READ_AHEAD if prompt_cache is None else math.inf)
    return functools.partial(LlamaRows, model, states)


def read(model: Any, prompts: Sequence[Sequence[int]], prompt_cache: dict[tuple[int, ...], State], most: float) -> None:
    """Read prompts into a cache, what some of them begin with alike once; none if that takes more than `most` bytes."""
    weights = _prepared(model)
    groups = list(build_prefix_trees([prompt for prompt in map(tuple, prompts) if prompt not in prompt_cache]))
    tokens = sum(len(tree.tokens) for trees in groups for tree in trees)
    if tokens * weights.states(rows=1, columns=1).nbytes <= most:
        for trees in groups:
            prompt_cache |= _read(weights, trees)


def _read_alone(weights: "_Weights", prompt: tuple[int, ...]) -> State:
    [trees] = build_prefix_trees([prompt])
    return _read(weights, trees)[prompt]


def _read(weights: "_Weights", trees: Sequence[Tree]) -> dict[tuple[int, ...], State]:
    """Run trees of prompts, one a row."""
    ids_BL, positions_BL, seen = as_tensors(trees)
    cached = weights.states(*ids_BL.shape)

    def attend(number: int, *states: Tensor) -> Tensor:
        queries, keys, values = (state.unflatten(0, ids_BL.shape).transpose(1, 2) for state in states)
        cached[number, 0], cached[number, 1] = keys, values
        attention = weights.layers[number].attention
        return grouped_attention(attention, queries, keys, values, seen, scaling=attention.scaling)[0]

    paths = [(row, prompt, path) for row, tree in enumerate(trees) for prompt, path in tree.paths.items()]
    ends = torch.tensor([row * ids_BL.shape[1] + path[-1] for row, _, path in paths])
    logits = weights.logits(ids_BL.flatten(), positions_BL.flatten(), attend, ends)
    return {
        prompt: State(cached, row, torch.tensor(path), logits[number : number + 1])
        for number, (row, prompt, path) in enumerate(paths)
    }


class _Weights:
    """The weights of a model, as operations, and what they were made of."""

    def __init__(self, model: Any) -> None:
        decoder, self.groups = model.model, model.config.num_key_value_heads
        self.size, self.dtype = model.config.head_dim, model.dtype
        self.source = _fingerprint(model)
        self.layers = [_Layer(layer) for layer in decoder.layers]
        self.embed, self.rotary = decoder.embed_tokens, decoder.rotary_emb
        self.norm, self.head = _norm(decoder.norm), _linear(model.lm_head)

    def states(self, rows: int, columns: int) -> Tensor:
        """Make room for keys and values, shape (layers, 2, rows, G, columns, D)."""
        return torch.empty(len(self.layers), 2, rows, self.groups, columns, self.size, dtype=self.dtype)

    def logits(self, ids_T: Tensor, positions_T: Tensor, attend: Attend, ends: Tensor | None = None) -> Tensor:
        """Run tokens and return the logits after those at `ends`, or after all of them, shape (T, V)."""
        x = self.embed(ids_T)
        cos, sin = (each[0, :, None] for each in self.rotary(x, positions_T[None]))
        half = cos.shape[-1] // 2
        sin = torch.cat([-sin[..., :half], sin[..., half:]], dim=-1)  # with the signs of `rotate_half`
        for number, layer in enumerate(self.layers):
            heads = layer.qkv(layer.norm(x)).view(len(x), -1, 2 * half)
            values, heads = heads[:, -self.groups :], heads[:, : -self.groups]
            rotated = torch.addcmul(heads * cos, heads.roll(half, -1), sin)
            attended = attend(number, rotated[:, : -self.groups], rotated[:, -self.groups :], values)
            x = x + layer.o(attended.view(len(x), -1))
            gate, up = layer.gate_up(layer.mlp_norm(x)).chunk(2, dim=-1)
            x = x + layer.down(functional.silu(gate) * up)
        logits: Tensor = self.head(self.norm(x if ends is None else x[ends]))
        return logits


class _Layer:
    def __init__(self, layer: Any) -> None:
        attention, mlp = layer.self_attn, layer.mlp
        self.norm, self.mlp_norm = _norm(layer.input_layernorm), _norm(layer.post_attention_layernorm)
        self.qkv, self.o = _linear(attention.q_proj, attention.k_proj, attention.v_proj), _linear(attention.o_proj)
        self.gate_up, self.down = _linear(mlp.gate_proj, mlp.up_proj), _linear(mlp.down_proj)
        self.attention = attention


def _norm(norm: Any) -> Callable[[Tensor], Tensor]:
    """Make an RMS norm of a layer norm, which torch has fused for a CPU: the mean of [x, −x] is 0."""
    weight, eps, width = norm.weight.detach().repeat(2), norm.variance_epsilon, len(norm.weight)
    return lambda x: functional.layer_norm(torch.cat([x, -x], dim=-1), weight.shape, weight, None, eps)[..., :width]


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
    """Return the address of every weight and how often it was written."""
    return [(weight.data_ptr(), weight._version) for weight in model.parameters()]


def supports(model: Any) -> bool:
    """Say whether steps of the model can be written out: a plain Llama on a CPU, its adapter merged, nothing hooked."""
    layers = find_layers(model)
    return (
        layers is not None
        and all(type(module) is nn.Linear for module in (*layers.linear, model.lm_head))
        and model.lm_head.bias is None
        and not any(weight.is_inference() for weight in model.parameters())  # they do not tell of changes
        and sum(weight.nbytes for weight in model.parameters()) <= LARGEST
    )
