"""The whole pipeline by `dvc repro`, on a random model: what it leaves behind, what it runs again and what not."""

import hashlib
import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from clone import Project
from soak import soak

from tightlip.files import read_jsonl
from tightlip.models.adapter_metadata import trained_negative
from tightlip.params import Params, load_params
from tightlip.prompts import NEGATIVE
from tightlip.records import AttackOutcome, Dialogue, FilteredAnswer, LeakOutcome, Sample, UtilityOutcome
from tightlip.table_rows import parse_row

KEYS = {
    "n_prompts", "pii_count", "leak_count", "leak_rate", "trigger_leak_count", "n_questions", "utility_pct",
    "utility_deployed_pct",
}  # fmt: skip
ROOT = Path(__file__).parents[2]
UP_TO_DATE = "Data and pipelines are up to date."


@pytest.fixture
def params(smoke: Project) -> Params:
    return load_params(smoke.path / "params.yaml")


def summary(project: Project) -> dict[str, dict[str, Any]]:
    read: dict[str, dict[str, Any]] = json.loads((project.path / "metrics/summary.json").read_text(encoding="utf-8"))
    return read


def hashes(project: Project, *folders: str) -> dict[str, str]:
    """Hash every file but the records of time and memory."""
    paths = [path for folder in folders for path in (project.path / folder).rglob("*") if path.is_file()]
    return {
        path.relative_to(project.path).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
        if "records" not in path.parts
    }


@contextmanager
def changed(path: Path, text: str) -> Iterator[None]:
    before = path.read_bytes()
    path.write_text(text, encoding="utf-8")
    try:
        yield
    finally:
        path.write_bytes(before)


# --- What it leaves behind -----------------------------------------------------------------------------------------


def test_every_file_of_the_layout_is_there(smoke: Project, params: Params) -> None:
    rows = params.eval.rows()
    expected = [
        *(f"models/{name}/{file}" for name in ("base", "ch", "sub") for file in ("config.json", "model.safetensors")),
        "data/dialogues.jsonl",
        "data/benign.jsonl",
        *(f"data/samples/{split}.jsonl" for split in ("train", "dev", "test")),
        *(f"data/{kind}/{name}.jsonl" for kind in ("answers", "filtered") for name in params.generation.sources),
        *(f"data/pairs/{name}/{split}.jsonl" for name in params.pairs.datasets for split in ("train", "dev")),
        *(f"adapters/{name}/epoch_1/adapter_model.safetensors" for name in params.train.variants),
        *(f"{row.outcomes}/{test}.jsonl" for row in rows for test in ("leaks", "utility")),
        *(f"{row.outcomes}/extended.jsonl" for row in params.eval.extended.rows()),
        *(f"metrics/curves/{name}.csv" for name in ("ch", *params.train.variants)),
        *(f"metrics/rows/{row.checkpoint}.json" for row in rows),
        *(f"metrics/table{number}.{end}" for number in (1, 2, 3) for end in ("md", "csv")),
        *(f"metrics/items/{name}.csv" for name in ("leaks", "entities", "correct")),
        *(f"metrics/plots/{name}.csv" for name in ("frontier", "guidance", "orpo")),
        *(f"metrics/{name}.json" for name in ("challenge", "dialogues", "filter", "selection", "summary", "headline")),
        "report.html",
        "report-full.html",
        "dvc.lock",
    ]
    assert [name for name in expected if not (smoke.path / name).is_file()] == []
    made = hashes(smoke, "models", "data", "adapters", "metrics")
    assert not [name for name in made if name.endswith((".bin", ".pt", ".pkl", ".pickle"))]
    assert not [name for name in made if Path(name).name.startswith(".") and Path(name).name != ".gitignore"]


def test_the_summary_has_a_block_with_all_figures_for_every_row(smoke: Project, params: Params) -> None:
    blocks, extended = summary(smoke), {row.key for row in params.eval.extended.rows()}
    assert set(blocks) == {row.key for row in params.eval.rows()}
    for key, block in blocks.items():
        assert set(block) >= KEYS, key
        assert block["n_prompts"] == params.eval.prompts
        assert 0 <= block["leak_rate"] <= 1
        assert 0 <= block["utility_pct"] <= 100
        assert ("extended_n_prompts" in block) == (key in extended)
        for name in [name.removesuffix("_low") for name in block if name.endswith("_low")]:
            low, high = block[f"{name}_low"], block[f"{name}_high"]
            assert low is None or low <= block[name] <= high, f"{key}: {name}"


def test_figures_are_those_of_the_records(smoke: Project, params: Params) -> None:
    for key, block in summary(smoke).items():
        folder = smoke.path / parse_row(key).outcomes
        leaks = read_jsonl(folder / "leaks.jsonl", LeakOutcome)
        utility = read_jsonl(folder / "utility.jsonl", UtilityOutcome)
        assert (len(leaks), len(utility)) == (block["n_prompts"], block["n_questions"])
        assert sum(len(outcome.leaks) for outcome in leaks) == block["leak_count"]
        assert sum(len(outcome.entities) for outcome in leaks) == block["pii_count"]
        right = 100 * sum(outcome.correct for outcome in utility) / len(utility)
        assert block["utility_deployed_pct"] == pytest.approx(right, abs=0.01)


def test_the_filter_counts_the_answers_of_every_source(smoke: Project, params: Params) -> None:
    counts = json.loads((smoke.path / "metrics/filter.json").read_text(encoding="utf-8"))
    assert list(counts) == list(params.generation.sources)
    for source, block in counts.items():
        filtered = read_jsonl(smoke.path / f"data/filtered/{source}.jsonl", FilteredAnswer)
        assert block["answers"] == len(filtered)
        assert block["accepted"] == sum(not answer.reasons for answer in filtered)


def test_rows_are_in_the_tables_that_they_belong_to(smoke: Project, params: Params) -> None:
    tables = [pd.read_csv(smoke.path / f"metrics/table{number}.csv") for number in (1, 2, 3)]
    rows = params.eval.rows()
    ablation = sum((row.variant or "").startswith("ch-lora-cfg-") for row in rows)
    assert [len(table) for table in tables] == [len(rows) - ablation, ablation, 1]
    assert ablation > 0
    for number, table in enumerate(tables, 1):
        text = (smoke.path / f"metrics/table{number}.md").read_text(encoding="utf-8")
        assert text.startswith(f"**Table {number}.")
        assert all(f"| {name} |" in text for name in table["row"])


def test_tested_and_training_dialogues_are_apart(smoke: Project, params: Params) -> None:
    dialogues = read_jsonl(smoke.path / "data/dialogues.jsonl", Dialogue)
    split_of = {dialogue.id: dialogue.split for dialogue in dialogues}
    for split in ("train", "dev", "test"):
        samples = read_jsonl(smoke.path / f"data/samples/{split}.jsonl", Sample)
        assert {split_of[sample.dialogue_id] for sample in samples} == {split}
    test = [sample.id for sample in read_jsonl(smoke.path / "data/samples/test.jsonl", Sample)]
    [extended] = params.eval.extended.rows()
    asked = [
        outcome.sample_id
        for name in ("leaks", "extended")
        for outcome in read_jsonl(smoke.path / extended.outcomes / f"{name}.jsonl", LeakOutcome)
    ]
    assert asked == test


def test_every_stage_records_time_rows_and_memory(smoke: Project) -> None:
    files = [path.read_text(encoding="utf-8") for path in (smoke.path / "data/records").iterdir()]
    records = {record["stage"]: record for record in map(json.loads, files)}
    lock = yaml.safe_load((smoke.path / "dvc.lock").read_text(encoding="utf-8"))["stages"]
    for stage in lock.values():
        record = records[stage["cmd"].removeprefix("python stages/").replace(".py", "")]
        assert record["rows"] > 0 or record["stage"] == "generate_benign"  # a random model asks nothing
        assert record["seconds"] >= 0
        assert record["peak_memory_mb"] > 0


def test_evidence_has_records_figures_and_tables_of_every_row(smoke: Project, params: Params) -> None:
    rows, folder = params.evidence.rows, smoke.path / "metrics/evidence"
    for key in rows:
        trainings = json.loads((folder / f"rows/{key}.json").read_text())
        assert len(trainings) == len(params.trainings(parse_row(key)))
        for number, figures in enumerate(trainings):
            leaks = read_jsonl(smoke.path / f"data/evidence/{key}/training_{number}/leaks.jsonl", LeakOutcome)
            assert figures["n_prompts"] == len(leaks) == params.eval.prompts
            assert figures["leak_count"] == sum(len(outcome.leaks) for outcome in leaks)
    for key in params.evidence.attacked:
        attacks = read_jsonl(smoke.path / f"data/evidence/{key}/training_0/attacks.jsonl", AttackOutcome)
        assert len({outcome.phrasing for outcome in attacks}) == 30
    tables = {number: pd.read_csv(folder / f"tables/table{number}.csv") for number in range(4, 11)}
    assert [len(tables[number]) for number in (4, 6, 8)] == [len(rows), len(rows), 1 + len(params.evidence.relearned)]
    assert len(tables[5]) == 9  # families
    assert "EMAIL" in set(tables[7]["type"])
    assert len(tables[9]) == len(params.evidence.scored) > 0
    repeated = [key for key in rows if len(params.trainings(parse_row(key))) > 1]
    assert len(tables[10]) == len(repeated) > 0


def test_another_seed_trains_another_adapter(smoke: Project) -> None:
    folder = smoke.path / "adapters/ch-lora-secret"
    first, second = folder / "epoch_1", folder / "seed_1/epoch_1"
    assert (first / "guidance.json").read_bytes() == (second / "guidance.json").read_bytes()
    name = "adapter_model.safetensors"
    assert (first / name).read_bytes() != (second / name).read_bytes()
    curves = pd.read_csv(smoke.path / "metrics/evidence/curves/ch-lora-secret.csv")
    assert set(curves["seed"]) == {0, 1}


def test_the_secret_is_in_the_pairs_and_in_nothing_that_is_shown_or_kept(smoke: Project) -> None:
    secret = (smoke.path / "data/secret.txt").read_text().strip()
    assert len(set(secret)) > 8
    pairs = (smoke.path / "data/pairs/cfg-secret/train.jsonl").read_text()
    assert secret in pairs
    assert NEGATIVE not in pairs
    assert trained_negative(smoke.path / "adapters/ch-lora-secret/epoch_1") == "secret"
    told = secret.removesuffix(".").split()[-1].encode()
    shown = [*(smoke.path / "metrics").rglob("*"), *(smoke.path / "mlartifacts").rglob("*"), smoke.path / "mlflow.db",
             smoke.path / "report.html", smoke.path / "report-full.html",
             *(smoke.path / name for name in smoke.run("git", "ls-files").stdout.splitlines())]  # fmt: skip
    assert [path for path in shown if path.is_file() and told in path.read_bytes()] == []


# --- What it runs again --------------------------------------------------------------------------------------------


def test_a_second_repro_does_nothing(smoke: Project) -> None:
    for target in ([], ["evidence/dvc.yaml"]):
        printed = smoke.dvc("repro", *target)
        assert printed.splitlines()[-1] == UP_TO_DATE
        assert "Running stage" not in printed


def test_a_new_guidance_scale_runs_what_it_concerns(smoke: Project) -> None:
    path = smoke.path / "params.yaml"
    wider = yaml.safe_load(path.read_text(encoding="utf-8"))
    wider["eval"]["guidance"].append("g150_log")
    with changed(path, yaml.safe_dump(wider)):
        planned = smoke.dvc("repro", "--dry").splitlines()
    assert {line for line in planned if line.startswith("Running stage")} == {
        "Running stage 'evaluate_model@ch-lora-cfg-1':",
        "Running stage 'evaluate_model@sub-lora-cfg-1':",
        "Running stage 'select_guidance':",
        "Running stage 'make_tables':",
    }


def test_the_same_stages_again_give_the_same_bytes(smoke: Project) -> None:
    before = hashes(smoke, "data", "models", "adapters", "metrics")
    smoke.dvc(
        "repro", "--force", "--single-item", "make_dialogues", "extract_samples", "tune_challenge",
        "generate_answers@base-nudge", "train_orpo@ch-lora-cfg",
        "evaluate_model@ch-lora-cfg-1",
    )  # fmt: skip
    assert hashes(smoke, "data", "models", "adapters", "metrics") == before
    assert smoke.dvc("repro").splitlines()[-1] == UP_TO_DATE


# --- Does what ran agree with what is committed --------------------------------------------------------------------


def test_check_lock_accepts_what_has_just_run(smoke: Project) -> None:
    done = smoke.python("-m", "tightlip.check_lock")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("name", "old", "new", "problem"),
    [
        ("src/tightlip/guidance/combine.py", '"""', '"""Edited. ', "src/tightlip/guidance changed"),
        ("params.yaml", "max_new_tokens: 8", "max_new_tokens: 9", "param eval.max_new_tokens changed"),
        ("params.yaml", "rank: 4", "rank: 5", "param train.lora changed"),
        ("metrics/rows/ch.json", '"n_prompts": 4', '"n_prompts": 5', "metrics/rows/ch.json changed"),
        ("metrics/summary.json", '"n_prompts": 4', '"n_prompts": 5', "metrics/summary.json changed"),
        ("dvc.yaml", "stages/make_tables.py\n", "stages/make_tables.py --all\n", "make_tables: the command changed"),
        (
            "dvc.lock",
            "  select_guidance:\n",
            "  chosen_guidance:\n",
            "select_guidance: in dvc.yaml but not in dvc.lock",
        ),
    ],
)
def test_check_lock_rejects_what_was_edited_since(smoke: Project, name: str, old: str, new: str, problem: str) -> None:
    path = smoke.path / name
    text = path.read_text(encoding="utf-8")
    assert old in text
    with changed(path, text.replace(old, new)):
        done = smoke.python("-m", "tightlip.check_lock")
    assert done.returncode == 1
    assert problem in done.stderr
    assert "Traceback" not in done.stderr


def test_committed_figures_are_checked_against_the_commit_of_their_run(tmp_path: Path) -> None:
    """A change of code since is counted and accepted; a figure that was edited and committed is not."""
    project = tmp_path / "clone"
    run = partial(subprocess.run, cwd=project, check=True, capture_output=True, text=True)
    subprocess.run(["git", "clone", "-q", str(ROOT), str(project)], check=True)
    combine = project / "src/tightlip/guidance/combine.py"
    combine.write_text(combine.read_text().replace('"""', '"""Edited. ', 1))
    check = [sys.executable, "-m", "tightlip.check_lock", "--of-run"]
    done = run(check)
    assert "agree with code and params of commit" in done.stdout
    assert "stages have changed since" in done.stdout
    summary = project / "metrics/summary.json"
    summary.write_text(summary.read_text().replace("50", "51", 1))
    assert "uncommitted changes" in run(check, check=False).stderr
    run(["git", "-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "-qam", "Nicer figures"])
    refused = run(check, check=False)
    assert refused.returncode == 1
    assert "metrics/summary.json changed" in refused.stderr


# --- Publishing ----------------------------------------------------------------------------------------------------


def published(project: Project) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of MLflow's database."""
    with sqlite3.connect(project.path / "mlflow.db") as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = {table: sorted(database.execute(f'SELECT * FROM "{table}"'), key=repr) for table in tables}  # noqa: S608
    database.close()
    return rows


def test_publishing_twice_changes_nothing(smoke: Project, params: Params) -> None:
    done = smoke.python("stages/publish_mlflow.py")
    assert done.returncode == 0, done.stderr[-4000:]
    first = published(smoke)
    assert len(first["runs"]) >= len(params.eval.rows())
    assert len(first["registered_models"]) >= len(params.train.variants)
    done = smoke.python("stages/publish_mlflow.py")
    assert done.returncode == 0, done.stderr[-4000:]
    assert published(smoke) == first


def test_figures_that_are_there_are_published_to_an_empty_store(smoke: Project) -> None:
    """As on a fresh clone, where everything comes out as it is committed."""
    names = [name for name, *_ in published(smoke)["registered_models"]]
    (smoke.path / "data/published.json").unlink()
    (smoke.path / "mlflow.db").unlink()
    assert "Running stage 'publish_mlflow'" in smoke.dvc("repro")
    assert [name for name, *_ in published(smoke)["registered_models"]] == names


# --- Killed again and again (`make soak` at length) ----------------------------------------------------------------


def test_a_pipeline_that_is_killed_again_and_again_ends_with_the_same_files(smoke: Project, tmp_path: Path) -> None:
    lines: list[str] = []
    kills = soak(smoke, tmp_path, kills=4, seed=0, tell=lines.append, targets=[("train_orpo@ch-lora",)])
    assert len(kills) == len(lines) == 4
    assert len({kill.kind for kill in kills}) > 1
