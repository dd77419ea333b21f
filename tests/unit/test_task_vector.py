import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file
from torch import Tensor

from tightlip.models.task_vector import Activation, negate, subtract

ROOT = Path(__file__).parents[2]
BASE = {"a": torch.tensor([1.0, 2.0, 3.0]), "b": torch.tensor([[0.5]]), "c": torch.tensor([4.0])}
TUNED = {"a": torch.tensor([2.0, 0.0, 3.0]), "b": torch.tensor([[1.5]]), "c": torch.tensor([0.0])}


def checkpoint(path: Path, tensors: dict[str, Tensor], shards: int = 1) -> Path:
    """A checkpoint as transformers lays it out: one file, or several and an index."""
    path.mkdir(parents=True)
    (path / "config.json").write_text(f'{{"of": "{path.name}"}}')
    if shards == 1:
        save_file(tensors, path / "model.safetensors")
        return path
    where = {name: f"model-{i % shards + 1:05}-of-{shards:05}.safetensors" for i, name in enumerate(sorted(tensors))}
    for shard in set(where.values()):
        save_file({name: tensors[name] for name in tensors if where[name] == shard}, path / shard)
    index = {"metadata": {"total_size": 0}, "weight_map": where}
    (path / "model.safetensors.index.json").write_text(json.dumps(index))
    return path


def loaded(path: Path) -> dict[str, Tensor]:
    return {name: tensor for file in sorted(path.glob("*.safetensors")) for name, tensor in load_file(file).items()}


def run(tmp_path: Path, base: Path, tuned: Path, scale: float = 0.5, activation: Activation = "identity") -> Path:
    out = tmp_path / "out"
    out.mkdir()
    assert subtract(base, tuned, out, scale, activation) == 3
    return out


# --- The arithmetic ------------------------------------------------------------------------------------------------


def test_identity_subtracts_the_whole_change() -> None:
    # a: 1 − 0.5 (2 − 1), 2 − 0.5 (0 − 2), 3 − 0.
    assert negate(BASE["a"], TUNED["a"], 0.5, "identity").tolist() == [0.5, 3.0, 3.0]


def test_relu_subtracts_positive_changes_alone() -> None:
    assert negate(BASE["a"], TUNED["a"], 0.5, "relu").tolist() == [0.5, 2.0, 3.0]


@pytest.mark.parametrize("activation", ["identity", "relu"])
def test_scale_0_returns_the_base(activation: Activation) -> None:
    assert torch.equal(negate(BASE["a"], TUNED["a"], 0, activation), BASE["a"])


def test_the_inputs_stay_as_they_are() -> None:
    base, tuned = BASE["a"].clone(), TUNED["a"].clone()
    negate(base, tuned, 0.5, "relu")
    assert torch.equal(base, BASE["a"])
    assert torch.equal(tuned, TUNED["a"])


def test_bfloat16_is_computed_in_float32_and_rounded_once() -> None:
    base, tuned = torch.tensor([1.0]).bfloat16(), torch.tensor([1.0 + 2**-7]).bfloat16()
    # 1 − 0.6 · 2⁻⁷ = 0.9953125 lies between the bfloat16 values 0.99609375 and 0.9921875, nearer to the first.
    result = negate(base, tuned, 0.6, "identity")
    assert result.dtype == torch.bfloat16
    assert result.item() == 0.99609375


def test_the_type_of_the_base_is_kept() -> None:
    assert negate(BASE["a"].bfloat16(), TUNED["a"], 0.5, "identity").dtype == torch.bfloat16
    assert negate(BASE["a"], TUNED["a"].bfloat16(), 0.5, "identity").dtype == torch.float32


def test_different_shapes_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"shape \[3\] in the base but \[1, 1\] in the tuned model"):
        negate(BASE["a"], TUNED["b"], 0.5, "identity")


# --- Checkpoints ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("of_base", "of_tuned"), [(1, 1), (2, 1), (1, 2), (2, 3)])
def test_every_tensor_is_subtracted_however_the_checkpoints_are_sharded(
    tmp_path: Path, of_base: int, of_tuned: int
) -> None:
    base, tuned = checkpoint(tmp_path / "base", BASE, of_base), checkpoint(tmp_path / "tuned", TUNED, of_tuned)
    out = run(tmp_path, base, tuned)
    assert {name: tensor.tolist() for name, tensor in loaded(out).items()} == {
        "a": [0.5, 3.0, 3.0],
        "b": [[0.0]],  # 0.5 − 0.5 (1.5 − 0.5)
        "c": [6.0],  # 4 − 0.5 (0 − 4)
    }
    assert {path.name for path in out.iterdir()} == {path.name for path in base.iterdir()}
    assert (out / "config.json").read_text() == (base / "config.json").read_text()


def test_the_result_loads_as_a_model(tiny_model: Any, tiny_model_dir: Path, tmp_path: Path) -> None:
    from tightlip.models.loading import load_model
    from tightlip.models.tokenizer import load_tokenizer

    tuned = tmp_path / "tuned"
    shutil.copytree(tiny_model_dir, tuned)
    save_file({name: tensor + 1 for name, tensor in loaded(tuned).items()}, tuned / "model.safetensors")
    out = tmp_path / "out"
    out.mkdir()
    count = subtract(tiny_model_dir, tuned, out, 0.5, "identity")
    model = load_model(out)
    assert count == len(loaded(tiny_model_dir))
    for name, tensor in model.named_parameters():
        torch.testing.assert_close(tensor, tiny_model.get_parameter(name) - 0.5, rtol=0, atol=1e-6)
    load_tokenizer(out)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"b": None}, "the tuned model misses tensor b"),
        ({"d": torch.zeros(1)}, "the tuned model has the extra tensor d"),
        ({"c": torch.zeros(2)}, r"tensor c: shape \[1\] in the base but \[2\] in the tuned model"),
    ],
    ids=["missing", "extra", "shape"],
)
@pytest.mark.parametrize("shards", [1, 2])
def test_tensors_that_do_not_match_are_errors_that_name_them(
    tmp_path: Path, change: dict[str, Tensor | None], problem: str, shards: int
) -> None:
    tensors = {name: tensor for name, tensor in (TUNED | change).items() if tensor is not None}
    base, tuned = checkpoint(tmp_path / "base", BASE), checkpoint(tmp_path / "tuned", tensors, shards)
    with pytest.raises(ValueError, match=problem) as caught:
        run(tmp_path, base, tuned)
    assert str(tuned) in str(caught.value)
    assert "one architecture" in str(caught.value)


def test_a_type_without_arithmetic_is_an_error_that_names_the_tensor(tmp_path: Path) -> None:
    base, tuned = checkpoint(tmp_path / "base", BASE), checkpoint(tmp_path / "tuned", TUNED)
    header = json.dumps({"a": {"dtype": "F6_E2M3", "shape": [4], "data_offsets": [0, 3]}}).encode()  # 4 · 6 bits
    (tuned / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(3))
    with pytest.raises(ValueError, match="tensor a: no arithmetic with type F6_E2M3; store the model in") as caught:
        run(tmp_path, base, tuned)
    assert str(tuned / "model.safetensors") in str(caught.value)


def test_a_directory_without_weights_is_an_error(tmp_path: Path) -> None:
    base = checkpoint(tmp_path / "base", BASE)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"empty: no model here \(no model\.safetensors"):
        run(tmp_path, base, tmp_path / "empty")


# --- The stage -----------------------------------------------------------------------------------------------------


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The stage's command, in a project of its own."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["stages/subtract_task_vector.py"])
    spec = importlib.util.spec_from_file_location("stage", ROOT / "stages/subtract_task_vector.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


def test_the_stage_writes_the_model(stage: Any, tmp_path: Path) -> None:
    checkpoint(tmp_path / "models/base", BASE)
    checkpoint(tmp_path / "models/ch", TUNED)
    result = CliRunner().invoke(stage, [], catch_exceptions=False)
    assert result.exit_code == 0
    assert loaded(tmp_path / "models/sub").keys() == BASE.keys()
    record = json.loads((tmp_path / "data/records/subtract_task_vector.json").read_text())
    assert record["rows"] == 3


def test_a_failing_stage_leaves_nothing_behind(stage: Any, tmp_path: Path) -> None:
    checkpoint(tmp_path / "models/base", BASE, shards=3)  # two shards are written before the third fails
    checkpoint(tmp_path / "models/ch", TUNED | {"c": torch.zeros(2)})
    result = CliRunner().invoke(stage, [])
    assert result.exit_code == 1
    assert "tensor c" in result.output
    assert sorted(path.name for path in (tmp_path / "models").iterdir()) == ["base", "ch"]
