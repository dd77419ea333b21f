"""Guided generation with the arguments of transformers' `generate`, for any causal language model."""

from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import Tensor

from tightlip.guidance.decoder import Decoding, generate
from tightlip.table_rows import Guidance, Space


def guided_generate(
    model: Any,
    input_ids: Tensor,
    attention_mask: Tensor | None = None,
    *,
    negative_prompt_ids: Tensor | None = None,
    negative_prompt_attention_mask: Tensor | None = None,
    guidance_scale: float | Sequence[float] = 1.0,
    space: Space = "log",
    plausibility: float = 0.0,
    max_new_tokens: int = 20,
    do_sample: bool = False,
    temperature: float = 1.0,
    seed: int = 0,
    eos_token_id: int | Collection[int] | None = None,
    pad_token_id: int | None = None,
    suppress_tokens: Collection[int] = (),
    batch_size: int = 16,
) -> Tensor:
    """Continue prompts, guided away from negative ones: batched, both branches in one forward.

    Args:
        model: a causal language model in eval mode, with or without PEFT adapter.
        input_ids: prompts, shape (B, L), padded on either side.
        attention_mask: 1 on the prompts' tokens, shape (B, L); without, nothing is padding.
        negative_prompt_ids, negative_prompt_attention_mask: the same prompts under what to move away from, shape
            (B, N); without, generation is unguided.
        guidance_scale: γ, one for all or one per prompt; rows with γ = 1 have no negative branch.
        space, plausibility: see `tightlip.guidance.combine.combine`; `log` is what transformers does.
        max_new_tokens: limit per answer.
        do_sample, temperature, seed: greedy, or samples; every prompt draws from a generator of its own.
        eos_token_id, pad_token_id: as in `model.generation_config` if not given.
        suppress_tokens: token ids that are never chosen.
        batch_size: prompts decoded at a time; waiting ones take the places of finished ones.

    Returns:
        Prompts and answers as transformers returns them: shape (B, L + longest answer), padded on the right.

    Raises:
        ValueError: an empty prompt, unequal counts, or a negative prompt equal to its positive one.
    """
    config = model.generation_config
    ends = config.eos_token_id if eos_token_id is None else eos_token_id
    eos_ids = set() if ends is None else {ends} if isinstance(ends, int) else set(ends)
    pad = next(value for value in (pad_token_id, config.pad_token_id, *sorted(eos_ids), 0) if value is not None)
    prompts = _unpadded(input_ids, attention_mask)
    negatives = None
    if negative_prompt_ids is not None:
        negatives = _unpadded(negative_prompt_ids, negative_prompt_attention_mask)
    scales = guidance_scale if isinstance(guidance_scale, Sequence) else [guidance_scale] * len(prompts)
    answers = generate(
        model, prompts, negatives, guidance=[Guidance(scale, space, plausibility) for scale in scales], with_eos=True,
        decoding=Decoding(
            max_new_tokens, eos_ids, pad, batch_size, temperature if do_sample else 0.0, seed, suppress_tokens
        ),
    )  # fmt: skip
    longest = max(map(len, answers), default=0)
    padded = torch.tensor([ids + [pad] * (longest - len(ids)) for ids in answers], dtype=input_ids.dtype)
    return torch.cat([input_ids, padded.view(len(answers), longest).to(input_ids.device)], dim=1)


def _unpadded(ids_BL: Tensor, mask_BL: Tensor | None) -> list[list[int]]:
    if mask_BL is None:
        mask_BL = torch.ones_like(ids_BL)
    return [ids[mask.bool()].tolist() for ids, mask in zip(ids_BL, mask_BL, strict=True)]
