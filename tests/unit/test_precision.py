"""Where bfloat16 is emulated, models compute in float32."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tightlip.cpu import precision
from tightlip.models.loading import load_model


@pytest.mark.parametrize(("native", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_a_model_in_bfloat16_computes_in_the_type_that_the_processor_has(
    tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch, native: bool, dtype: torch.dtype
) -> None:
    monkeypatch.setattr(precision, "has_bfloat16", lambda: native)
    model = load_model(tiny_model_dir, "bfloat16")
    assert {weight.dtype for weight in model.parameters()} == {dtype}
    assert precision.computes_bfloat16(model) == native


def test_a_model_too_large_to_widen_stays_as_it_is(tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "has_bfloat16", lambda: False)
    monkeypatch.setattr(precision, "LARGEST", 1)
    model = load_model(tiny_model_dir, "bfloat16")
    assert model.dtype == torch.bfloat16
    assert precision.computes_bfloat16(model)


def test_widened_weights_are_the_stored_ones(tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def weights(native: bool) -> dict[str, Any]:
        monkeypatch.setattr(precision, "has_bfloat16", lambda: native)
        return {name: weight.float() for name, weight in load_model(tiny_model_dir, "bfloat16").named_parameters()}

    stored, widened = weights(True), weights(False)
    assert all(torch.equal(stored[name], widened[name]) for name in stored)
