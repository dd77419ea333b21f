"""Rows of any causal language model: prompts are run in groups, then joined, aligned at the right end.

Shapes: N rows, L columns, V vocabulary.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import DynamicCache

from tightlip.models.packing import keeps_all_tokens

PREFILL_TOKENS = 1024
"""Tokens of prompts run at a time on a CPU, where more no longer fits its caches; times 16 elsewhere."""

LAST = torch.tensor([-1])
"""The last position, as an index: as a number it takes a view, for which torch copies the head once per row."""


class ModelRows:
    """Rows of any model; see `decoder.Rows`.

    Attributes:
        joinable: only caches that keep all tokens in all layers can be joined; others hold rows of the same length.
        cache: of the model.
        mask: of the cache's columns, shape (N, L); a row's tokens stand at its right end.
    """

    def __init__(self, model: Any, pad_id: int) -> None:
        self.model, self.pad_id, self.device = model, pad_id, model.device
        self.cache, self.mask = DynamicCache(config=model.config), torch.empty(0, 0, dtype=torch.long)
        self.joinable = keeps_all_tokens(self.cache)

    def add(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """Read prompts, which come sorted by length, in groups."""
        limit = PREFILL_TOKENS * (1 if self.device.type == "cpu" else 16) if self.joinable else math.inf
        groups: list[list[Sequence[int]]] = []
        for prompt in prompts:
            if groups and (len(groups[-1]) + 1) * max(map(len, [*groups[-1], prompt])) <= limit:
                groups[-1].append(prompt)
            else:
                groups.append([prompt])
        parts = [(self.cache, self.mask)] if len(self.mask) else []
        logits = []
        for group in groups:
            ids_NL, mask_NL = left_pad(group, self.pad_id, self.device)
            cache, positions_NL = DynamicCache(config=self.model.config), (mask_NL.cumsum(-1) - 1).clamp_(min=0)
            logits.append(self._run(ids_NL, mask_NL, positions_NL, cache))
            parts.append((cache, mask_NL))
        self.cache, self.mask = _join(parts)
        return torch.cat(logits)

    def select(self, order: Sequence[int]) -> None:
        """Keep rows."""
        index = torch.tensor(order, device=self.device)
        self.cache.batch_select_indices(index)
        self.mask = self.mask[index]

    def step(self, tokens_N: Tensor) -> Tensor:
        """Feed one token per row."""
        self.mask = functional.pad(self.mask, (0, 1), value=1)
        return self._run(tokens_N[:, None], self.mask, self.mask.sum(-1, keepdim=True) - 1, self.cache)

    def _run(self, ids: Tensor, mask: Tensor, positions: Tensor, cache: DynamicCache) -> Tensor:
        """Run the model and return the logits of the last position, shape (N, V)."""
        out = self.model(
            input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True,
            logits_to_keep=LAST.to(self.device),
        )  # fmt: skip
        logits: Tensor = out.logits[:, -1]
        return logits


def _join(parts: Sequence[tuple[DynamicCache, Tensor]]) -> tuple[DynamicCache, Tensor]:
    """Put caches and masks together, aligned at the right end and cut to the longest row."""
    if len(parts) == 1:
        return parts[0]
    longest = int(max(mask.sum(-1).max() for _, mask in parts))

    def fit(tensor: Tensor, dim: int) -> Tensor:
        more = longest - tensor.shape[dim]
        if more > 0:
            return functional.pad(tensor, (0, 0) * (tensor.dim() - 1 - dim) + (more, 0))
        return tensor.narrow(dim, -more, longest)

    (joined, _), *_ = parts
    for number, layer in enumerate(joined.layers):
        if not layer.is_initialized:  # it shares the states of another layer
            continue
        layers = [cache.layers[number] for cache, _ in parts]
        layer.keys = torch.cat([fit(each.keys, 2) for each in layers])
        layer.values = torch.cat([fit(each.values, 2) for each in layers])
    return joined, torch.cat([fit(mask, 1) for _, mask in parts])


def left_pad(rows: Sequence[Sequence[int]], pad_id: int, device: Any) -> tuple[Tensor, Tensor]:
    """Pad on the left: ids and attention mask, both of shape (rows, longest)."""
    longest = max(map(len, rows))
    ids = torch.tensor([[pad_id] * (longest - len(row)) + list(row) for row in rows], device=device)
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows], device=device)
    return ids, mask
