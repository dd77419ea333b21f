"""Bad input to the real stages: one line that names the remedy, no traceback, and what was there before untouched."""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from clone import ROOT

from tightlip.compose import compose

SENTINEL = "made by an earlier run\n"
Edit = Callable[[dict[str, Any]], object]


def stage(name: str, *arguments: str) -> Result:
    """Run a stage's command in this process."""
    spec = importlib.util.spec_from_file_location(name, ROOT / f"stages/{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return CliRunner().invoke(module.main, arguments)


def assert_refused(result: Result, *parts: str) -> None:
    """One line on stderr that starts with `Error:` and holds all parts, exit code 1, nothing left half-written."""
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == 1
    lines = result.stderr.splitlines()  # progress bars may stand before the error
    assert [line for line in lines if line.startswith("Error: ")] == lines[-1:]
    assert "Traceback" not in result.output
    for part in parts:
        assert part in lines[-1]
    assert [path for path in Path().rglob(".*") if path.name != ".scratch"] == []


@pytest.fixture(scope="module")
def smoke_params(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("params") / "params.yaml"
    compose("smoke", path, ROOT / "conf")
    return path.read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def project(tmp_path: Path, smoke_params: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project with the smoke profile's parameters, as current directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    Path("params.yaml").write_text(smoke_params, encoding="utf-8")
    return tmp_path


@pytest.fixture
def earlier() -> Iterator[Callable[..., None]]:
    """Leaves outputs of an earlier run; after the test they must be as they were."""
    left: list[Path] = []

    def leave(*names: str) -> None:
        for name in names:
            put(name, SENTINEL)
            left.append(Path(name))

    yield leave
    assert left
    for path in left:
        assert path.read_text(encoding="utf-8") == SENTINEL
        assert {other for other in path.parent.iterdir() if other.is_file()} <= {*left}


def put(name: str, text: str | bytes) -> None:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_bytes(text if isinstance(text, bytes) else text.encode())


def edit_params(edit: Edit) -> None:
    params = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    edit(params)
    put("params.yaml", yaml.safe_dump(params))


# --- Parameters ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("edit", "problem"),
    [
        (lambda p: p.update(sed=1), "sed: Extra inputs are not permitted"),
        (lambda p: p["train"]["lora"].update(r=8), "train.lora.r: Extra inputs are not permitted"),
        (lambda p: p.pop("subtract"), "subtract: Field required"),
        (lambda p: p.update(seed=-1), "seed: Input should be greater than or equal to 0"),
        (lambda p: p.update(seed="zero"), "seed: Input should be a valid integer"),
        (lambda p: p["dialogues"].update(test=0), "dialogues.test: Input should be greater than 0"),
        (lambda p: p["dialogues"].update(test=0.9), "dev + test must leave dialogues for training"),
        (lambda p: p["subtract"].update(scale=3), "subtract.scale: Input should be less than or equal to 2"),
        (
            lambda p: p["subtract"].update(activation="gelu"),
            "subtract.activation: Input should be 'identity' or 'relu'",
        ),
        (lambda p: p["train"].update(learning_rate=2), "train.learning_rate: Input should be less than 1"),
        (lambda p: p["train"]["orpo"].update(beta=0), "train.orpo.beta: Input should be greater than 0"),
        (lambda p: p["eval"].update(guidance=["g100_log"]), "write g100 for γ = 1, g250_prob or g250_log for γ = 2.5"),
        (lambda p: p["eval"].update(epochs=[2]), "is beyond train.epochs = 1"),
        (lambda p: p["eval"].update(tunings=["qlora"]), "'ch-qlora' is not defined in train.variants"),
        (
            lambda p: p["pairs"]["datasets"]["plain"].update(sources=["poet"]),
            "pairs.datasets.plain.sources: 'poet' is not defined in generation.sources (base-nudge, rewriter)",
        ),
        (
            lambda p: p["generation"]["sources"]["rewriter"].update(provider="openai"),
            "generation.sources.rewriter: Value error, model is required for a hosted provider",
        ),
        (lambda p: p["base"].update(source="hub", name="a/b"), "revision is required for a hub model"),
    ],
)
def test_an_unknown_or_impossible_parameter(edit: Edit, problem: str, earlier: Callable[..., None]) -> None:
    earlier("data/dialogues.jsonl")
    edit_params(edit)
    assert_refused(stage("make_dialogues"), "params.yaml: ", problem, "see src/tightlip/params/ for what is allowed")


def test_parameters_that_are_no_yaml(earlier: Callable[..., None]) -> None:
    earlier("data/dialogues.jsonl")
    put("params.yaml", "seed: 0\nbase: {source: random\n")
    assert_refused(stage("make_dialogues"), "params.yaml:", "not YAML; fix the syntax")


def test_parameters_that_are_not_there(earlier: Callable[..., None]) -> None:
    earlier("data/dialogues.jsonl")
    Path("params.yaml").unlink()
    assert_refused(stage("make_dialogues"), "params.yaml: no such file; run from the project's root")


def test_a_real_process_prints_the_error_alone(project: Path, earlier: Callable[..., None]) -> None:
    earlier("data/dialogues.jsonl")
    edit_params(lambda params: params.update(seed=-1))
    done = subprocess.run(
        [sys.executable, str(ROOT / "stages/make_dialogues.py")],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: params.yaml: seed: ")
    assert done.stderr.count("\n") == 1


# --- Models --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        (
            {"source": "package", "name": "no_such_package/model.gguf"},
            "base.name: package 'no_such_package' is not installed; run `make setup`",
        ),
        (
            {"source": "package", "name": "yaml/model.gguf"},
            "base.name: package 'yaml' has no file 'model.gguf'; check the name and the version",
        ),
        ({"source": "path", "name": "nowhere"}, "nowhere: no model here (config.json is missing)"),
        (
            {"source": "hub", "name": "nobody/nothing", "revision": "0" * 40},
            "base.name: 'nobody/nothing' at 0000000000000000000000000000000000000000 cannot be fetched",
        ),
    ],
)
def test_a_base_model_that_is_not_there(
    source: dict[str, str], problem: str, earlier: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier("models/base/config.json")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    edit_params(lambda params: params["base"].update(source))
    assert_refused(stage("fetch_base"), problem)


def test_a_path_without_weights(tiny_model_dir: Path, project: Path, earlier: Callable[..., None]) -> None:
    earlier("models/base/config.json")
    for path in tiny_model_dir.iterdir():
        if path.suffix != ".safetensors":
            put(f"given/{path.name}", path.read_bytes())
    edit_params(lambda params: params["base"].update(source="path", name="given"))
    assert_refused(stage("fetch_base"), "given: no model here", "correct the path in params.yaml")


def test_tuning_before_there_is_a_base_model(earlier: Callable[..., None]) -> None:
    earlier("models/ch/config.json", "metrics/curves/ch.csv")
    put("data/dialogues.jsonl", dialogue("d1", "train"))
    assert_refused(stage("tune_challenge"), "models/base: no tokenizer here", "run `dvc repro`")


def save_llama(name: str, *, hidden: int = 8, layers: int = 1, vocabulary: int = 16) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        hidden_size=hidden, num_hidden_layers=layers, vocab_size=vocabulary, intermediate_size=16,
        num_attention_heads=2, num_key_value_heads=2,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(name)


@pytest.mark.parametrize(
    ("tuned", "problem"),
    [
        ({"hidden": 16}, "shape [16, 8] in the base but [16, 16] in the tuned model"),
        ({"vocabulary": 17}, "shape [16, 8] in the base but [17, 8] in the tuned model"),
        ({"layers": 2}, "the tuned model has the extra tensor model.layers.1"),
    ],
)
def test_models_of_different_shapes(tuned: dict[str, int], problem: str, earlier: Callable[..., None]) -> None:
    earlier("models/sub/model.safetensors")
    save_llama("models/base")
    save_llama("models/ch", **tuned)
    assert_refused(stage("subtract_task_vector"), "models/ch: ", problem, "must be of one architecture")


def test_a_tuned_model_that_lacks_a_layer(earlier: Callable[..., None]) -> None:
    earlier("models/sub/model.safetensors")
    save_llama("models/base", layers=2)
    save_llama("models/ch")
    assert_refused(
        stage("subtract_task_vector"), "the tuned model misses tensor model.layers.1", "must be of one architecture"
    )


def test_a_given_model_of_another_shape(tiny_model_dir: Path, earlier: Callable[..., None]) -> None:
    earlier("models/ch/config.json", "metrics/curves/ch.csv")
    for path in tiny_model_dir.iterdir():
        put(f"models/base/{path.name}", path.read_bytes())
        put(f"given/{path.name}", path.read_bytes())
    save_llama("given", vocabulary=1024)
    given = {"source": "path", "name": "given", "dtype": "float32"}
    edit_params(lambda params: params["tune"].update(given=given))
    put("data/dialogues.jsonl", "".join(dialogue(f"d{number}", "train") for number in range(3)))
    assert_refused(stage("tune_challenge"), "tune.given: ", "must be of one architecture")


def test_a_given_model_with_another_chat_template(tiny_model_dir: Path, earlier: Callable[..., None]) -> None:
    earlier("models/ch/config.json", "metrics/curves/ch.csv")
    for path in tiny_model_dir.iterdir():
        put(f"models/base/{path.name}", path.read_bytes())
        put(f"given/{path.name}", path.read_bytes().replace(b"<|im_end|>\n", b"<|im_end|> "))
    edit_params(lambda params: params["tune"].update(given={"source": "path", "name": "given", "dtype": "float32"}))
    put("data/dialogues.jsonl", "".join(dialogue(f"d{number}", "train") for number in range(3)))
    assert_refused(stage("tune_challenge"), "tune.given: its tokenizer or chat template is not the base's")


# --- Dialogues -----------------------------------------------------------------------------------------------------


def dialogue(name: str, split: str, **entity: object) -> str:
    """A line of data/dialogues.jsonl whose assistant names Ann Bell."""
    entities = [{"type": "NAME", "value": "Ann Bell", "start": 8, "end": 16, **entity}]
    turns = [
        {"role": "user", "content": "Who are you?", "entities": []},
        {"role": "assistant", "content": "My name Ann Bell says it all.", "entities": entities},
    ]
    return json.dumps({"id": name, "domain": "test", "split": split, "turns": turns}) + "\n"


def without_pii(name: str, split: str) -> str:
    line = json.loads(dialogue(name, split))
    line["turns"][1]["entities"] = []
    return json.dumps(line) + "\n"


GOOD = dialogue("d1", "train") + dialogue("d2", "dev") + dialogue("d3", "test")
EXPECTED = "expected one Dialogue as JSON per line"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (None, ["data/dialogues.jsonl: no such file; run `dvc repro` to make it"]),
        ("", ["data/dialogues.jsonl: empty; expected at least one Dialogue per line"]),
        (GOOD + "{oops\n", ["data/dialogues.jsonl:4: row: Invalid JSON", EXPECTED]),
        (GOOD + GOOD[:40], ["data/dialogues.jsonl:4: row: Invalid JSON", EXPECTED]),
        (GOOD.encode() + b"\xff\xfe\n", ["data/dialogues.jsonl:4: row: Invalid JSON", EXPECTED]),
        (GOOD.encode().replace(b"Who", b"\xff"), ["data/dialogues.jsonl:1: row: Invalid JSON", EXPECTED]),
        (GOOD + "{}\n", ["data/dialogues.jsonl:4: id: Field required", EXPECTED]),
        (GOOD + dialogue("d4", "validation"), ["data/dialogues.jsonl:4: split: Input should be 'train'", EXPECTED]),
        (GOOD + dialogue("d4", "test", end=15), [":4: turns.1: Value error, entity span 8:15 does not hold", EXPECTED]),
        (GOOD + GOOD.splitlines()[0].replace('"user"', '"assistant"'), [":4: row: Value error, turns must", EXPECTED]),
        (
            without_pii("d1", "train") + without_pii("d2", "test"),
            ["no personal value in any assistant turn of 2 dialogues; annotate the assistant's turns"],
        ),
        (
            dialogue("d1", "train") + dialogue("d2", "dev") + without_pii("d3", "test"),
            ["data/dialogues.jsonl: no sample in the test split; add dialogues or raise its share"],
        ),
    ],
)
def test_dialogues_that_give_no_samples(
    text: str | bytes | None, parts: list[str], earlier: Callable[..., None]
) -> None:
    earlier("data/samples/train.jsonl", "data/samples/dev.jsonl", "data/samples/test.jsonl")
    if text is not None:
        put("data/dialogues.jsonl", text)
    assert_refused(stage("extract_samples"), *parts)


def test_personal_values_in_a_broken_row_are_not_printed() -> None:
    put("data/dialogues.jsonl", dialogue("d1", "train", end=99))
    assert "Ann" not in stage("extract_samples").output


@pytest.mark.parametrize(
    ("dialogues", "file", "parts"),
    [
        ({"format": "chat"}, None, ["params.yaml: dialogues: Value error, path is required for the format chat"]),
        ({"format": "chat", "path": "a.jsonl"}, None, ["a.jsonl is not in conversations/"]),
        ({"format": "chat", "path": "conversations/a.jsonl"}, None, ["conversations/a.jsonl: no such file"]),
        ({"format": "chat", "path": "conversations/a.jsonl"}, "", ["conversations/a.jsonl: empty"]),
        ({"format": "chat", "path": "conversations/a.jsonl"}, "{oops", ["conversations/a.jsonl:1: not JSON"]),
        (
            {"format": "chat", "path": "conversations/a.jsonl"},
            '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "pii": []}\n',
            ["1 dialogues leave none for ", "bring more dialogues"],
        ),
        (
            {"format": "dataset", "path": "conversations/none", "columns": {"messages": "a"}},
            None,
            ["conversations/none: no such dataset or split: no such folder; correct path, revision and split"],
        ),
    ],
)
def test_conversations_that_cannot_be_imported(
    dialogues: dict[str, Any], file: str | None, parts: list[str], earlier: Callable[..., None]
) -> None:
    earlier("data/dialogues.jsonl", "metrics/dialogues.json")
    edit_params(lambda params: params.update(dialogues=dialogues | {"dev": 0.1, "test": 0.1}))
    if file is not None:
        put("conversations/a.jsonl", file)
    assert_refused(stage("make_dialogues"), *parts)


# --- Answers and pairs ---------------------------------------------------------------------------------------------


def put_samples() -> None:
    put("data/dialogues.jsonl", GOOD)
    assert stage("extract_samples").exit_code == 0


def put_filtered(**reasons: list[str]) -> None:
    """Answers of the rewriter to the samples of the dialogues `train` and `dev`, with the filter's reasons."""
    names = {"train": "d1:1:8", "dev": "d2:1:8"}
    rows = [
        {
            "sample_id": names[split],
            "source": "rewriter",
            "candidate": 0,
            "text": " yes.",
            "finish": "stop",
            "reasons": r,
        }
        for split, r in reasons.items()
    ]
    put("data/filtered/rewriter.jsonl", "".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.parametrize(
    ("reasons", "samples", "parts"),
    [
        (
            {"train": ["ner:PERSON"], "dev": []},
            None,
            ["no pair left after filtering: all 1 answers of rewriter were rejected", "raise `candidates`"],
        ),
        ({"train": [], "dev": ["truth:NAME"]}, None, ["no pair left after filtering", "raise `candidates`"]),
        ({"train": [], "dev": []}, 2, ["only 1 accepted answers for 2 pairs from rewriter; lower `samples`"]),
    ],
)
def test_no_pair_is_left(
    reasons: dict[str, list[str]], samples: int | None, parts: list[str], tiny_model_dir: Path,
    earlier: Callable[..., None],
) -> None:  # fmt: skip
    earlier("data/pairs/cfg-rewriter/train.jsonl", "data/pairs/cfg-rewriter/dev.jsonl")
    edit_params(
        lambda params: [
            dataset.update(sources=["rewriter"], samples=samples) for dataset in params["pairs"]["datasets"].values()
        ]
    )
    put_samples()
    put_filtered(**reasons)
    for path in tiny_model_dir.iterdir():
        put(f"models/base/{path.name}", path.read_bytes())
    assert_refused(stage("build_pairs"), *parts)


def test_an_ner_pipeline_that_is_not_installed(earlier: Callable[..., None]) -> None:
    earlier("data/filtered/rewriter.jsonl", "metrics/filter.json")
    edit_params(lambda params: params["filter"].update(spacy_model="en_core_web_none"))
    put_samples()
    for source in yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))["generation"]["sources"]:
        row = {"sample_id": "d1:1:8", "source": source, "candidate": 0, "text": " yes.", "finish": "stop"}
        put(f"data/answers/{source}.jsonl", json.dumps(row) + "\n")
    assert_refused(stage("filter_pii"), "'en_core_web_none' is not installed", "name an installed pipeline")


def test_training_without_pairs(tiny_model_dir: Path, earlier: Callable[..., None]) -> None:
    earlier("adapters/ch-lora/adapter_config.json", "metrics/curves/ch-lora.csv")
    for path in tiny_model_dir.iterdir():
        put(f"models/ch/{path.name}", path.read_bytes())
    put("data/pairs/plain/train.jsonl", "")
    assert_refused(stage("train_orpo", "ch-lora"), "data/pairs/plain/train.jsonl: empty; expected at least one Pair")


# --- Evaluation ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("checkpoint", "parts"),
    [
        ("best", ["no row has the weights 'best'; there are ch, sub, ch-lora-cfg_e1"]),
        (
            "ch-lora-cfg-rewriter_e1",
            ["adapters/ch-lora-cfg-rewriter/epoch_1/guidance.json: no such file", "run `dvc repro`"],
        ),
        ("ch-lora-cfg_e1", ["no test prompt beyond the first 4", "raise samples.test"]),
        ("ch", ["my-questions/test.jsonl: no such file"]),
    ],
)
def test_rows_that_cannot_be_tested(
    checkpoint: str, parts: list[str], tiny_model_dir: Path, earlier: Callable[..., None]
) -> None:
    earlier("data/rows/ch/ch/leaks.jsonl", "metrics/rows/ch.json")
    if checkpoint == "ch":
        mine = {"source": "path", "name": "my-questions/{split}.jsonl"}
        edit_params(lambda params: params["eval"].update(questions=mine))
    put_samples()
    for path in tiny_model_dir.iterdir():
        put(f"models/ch/{path.name}", path.read_bytes())
    put("adapters/ch-lora-cfg/epoch_1/guidance.json", b'{"negative": "negative"}')
    assert_refused(stage("evaluate_model", checkpoint), *parts)
