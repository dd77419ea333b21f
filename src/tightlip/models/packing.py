"""Packing: a prompt runs once, followed by all completions that are scored after it.

A row of the batch is one pack `[prompt | completion | completion | …]`, padded on the right. Position ids go back to
the end of the prompt for every completion, and the mask keeps the completions of a pack apart: what each of them sees
is exactly what it would see in a sequence of its own.

Shapes: B packs, L tokens of the longest pack, S scored tokens in the batch, D hidden size.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, TypedDict, cast

import torch
from torch import Tensor
from torch.nn import functional
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from tightlip import cpu
from tightlip.models.kernel_inputs import to_bias
from tightlip.models.scoring import last_hidden, unwrap

PROMPT = PADDING = -1

Shared = Sequence[tuple[Tensor, Tensor]]
"""Keys and values of a beginning that all rows share, layer by layer, shape (1, key-value heads, tokens, head size)."""

FULL, SLIDING = "full_attention", "sliding_attention"
"""Kinds of layers, by transformers' names; a sliding one sees the last tokens alone."""

NEAR = 0.05
"""Share by which hidden states may differ: 0.012 in bfloat16 at 30 layers; where completions mix, many times that."""


class Group(NamedTuple):
    """Token ids of a prompt and of the completions to score after it; none of them empty."""

    prompt: Sequence[int]
    completions: Sequence[Sequence[int]]

    @property
    def length(self) -> int:
        """Tokens of its pack."""
        return len(self.prompt) + sum(map(len, self.completions))


class Packed(TypedDict):
    """A batch of packs.

    Attributes:
        input_ids, position_ids: shape (B, L).
        attention_mask: bool, shape (B, 1, L, L), true where a token may look.
        segments: 0 on the prompt, n on the n-th completion of the pack, `PADDING` beyond; shape (B, L).
        scored: positions in the flattened batch whose hidden states predict a scored token, shape (S,).
        targets: the tokens they predict, shape (S,).
        part: number of the completion a target belongs to, counted over the batch, or `PROMPT`; shape (S,).
    """

    input_ids: Tensor
    position_ids: Tensor
    attention_mask: Tensor
    segments: Tensor
    scored: Tensor
    targets: Tensor
    part: Tensor


def pack(groups: Sequence[Group], *, score_prompt: bool = False) -> Packed:
    """Pack prompts and completions, one prompt a row.

    Args:
        groups: what to pack.
        score_prompt: also score the prompts' own tokens, from the second on.
    """
    longest = max(group.length for group in groups)
    ids_BL, positions_BL = (torch.zeros(len(groups), longest, dtype=torch.long) for _ in range(2))
    segments_BL = torch.full((len(groups), longest), PADDING)
    scored: list[int] = []
    targets: list[int] = []
    part: list[int] = []
    completions = 0
    for row, (prompt, texts) in enumerate(groups):
        first, end = row * longest, len(prompt)
        if score_prompt:
            scored += range(first, first + end - 1)
            targets += prompt[1:]
            part += [PROMPT] * (end - 1)
        ids, positions, segments = list(prompt), list(range(end)), [0] * end
        for which, text in enumerate(texts, 1):
            scored += [first + end - 1, *range(first + len(ids), first + len(ids) + len(text) - 1)]
            targets += text
            part += [completions] * len(text)
            completions += 1
            ids += text
            positions += range(end, end + len(text))
            segments += [which] * len(text)
        ids_BL[row, : len(ids)] = torch.tensor(ids)
        positions_BL[row, : len(ids)] = torch.tensor(positions)
        segments_BL[row, : len(ids)] = torch.tensor(segments)
    return Packed(
        input_ids=ids_BL,
        position_ids=positions_BL,
        attention_mask=_mask(segments_BL),
        segments=segments_BL,
        scored=torch.tensor(scored),
        targets=torch.tensor(targets),
        part=torch.tensor(part),
    )


def _mask(segments_BL: Tensor) -> Tensor:
    """Causal; a completion sees its prompt and itself, as does padding: a row that sees nothing would be NaN."""
    looks, at = segments_BL[:, :, None], segments_BL[:, None, :]
    return (((at == 0) | (looks == at)).tril())[:, None]


def to_device(batch: Packed, device: torch.device) -> Packed:
    """Return the batch on a device."""
    return cast(Packed, {name: cast(Tensor, tensor).to(device) for name, tensor in batch.items()})


def run(model: Any, batch: Packed, shared: Shared = ()) -> Tensor:
    """Run the decoder once and return its last hidden states, shape (B, L, D).

    Args:
        model: a causal language model.
        batch: what to run.
        shared: from `read_shared`: what comes before every prompt of the batch.
    """
    before = shared[0][0].shape[2] if shared else 0
    ids_BL, positions_BL = batch["input_ids"], batch["position_ids"] + before
    mask = functional.pad(batch["attention_mask"], (before, 0), value=True)
    hidden_BLD = cpu.last_hidden(unwrap(model), ids_BL, positions_BL, mask, shared)
    if hidden_BLD is not None:
        return hidden_BLD
    masks = _for_layers(unwrap(model), mask, positions_BL)
    inputs = {"input_ids": ids_BL, "position_ids": positions_BL, "attention_mask": masks}
    if not shared:
        return last_hidden(model, **inputs)
    cache = DynamicCache(config=model.config)
    for number, states in enumerate(shared):
        cache.update(*(state.expand(len(ids_BL), -1, -1, -1) for state in states), number)
    return last_hidden(model, past_key_values=cache, **inputs)


def _for_layers(model: Any, mask: Tensor, positions_BL: Tensor) -> Tensor | dict[str, Tensor]:
    """Return the mask as the model's layers take it, one for each kind of layer where there are several.

    transformers takes a mask of four dimensions for the last word: nothing adds a sliding window to it, and layers
    without kernel (`eager`) add it to the scores as it is.
    """
    config = model.config.get_text_config()
    window, masks = getattr(config, "sliding_window", None), {FULL: mask}
    if window is not None:  # such a model's cache forgets, nothing is shared: as many keys as queries
        masks[SLIDING] = mask & (positions_BL[:, None, :, None] - positions_BL[:, None, None, :] < window)
    if config._attn_implementation == "eager":
        masks = {kind: to_bias(each, model.dtype) for kind, each in masks.items()}
    kinds = set(getattr(config, "layer_types", None) or [max(masks)])  # without a list all slide, if any does
    return {kind: masks[kind] for kind in kinds} if len(kinds) > 1 else masks[kinds.pop()]


def read_shared(model: Any, ids: Sequence[int]) -> Shared:
    """Run the beginning that prompts share; nothing, if there is none or the model's cache forgets."""
    cache = DynamicCache(config=model.config)
    if not ids or not keeps_all_tokens(cache):
        return ()
    with torch.inference_mode():
        last_hidden(model, past_key_values=cache, input_ids=torch.tensor([ids], device=model.device))
    return [(layer.keys, layer.values) for layer in cache.layers]


def keeps_all_tokens(cache: DynamicCache) -> bool:
    """Say whether all layers of an empty cache will hold all tokens; a sliding window forgets."""
    return all(type(layer) is DynamicLayer for layer in cache.layers)


@torch.no_grad()
def check_packs(model: Any) -> None:
    """Check on a few tokens that a completion in a pack is what it is in a text of its own.

    Raises:
        ValueError: it is not: the model carries on a state, or looks ahead.
    """
    prompt, other, text = ([number * 37 % 101 + shift for number in range(8)] for shift in (1, 6, 11))
    try:
        packed = run(model, to_device(pack([Group(prompt, [other, text])]), model.device))[0]
        in_pack = torch.cat([packed[: len(prompt)], packed[-len(text) :]])
        alone = last_hidden(model, input_ids=torch.tensor([[*prompt, *text]], device=model.device))[0]
        far = float(((in_pack - alone).norm(dim=-1) / alone.norm(dim=-1)).mean())
        problem = f"a share of {far:.2f} of what it computes changes"
    except Exception as error:  # a model may be made of anything
        far, problem = math.inf, type(error).__name__
    if not far < NEAR:
        raise ValueError(
            f"model type {model.config.model_type}: completions that share a prompt do not stay apart ({problem}), as "
            "training and scoring need it; take a decoder of full or sliding attention (Llama, Qwen, Gemma, Mistral, …)"
        )


def part_means(values_S: Tensor, part_S: Tensor) -> Tensor:
    """Mean of token values per completion, shape (completions,)."""
    scored = part_S != PROMPT
    count = int(part_S.max()) + 1
    totals = values_S.new_zeros(count).index_add_(0, part_S[scored], values_S[scored])
    return totals / torch.bincount(part_S[scored], minlength=count)
