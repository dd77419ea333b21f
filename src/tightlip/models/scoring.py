"""Log-probabilities of given tokens, without ever holding the logits of all of them.

The head is the widest layer by far: logits in float32, their softmax and their gradient are three tables of S · V
numbers. But the gradient of a token's log-probability is known as soon as its logits are: W[target] − softmax(hWᵀ) W.
So tokens are scored forward and backward chunk by chunk, while their logits are still in the caches.

Shapes: S scored tokens, C tokens of a chunk, D hidden size, V vocabulary.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from tightlip.models.kernel_inputs import compute_dtype

CHUNK = 128
"""Tokens scored at a time; 128 · 49,152 logits in float32 are 25 MB."""

SCALED: dict[str, Callable[[Tensor, float], Tensor]] = {
    "logit_scale": lambda logits, by: logits * by,
    "logits_scaling": lambda logits, by: logits / by,
    "final_logit_softcapping": lambda logits, by: torch.tanh(logits / by) * by,
}
"""What some families do to the logits after the head, by the name of the option in their config."""


class _TokenLogps(torch.autograd.Function):
    """log softmax(h Wᵀ)[target]; W is frozen."""

    @staticmethod
    def forward(ctx: Any, hidden_SD: Tensor, head_VD: Tensor, targets_S: Tensor) -> Tensor:
        logps_S = torch.empty(len(targets_S), device=hidden_SD.device)
        gradient_SD = torch.empty_like(hidden_SD) if ctx.needs_input_grad[0] else None
        # Two tables, used again by every chunk: fresh ones would cost as much as what is done in them.
        logits = hidden_SD.new_empty(min(CHUNK, len(targets_S)), len(head_VD))
        exact = torch.empty_like(logits, dtype=torch.float32)
        for start in range(0, len(targets_S), CHUNK):
            targets_C1 = targets_S[start : start + CHUNK, None]
            chunk = slice(start, start + len(targets_C1))
            logits_CV, exact_CV = logits[: len(targets_C1)], exact[: len(targets_C1)]
            torch.mm(hidden_SD[chunk], head_VD.T, out=logits_CV)
            largest_C1 = exact_CV.copy_(logits_CV).amax(-1, keepdim=True)
            at_target_C1 = exact_CV.sub_(largest_C1).gather(-1, targets_C1)
            total_C1 = exact_CV.exp_().sum(-1, keepdim=True)
            logps_S[chunk] = (at_target_C1 - total_C1.log()).squeeze(-1)
            if gradient_SD is not None:
                mean_CD = (logits_CV.copy_(exact_CV) @ head_VD) / total_C1.to(head_VD.dtype)
                gradient_SD[chunk] = head_VD[targets_C1.squeeze(-1)] - mean_CD
        ctx.save_for_backward(gradient_SD)
        return logps_S

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (gradient_SD,) = ctx.saved_tensors
        return gradient_SD * grads[0][:, None].to(gradient_SD.dtype), None, None


def token_logps(model: Any, hidden_SD: Tensor, targets_S: Tensor) -> Tensor:
    """Return the log-probability of each target after its hidden state, float32, shape (S,).

    Args:
        model: the causal language model that the states are of, with or without PEFT adapter.
        hidden_SD: last hidden states, shape (S, D); under autocast scored in its type.
        targets_S: token ids, shape (S,).
    """
    head = unwrap(model).get_output_embeddings()
    plain = type(head) is nn.Linear and head.bias is None
    learns = torch.is_grad_enabled() and any(weight.requires_grad for weight in head.parameters())
    if not plain or learns or any(getattr(model.config, name, None) for name in SCALED):
        logps_SV = head_logits(model, hidden_SD).float().log_softmax(-1)
        return logps_SV.gather(-1, targets_S[:, None]).squeeze(-1)
    with compute_dtype(hidden_SD) as dtype:
        logps_S: Tensor = _TokenLogps.apply(hidden_SD.to(dtype), head.weight.to(dtype), targets_S)
    return logps_S


def last_hidden(model: Any, **inputs: Any) -> Tensor:
    """Run the decoder without the head and return its last hidden states, shape (B, L, D)."""
    hidden: Tensor = unwrap(model).get_decoder()(**inputs, use_cache="past_key_values" in inputs).last_hidden_state
    return hidden


def head_logits(model: Any, hidden: Tensor) -> Tensor:
    """Return the model's logits for last hidden states, shape (…, V)."""
    logits: Tensor = unwrap(model).get_output_embeddings()(hidden)
    for name, scaled in SCALED.items():
        by = getattr(model.config, name, None)
        if by:
            logits = scaled(logits, by)
    return logits


def unwrap(model: Any) -> Any:
    """Return the causal language model below a PEFT adapter, whose layers stay in it."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model
