"""LoRA layers that run the frozen weight and the low-rank update as one operation.

PEFT's layer is a dozen operations forward and as many backward, half of them casts and scalings. Here each way is a
few matrix products that add into one another, in the dtype the layer computes in.

Shapes: T tokens, I input and O output features, R rank.
"""

from typing import Any, NamedTuple

import torch
from peft import PeftModel
from peft.tuners import lora
from torch import Tensor
from torch.nn import functional

from tightlip.models.kernel_inputs import compute_dtype


class _LoraLinear(torch.autograd.Function):
    """x Wᵀ + s (x Aᵀ) Bᵀ; W is frozen."""

    @staticmethod
    def forward(
        ctx: Any, x_TI: Tensor, weight_OI: Tensor, bias_O: Tensor | None, a_RI: Tensor, b_OR: Tensor, scaling: float
    ) -> Tensor:
        a, b = a_RI.to(x_TI.dtype), (b_OR * scaling).to(x_TI.dtype)
        low_TR = x_TI @ a.T
        ctx.save_for_backward(x_TI, weight_OI, a, b, low_TR)
        ctx.scaling, ctx.dtype = scaling, a_RI.dtype
        return functional.linear(x_TI, weight_OI, bias_O).addmm_(low_TR, b.T)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x_TI, weight_OI, a, b, low_TR = ctx.saved_tensors
        (grad_TO,) = grads
        grad_TR = grad_TO @ b
        grad_TI = (grad_TO @ weight_OI).addmm_(grad_TR, a) if ctx.needs_input_grad[0] else None
        return (
            grad_TI,
            None,
            None,
            (grad_TR.T @ x_TI).to(ctx.dtype),
            (grad_TO.T @ low_TR).to(ctx.dtype) * ctx.scaling,
            None,
        )


class InUse(NamedTuple):
    """A layer's adapter at work."""

    name: str
    rank: int
    scaling: float


class FusedLinear(lora.Linear):
    """PEFT's LoRA layer, faster while it trains; anything but plain LoRA on a frozen weight goes PEFT's way."""

    @property
    def in_use(self) -> InUse | None:
        """The one adapter that is added to the layer's output; None if that is none, several or merged."""
        names = self.active_adapters
        if self.disable_adapters or self.merged or len(names) != 1 or names[0] not in self.lora_A:
            return None
        return InUse(names[0], self.r[names[0]], self.scaling[names[0]])

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Return the layer's output, shape (…, O)."""
        base, adapter = self.base_layer, self.in_use
        if adapter is None or args or kwargs:
            return super().forward(x, *args, **kwargs)
        with compute_dtype(x) as dtype:
            bias = None if base.bias is None else base.bias.to(dtype)
            out: Tensor = _LoraLinear.apply(
                x.reshape(-1, x.shape[-1]).to(dtype), base.weight.to(dtype), bias,
                self.lora_A[adapter.name].weight, self.lora_B[adapter.name].weight, adapter.scaling,
            )  # fmt: skip
        return out.view(*x.shape[:-1], -1)


def fuse_layers(model: PeftModel) -> PeftModel:
    """Make the plain LoRA layers of a model `FusedLinear`; with dropout, PEFT's own layers run."""
    dropout = any(config.lora_dropout for config in model.peft_config.values())
    for module in model.modules():
        if type(module) is lora.Linear and type(module.base_layer) is torch.nn.Linear and not dropout:
            module.__class__ = FusedLinear
    return model
