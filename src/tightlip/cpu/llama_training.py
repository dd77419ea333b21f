"""The layers of a Llama on a CPU written out, with their backward pass: for training a LoRA and for scoring.

Through transformers and PEFT half of a forward's time is not matrix products: casts and scalings of 210 adapters,
norms and rotations of a dozen operations each, copies, Python. Here all layers are one operation for autograd, and
adapters that meet the same input start with one product.

Shapes: B rows, L tokens of a row, T = B · L, S keys, H query heads, G key-value heads, D head size, C model width,
I and O features that enter and leave a projection, R rank, K projections with the same input, N layers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from tightlip.cpu.attention import BLOCK, LARGEST, Blocks, attend, attend_backward
from tightlip.cpu.llama_layers import SETS, Layers, find_layers
from tightlip.models.kernel_inputs import compute_dtype, to_bias

States = Sequence[tuple[Tensor, Tensor]]
"""Keys and values, layer by layer, shape (1, G, tokens, D)."""


class _Low(NamedTuple):
    """The adapters of a set: `a` of all its projections, shape (K · R, I), and `b` of each, shape (O, R).

    Those of all layers have one dimension more, N.
    """

    a: Tensor
    b: Sequence[Tensor]

    def of(self, layer: int) -> "_Low":
        return _Low(self.a[layer], [b[layer] for b in self.b])


@dataclass(frozen=True)
class _Run:
    """Inputs of a run other than hidden states and adapters.

    Attributes:
        weights: per layer and set the frozen weights, shape (O, I) each.
        norms: per layer both norms.
        shape: B, L, H, G, D.
        rotary, query_rotary: cosines and sines, shape (B, 1, L, D / 2); for queries they also scale the scores.
        bias: of the scores, shape (B, 1, L, S).
        shared: keys and values of the beginning that all rows share.
        scaling: of the adapters' output.
    """

    weights: Sequence[Sequence[Sequence[Tensor]]]
    norms: Sequence[tuple[Any, Any]]
    shape: tuple[int, int, int, int, int]
    rotary: tuple[Tensor, Tensor]
    query_rotary: tuple[Tensor, Tensor]
    bias: Tensor
    shared: States
    scaling: float


class _Saved(NamedTuple):
    """Tensors for the backward pass of a layer, in the order of the forward pass; `low` is x Aᵀ · scaling per set."""

    x_TC: Tensor
    factor_T1: Tensor
    normed_TC: Tensor
    key_NSD: Tensor
    value_NSD: Tensor
    blocks: Blocks
    attended_TI: Tensor
    middle_TC: Tensor
    mlp_factor_T1: Tensor
    mlp_normed_TC: Tensor
    gate_TI: Tensor
    up_TI: Tensor
    product_TI: Tensor
    low: Sequence[Tensor]


def supported(model: Any, batch: int, length: int, keys: int) -> Layers | None:
    """Find the layers of a model if `last_hidden` can run rows through them.

    It can where no adapter is in use or one on all projections alike, the model computes in the type of its weights,
    learns nothing but the adapter, and the scores of a layer fit (`attention.LARGEST`).

    Args:
        model: see `find_layers`.
        batch, length, keys: rows, tokens of each, and tokens that the last of them sees.
    """
    layers = find_layers(model)
    if layers is None or model.model.gradient_checkpointing:
        return None
    adapters = {getattr(module, "in_use", None) for module in layers.linear}
    weights = [_weight(module) for module in layers.linear]
    frozen = [*weights, *(norm.weight for norms in layers.norms for norm in norms)]
    if adapters == {None}:
        frozen.append(model.model.embed_tokens.weight)  # the backward pass is that of an adapter
    learning = torch.is_grad_enabled() and (keys > length or any(weight.requires_grad for weight in frozen))
    with compute_dtype(model.model.embed_tokens.weight) as dtype:
        fits = all(weight.dtype == dtype for weight in weights)
    scores = batch * model.config.num_attention_heads * length * keys
    return layers if fits and len(adapters) == 1 and not learning and scores <= LARGEST else None


def last_hidden(
    model: Any, layers: Layers, ids_BL: Tensor, positions_BL: Tensor, mask: Tensor, shared: States = ()
) -> Tensor:
    """Run the decoder and return its last hidden states, shape (B, L, C), to which adapters get gradients.

    Args:
        model: see `supported`.
        layers: the model's.
        ids_BL: token ids.
        positions_BL: their positions.
        mask: bool, shape (B, 1, L, S), true where a token may look, never at a later one.
        shared: see `packing.run`; nothing learns from them.
    """
    decoder, config = model.model, model.config
    x = decoder.embed_tokens(ids_BL)
    with compute_dtype(x) as dtype:
        cos, sin = (each[:, None, :, : config.head_dim // 2].to(dtype) for each in decoder.rotary_emb(x, positions_BL))
        scale = decoder.layers[0].self_attn.scaling
        adapter = getattr(layers.projections[0][0][0], "in_use", None)
        run = _Run(
            weights=[[[_weight(module) for module in modules] for modules in sets] for sets in layers.projections],
            norms=layers.norms,
            shape=(*ids_BL.shape, config.num_attention_heads, config.num_key_value_heads, config.head_dim),
            rotary=(cos, sin),
            query_rotary=(cos * scale, sin * scale),
            bias=to_bias(mask, dtype),
            shared=shared,
            scaling=adapter.scaling if adapter else 1.0,
        )
        low = _stack(layers.projections, adapter.name, dtype) if adapter else []
        flat_TC: Tensor = _Layers.apply(x.flatten(0, 1).to(dtype), run, *low)
    hidden: Tensor = decoder.norm(flat_TC.view(x.shape))
    return hidden


def _weight(projection: Any) -> Tensor:
    weight: Tensor = getattr(projection, "base_layer", projection).weight
    return weight


def _stack(projections: Sequence[Sequence[Sequence[Any]]], name: str, dtype: torch.dtype) -> list[Tensor]:
    """Stack the adapters of all layers: per set `a`, shape (N, K · R, I), and each `b`, shape (N, O, R)."""
    stacked = []
    for layer_sets in zip(*projections, strict=True):
        set_modules = list(zip(*layer_sets, strict=True))
        a = [torch.stack([each.lora_A[name].weight for each in modules]) for modules in set_modules]
        stacked.append(torch.cat(a, dim=1).to(dtype))
        stacked += [torch.stack([each.lora_B[name].weight for each in modules]).to(dtype) for modules in set_modules]
    return stacked


def _sets(low: Sequence[Tensor]) -> list[_Low]:
    """Give the flat list of adapters its names back; nothing, if there are none."""
    rest = iter(low)
    return [_Low(next(rest), [next(rest) for _ in names]) for names in SETS] if low else []


class _Layers(torch.autograd.Function):
    """All layers; of hidden states, shape (T, C), and stacked adapters."""

    @staticmethod
    def forward(ctx: Any, x_TC: Tensor, run: _Run, *low: Tensor) -> Tensor:
        saved: list[_Saved] | None = [] if any(ctx.needs_input_grad) else None
        sets = _sets(low)
        for number in range(len(run.weights)):
            x_TC = _forward(x_TC, run, number, [each.of(number) for each in sets], saved)
        ctx.run, ctx.saved = run, saved
        ctx.save_for_backward(*low)
        return x_TC

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        low, run, saved = ctx.saved_tensors, ctx.run, ctx.saved
        grad_low = [torch.empty_like(tensor) for tensor in low]
        sets, grad_sets, grad_TC = _sets(low), _sets(grad_low), grads[0]
        for number in reversed(range(len(run.weights))):
            adapters, into = ([each.of(number) for each in which] for which in (sets, grad_sets))
            # A layer's saved tensors are released with it.
            grad_TC = _backward(grad_TC, run, number, adapters, into, saved.pop())
        return grad_TC, None, *grad_low


def _forward(x_TC: Tensor, run: _Run, number: int, adapters: Sequence[_Low], saved: list[_Saved] | None) -> Tensor:
    """Run a layer."""
    (batch, length, heads, groups, size), weights = run.shape, run.weights[number]
    norm, mlp_norm = run.norms[number]
    low: list[Tensor] = []

    def project(which: int, x_TI: Tensor) -> list[Tensor]:
        return _project(x_TI, weights[which], adapters[which] if adapters else None, run.scaling, low)

    normed_TC, factor_T1 = _normed(x_TC, norm)
    query_TI, key_TI, value_TI = project(0, normed_TC)
    query_BHLD = _rotate(_by_head(query_TI, batch, heads), *run.query_rotary)
    key_BGLD = _rotate(_by_head(key_TI, batch, groups), *run.rotary)
    value_BGLD = _by_head(value_TI, batch, groups)
    if run.shared:
        key_BGLD, value_BGLD = (
            torch.cat([before.expand(batch, -1, -1, -1), new], dim=2)
            for before, new in zip(run.shared[number], (key_BGLD, value_BGLD), strict=True)
        )
    keys = key_BGLD.shape[2]
    key_NSD, value_NSD = key_BGLD.reshape(-1, keys, size), value_BGLD.reshape(-1, keys, size)
    blocks: Blocks | None = None if saved is None else []
    attended_TI = attend(query_BHLD, key_NSD, value_NSD, run.bias, BLOCK, blocks).view(batch * length, -1)
    middle_TC = project(1, attended_TI)[0].add_(x_TC)
    mlp_normed_TC, mlp_factor_T1 = _normed(middle_TC, mlp_norm)
    gate_TI, up_TI = project(2, mlp_normed_TC)
    product_TI = functional.silu(gate_TI).mul_(up_TI)
    if saved is not None and blocks is not None:
        saved.append(
            _Saved(
                x_TC, factor_T1, normed_TC, key_NSD, value_NSD, blocks, attended_TI, middle_TC, mlp_factor_T1,
                mlp_normed_TC, gate_TI, up_TI, product_TI, low,
            )
        )  # fmt: skip
    return project(3, product_TI)[0].add_(middle_TC)


def _backward(
    grad_TC: Tensor, run: _Run, number: int, adapters: Sequence[_Low], into: Sequence[_Low], saved: _Saved
) -> Tensor:
    """Return the gradient of a layer's input and write those of its adapters."""
    (batch, length, heads, groups, size), weights = run.shape, run.weights[number]
    norm, mlp_norm = run.norms[number]

    def project_back(which: int, grads: Sequence[Tensor], x_TI: Tensor) -> Tensor:
        return _project_back(grads, x_TI, saved.low[which], weights[which], adapters[which], run.scaling, into[which])

    grad_product_TI = project_back(3, [grad_TC], saved.product_TI)
    grad_up_TI = functional.silu(saved.gate_TI).mul_(grad_product_TI)
    grad_gate_TI = torch.ops.aten.silu_backward(grad_product_TI.mul_(saved.up_TI), saved.gate_TI)
    grad_normed_TC = project_back(2, [grad_gate_TI, grad_up_TI], saved.mlp_normed_TC)
    grad_TC = _normed_back(grad_normed_TC, saved.middle_TC, saved.mlp_factor_T1, mlp_norm).add_(grad_TC)
    grad_attended_TI = project_back(1, [grad_TC], saved.attended_TI)
    grad_query_BHLD, grad_key_NSD, grad_value_NSD = attend_backward(
        grad_attended_TI.view(batch, length, heads, size), saved.key_NSD, saved.value_NSD, BLOCK, saved.blocks
    )
    grad_heads = [
        _rotate(grad_query_BHLD, run.query_rotary[0], -run.query_rotary[1]),
        _rotate(grad_key_NSD.view(batch, groups, length, size), run.rotary[0], -run.rotary[1]),
        grad_value_NSD.view(batch, groups, length, size),
    ]
    flat = [each.transpose(1, 2).reshape(batch * length, -1) for each in grad_heads]
    grad_normed_TC = project_back(0, flat, saved.normed_TC)
    return _normed_back(grad_normed_TC, saved.x_TC, saved.factor_T1, norm).add_(grad_TC)


def _project(
    x_TI: Tensor, weights: Sequence[Tensor], adapter: _Low | None, scaling: float, low: list[Tensor]
) -> list[Tensor]:
    """Return x Wᵀ + scaling · x Aᵀ Bᵀ for each projection of a set, and add x Aᵀ · scaling to `low`."""
    outs = [x_TI @ weight.T for weight in weights]
    if adapter is None:
        return outs
    low.append((x_TI @ adapter.a.T).mul_(scaling))
    parts = low[-1].chunk(len(weights), dim=-1)
    return [out.addmm_(part, b.T) for out, part, b in zip(outs, parts, adapter.b, strict=True)]


def _project_back(
    grads: Sequence[Tensor],
    x_TI: Tensor,
    low: Tensor,
    weights: Sequence[Tensor],
    adapter: _Low,
    scaling: float,
    into: _Low,
) -> Tensor:
    """Return the gradient of a set's input and write those of its adapters."""
    grad_low = torch.cat([grad @ b for grad, b in zip(grads, adapter.b, strict=True)], dim=-1).mul_(scaling)
    torch.mm(grad_low.T, x_TI, out=into.a)
    for grad, part, b in zip(grads, low.chunk(len(weights), dim=-1), into.b, strict=True):
        torch.mm(grad.T, part, out=b)
    grad_x_TI = grad_low @ adapter.a
    for grad, weight in zip(grads, weights, strict=True):
        grad_x_TI.addmm_(grad, weight)
    return grad_x_TI


def _by_head(flat_TI: Tensor, batch: int, heads: int) -> Tensor:
    """View shape (T, heads · D) as (B, heads, L, D)."""
    return flat_TI.view(batch, -1, heads, flat_TI.shape[-1] // heads).transpose(1, 2)


def _rotate(heads_BHLD: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate pairs of features, one from each half, by their angles; contiguous."""
    rotated = torch.empty(heads_BHLD.shape, dtype=heads_BHLD.dtype)
    (first, second), (new_first, new_second) = heads_BHLD.chunk(2, dim=-1), rotated.chunk(2, dim=-1)
    torch.mul(first, cos, out=new_first).addcmul_(second, sin, value=-1)
    torch.mul(second, cos, out=new_second).addcmul_(first, sin)
    return rotated


def _normed(x_TC: Tensor, norm: Any) -> tuple[Tensor, Tensor]:
    """Return f x · weight with f = 1 / √(mean x² + ε), and f in float32, shape (T, 1)."""
    length_T1 = torch.linalg.vector_norm(x_TC.float(), dim=-1, keepdim=True)
    factor_T1 = (length_T1.square_() / x_TC.shape[-1]).add_(norm.variance_epsilon).rsqrt_()
    return (x_TC * factor_T1).to(x_TC.dtype).mul_(norm.weight), factor_T1


def _normed_back(grad_TC: Tensor, x_TC: Tensor, factor_T1: Tensor, norm: Any) -> Tensor:
    """With y = f x and g the gradient of y: f · (g − y · mean(g y))."""
    y_TC, exact = x_TC * factor_T1, grad_TC * norm.weight.float()
    along_T1 = torch.linalg.vecdot(exact, y_TC)[:, None] / -x_TC.shape[-1]
    return exact.addcmul_(y_TC, along_T1).mul_(factor_T1).to(grad_TC.dtype)
