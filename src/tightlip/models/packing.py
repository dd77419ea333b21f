"""Packing: a prompt runs once, followed by all completions that are scored after it.

A row of the batch is one pack `[prompt | completion | completion | …]`, padded on the right. Position ids go back to
the end of the prompt for every completion, and the mask keeps the completions of a pack apart: what each of them sees
is exactly what it would see in a sequence of its own.

Shapes: B packs, L tokens of the longest pack, S scored tokens in the batch, D hidden size.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypedDict, cast

import torch
from torch import Tensor
from torch.nn import functional
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from tightlip.models import llama
from tightlip.models.llama import Shared
from tightlip.models.scoring import last_hidden, unwrap

PROMPT = PADDING = -1


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
    rows, length = ids_BL.shape
    layers = llama.supported(unwrap(model), rows, length, before + length)
    if layers:
        return llama.last_hidden(unwrap(model), layers, ids_BL, positions_BL, mask, shared)
    inputs = {"input_ids": ids_BL, "position_ids": positions_BL, "attention_mask": mask}
    if not shared:
        return last_hidden(model, **inputs)
    cache = DynamicCache(config=model.config)
    for number, states in enumerate(shared):
        cache.update(*(state.expand(rows, -1, -1, -1) for state in states), number)
    return last_hidden(model, past_key_values=cache, **inputs)


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


def part_means(values_S: Tensor, part_S: Tensor) -> Tensor:
    """Mean of token values per completion, shape (completions,)."""
    scored = part_S != PROMPT
    count = int(part_S.max()) + 1
    totals = values_S.new_zeros(count).index_add_(0, part_S[scored], values_S[scored])
    return totals / torch.bincount(part_S[scored], minlength=count)
