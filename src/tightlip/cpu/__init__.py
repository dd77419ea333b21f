"""Engines for CPUs, behind one door: the rest of the package calls the functions below and no module of this folder.

Where an engine does not serve a model or a processor, its function leaves the model as it is or returns None, and
transformers' and PEFT's code runs. Engines are imported when they are first needed: the doctor asks for the type of
numbers alone, and should not wait for transformers.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from tightlip.cpu.precision import computes_bfloat16, has_bfloat16, widen

if TYPE_CHECKING:
    from tightlip.cpu.llama_decoding import LlamaRows

__all__ = [
    "computes_bfloat16", "decoding_rows", "fuse_lora", "has_bfloat16", "last_hidden", "use_grouped_attention", "widen",
]  # fmt: skip


def use_grouped_attention(model: Any) -> Any:
    """Return the model, which on a CPU attends through `attention.grouped_attention` from now on."""
    from tightlip.cpu.attention import GROUPED

    if model.device.type == "cpu" and model.config._attn_implementation == "sdpa":
        model.set_attn_implementation(GROUPED)
    return model


def fuse_lora(model: Any) -> Any:
    """Return the PEFT model, whose plain LoRA layers are `lora.FusedLinear` from now on."""
    from tightlip.cpu.lora import fuse_layers

    return fuse_layers(model)


def last_hidden(
    model: Any, ids_BL: Tensor, positions_BL: Tensor, mask: Tensor, shared: Sequence[tuple[Tensor, Tensor]] = ()
) -> Tensor | None:
    """Run a Llama's decoder and return its last hidden states, shape (B, L, C); None of any other model.

    Args:
        model: a causal language model; where it has a PEFT adapter, what is below it.
        ids_BL, positions_BL: token ids and their positions, shape (B, L).
        mask: bool, shape (B, 1, L, S), true where a token may look, never at a later one.
        shared: keys and values of a beginning that all rows share, layer by layer (`packing.Shared`).
    """
    from tightlip.cpu import llama_training

    batch, length = ids_BL.shape
    layers = llama_training.supported(model, batch, length, mask.shape[-1])
    return layers and llama_training.last_hidden(model, layers, ids_BL, positions_BL, mask, shared)


def decoding_rows(
    model: Any, branches: Sequence[Sequence[Sequence[int]]], prompt_cache: dict[tuple[int, ...], Any] | None
) -> Callable[[], "LlamaRows"] | None:
    """Read the prompts of a decoding and return what makes its rows (`decoder.Rows`); None of other models than Llamas.

    Args:
        model: a causal language model in eval mode.
        branches: token ids of each prompt, positive and perhaps negative.
        prompt_cache: see `decoder.generate`.
    """
    from tightlip.cpu import llama_decoding

    return llama_decoding.read_branches(model, branches, prompt_cache) if llama_decoding.supports(model) else None
