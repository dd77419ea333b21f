"""Weights rounded to int8, as a deployment may do: does the defence survive it?"""

from typing import Any

import torch
from torch import nn


@torch.no_grad()
def round_to_int8(model: Any) -> None:
    """Round the weights of all linear layers but the head, in place, to 255 steps per output feature.

    Symmetric, the largest weight of a row is 127 steps: weight-only quantisation, whose products run in the model's
    own type.
    """
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and name != "lm_head":
            exact_OI = module.weight.float()
            step_O1 = exact_OI.abs().amax(dim=1, keepdim=True).clamp_(min=torch.finfo(torch.float32).tiny) / 127
            module.weight.copy_((exact_OI / step_O1).round_() * step_O1)
