"""What is refused before anything is published."""

import shutil
from pathlib import Path

import pytest
import yaml
from small_project import publish, write_lock

from tightlip.tracking.run_records import chosen_row, read_source, row_records

pytestmark = pytest.mark.filterwarnings("ignore:.*type hint:UserWarning")  # MLflow's, about itself and `predict`


@pytest.mark.parametrize("path", ["models/ch/config.json", "adapters/sub-lora/epoch_1/adapter_config.json"])
def test_what_differs_from_the_lock_is_refused(project: Path, path: str) -> None:
    (project / path).write_text((project / path).read_text() + " ")
    with pytest.raises(ValueError, match=r"/(models/ch|adapters/sub-lora): not the one in dvc.lock at .*`dvc repro`"):
        publish(project, project)


@pytest.mark.parametrize(
    "path", ["models/sub", "adapters/sub-lora", "metrics/table2.md", "metrics/rows/ch-lora-cfg_e1.json"]
)
def test_what_is_missing_is_named(project: Path, path: str) -> None:
    if (project / path).is_dir():
        shutil.rmtree(project / path)
    else:
        (project / path).unlink()
    with pytest.raises(ValueError, match=rf"{path}: missing; run `dvc checkout` or `dvc repro`"):
        publish(project, project)


def test_a_row_stays_the_same_run_when_its_stage_tests_one_more(project: Path) -> None:
    before = {record.name: record.key for record in row_records(read_source(project))}
    locked = yaml.safe_load((project / "dvc.lock").read_text())
    locked["stages"]["evaluate_model@ch"]["params"] = {"params.yaml": {"eval.untuned": ["g100", "g200_log"]}}
    (project / "dvc.lock").write_text(yaml.safe_dump(locked))
    assert {record.name: record.key for record in row_records(read_source(project))} == before


def test_the_entry_that_fits_the_disk_counts_where_a_stage_was_renamed(project: Path) -> None:
    locked = yaml.safe_load((project / "dvc.lock").read_text())
    stale = locked["stages"]["make_tables"] | {"outs": [{"path": "metrics/summary.json", "md5": "0"}]}
    for stages in ({"old": stale, **locked["stages"]}, {**locked["stages"], "old": stale}):
        (project / "dvc.lock").write_text(yaml.safe_dump({"stages": stages}, sort_keys=False))
        assert read_source(project).stage_of("metrics/summary.json") == "make_tables"


def test_a_path_without_stage_is_refused(project: Path) -> None:
    with pytest.raises(ValueError, match=r"dvc.lock: no stage made adapters/foo; run `dvc repro`"):
        read_source(project).stage_of("adapters/foo")


@pytest.mark.parametrize(
    ("path", "text", "problem"),
    [
        ("metrics/summary.json", '{"ch": {"leak_count": "3"}}', r"ch.leak_count: expected a number or null"),
        ("metrics/summary.json", '{"foo": {}}', "'foo' is no row"),
        ("metrics/selection.json", '{"row": "ch"}', "row ch has no adapter"),
        (
            "metrics/curves/ch-lora-cfg.csv",
            "step,split,loss\n1,train,1\n2,train,x\n",
            "ch-lora-cfg.csv:3: needs numbers",
        ),
        ("adapters/sub-lora/epoch_1/adapter_model.safetensors", None, "epoch_1: no adapter"),
    ],
)
def test_broken_files_are_named(project: Path, path: str, text: str | None, problem: str) -> None:
    if text is None:
        (project / path).unlink()
    else:
        (project / path).parent.mkdir(exist_ok=True)
        (project / path).write_text(text)
    write_lock(project)
    with pytest.raises(ValueError, match=problem):
        publish(project, project)


def test_a_project_that_never_ran_is_told_to_run(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"dvc.lock: no such file; run `dvc repro`"):
        publish(tmp_path, tmp_path)


def test_nothing_chosen_on_dev_makes_no_champion(project: Path) -> None:
    (project / "metrics/selection.json").unlink()
    assert chosen_row(read_source(project)) is None
