import copy
from typing import Any

import torch

from tightlip.models.quantise import round_to_int8


def test_weights_are_rounded_to_127_steps_per_output_and_the_head_is_not(tiny_model: Any) -> None:
    rounded = copy.deepcopy(tiny_model)
    round_to_int8(rounded)
    before, after = tiny_model.model.layers[0].mlp.up_proj.weight, rounded.model.layers[0].mlp.up_proj.weight
    for exact, row in zip(before.tolist(), after.tolist(), strict=True):
        step = max(map(abs, exact)) / 127
        assert all(abs(a / step - round(a / step)) < 1e-3 for a in row)
        assert all(abs(a - b) <= step / 2 * 1.001 for a, b in zip(exact, row, strict=True))
    assert not torch.equal(before, after)
    assert torch.equal(tiny_model.lm_head.weight, rounded.lm_head.weight)
