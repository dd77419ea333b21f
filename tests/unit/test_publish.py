"""Publishing a small project twice, half-way and changed."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from small_project import CHOSEN, EPOCHS, ROWS, SECRET, client, commit, params, publish, save_adapter, write_lock

from tightlip.dvc_lock import hash_paths
from tightlip.files import write_json

pytestmark = pytest.mark.filterwarnings("ignore:.*type hint:UserWarning")  # MLflow's, about itself and `predict`

VERSIONS = sum(EPOCHS.values())


def experiment(root: Path) -> Any:
    return client(root).get_experiment_by_name("tightlip")


def runs(root: Path) -> list[Any]:
    return list(client(root).search_runs([experiment(root).experiment_id]))


def run(root: Path, name: str) -> Any:
    (found,) = [each for each in runs(root) if each.info.run_name == name]
    return found


def aliases(root: Path) -> dict[str, dict[str, str]]:
    """Version of each alias, by model."""
    return {
        model.name: {alias: str(version) for alias, version in model.aliases.items()}
        for model in client(root).search_registered_models()
    }


def everything(root: Path) -> str:
    """Whatever the store holds, as text."""
    mlflow = client(root)
    experiment = mlflow.get_experiment_by_name("tightlip")
    models = mlflow.search_logged_models([experiment.experiment_id])
    versions = [dict(version) for version in mlflow.search_model_versions()]
    found = [experiment.tags, [each.to_dictionary() for each in runs(root)], versions, aliases(root)]
    return json.dumps([*found, [model.to_dictionary() for model in models]], default=str, sort_keys=True)


def test_publishing_again_changes_nothing(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = len(EPOCHS) + len(ROWS) + 1
    assert publish(project, project) == expected + VERSIONS
    before = everything(project)
    commit(project)  # HEAD is a tag, but no part of the key
    monkeypatch.setenv("DVC_EXP_NAME", "fancy-name")
    assert publish(project, project) == 0
    assert everything(project) == before
    assert len(runs(project)) == expected
    assert len(client(project).search_model_versions()) == VERSIONS


def test_the_experiment_offers_a_view_of_the_tables_rows(published: Path) -> None:
    view = json.loads(experiment(published).tags["mlflow.sharedViewState.rows"])
    found = client(published).search_runs([experiment(published).experiment_id], view["searchFilter"])
    assert {run.info.run_name for run in found} == set(ROWS)
    assert "metrics.`leak_count`" in view["selectedColumns"]


def test_store_lies_below_its_root_wherever_the_process_runs(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, store = tmp_path / "here", tmp_path / "store"
    here.mkdir()
    shutil.copytree(project, store, ignore=lambda _, names: set(names) - {"mlflow.db"})
    monkeypatch.chdir(here)
    publish(project, store)
    assert not list(here.iterdir())
    assert not (project / "mlartifacts").exists()
    assert run(store, "tables").info.artifact_uri.startswith((store / "mlartifacts").as_uri())


def test_rows_carry_their_figures_and_table(published: Path) -> None:
    chosen = run(published, CHOSEN)
    assert chosen.data.metrics == {"n_prompts": 50, "leak_count": 3, "leak_rate": 0.06}
    assert chosen.data.params == {
        "model": "ch", "variant": "ch-lora-cfg", "epoch": "2", "guidance_scale": "3.0", "space": "prob",
    }  # fmt: skip
    tables = {key: run(published, key).data.tags["tightlip.table"] for key in ROWS}
    assert tables == dict.fromkeys(ROWS, "1") | {CHOSEN: "1,3", "ch-lora-cfg-base_e1_g100": "2"}


def test_trainings_carry_curves_by_step_and_the_parameters_of_the_lock(published: Path) -> None:
    training = run(published, "ch-lora-cfg")
    history = client(published).get_metric_history(training.info.run_id, "train/loss")
    assert [(point.step, point.value) for point in history] == [(1, 2.0), (2, 1.0)]
    assert training.data.metrics["eval/loss"] == 1.5
    assert "eval/rewards/chosen" not in training.data.metrics
    assert training.data.params == {"train.orpo.beta": "0.5", "model": "ch", "dataset": "cfg"}
    assert not run(published, "sub-lora").data.metrics  # it has no curves


def test_runs_and_versions_say_where_they_come_from(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    head = commit(project)
    monkeypatch.setenv("DVC_EXP_NAME", "fancy-name")
    publish(project, project)
    version = client(project).get_model_version_by_alias("tightlip-ch-lora-cfg", "champion")
    training = run(project, "ch-lora-cfg")
    for tags in (training.data.tags, version.tags):
        assert tags["tightlip.git_sha"] == tags["tightlip.lock_sha"] == head
        assert tags["tightlip.dvc_experiment"] == "fancy-name"
        assert tags["tightlip.stage"] == "train_orpo@ch-lora-cfg"
        assert tags["md5.models/ch"] == hash_paths(project, ["models/ch"])["models/ch"]
    assert version.run_id == training.info.run_id
    (dataset,) = [each.dataset for each in training.inputs.dataset_inputs]
    assert (dataset.name, dataset.digest) == ("data/pairs/cfg", *hash_paths(project, ["data/pairs/cfg"]).values())


def test_nothing_of_the_data_reaches_the_store(published: Path) -> None:
    stored = [published / "mlflow.db", *(path for path in (published / "mlartifacts").rglob("*") if path.is_file())]
    assert len(stored) > 20
    assert not [path for path in stored if SECRET.encode() in path.read_bytes()]


def test_aliases_name_epochs_and_the_champion(published: Path) -> None:
    assert aliases(published) == {
        "tightlip-ch-lora-cfg": {"epoch-1": "1", "epoch-2": "2", "last-epoch": "2", "champion": "2"},
        "tightlip-ch-lora-cfg-base": {"epoch-1": "1", "last-epoch": "1"},
        "tightlip-sub-lora": {"epoch-1": "1", "last-epoch": "1"},
    }


def test_another_choice_on_dev_moves_the_champion(project: Path) -> None:
    publish(project, project)
    write_json(project / "metrics/selection.json", {"row": "ch-lora-cfg_e1_g100"})
    publish(project, project)
    moved = aliases(project)["tightlip-ch-lora-cfg"]
    # γ of the chosen row is the default of its version, so epoch 2 gets a new version with γ = 1; epoch 1 had it.
    assert moved == {"epoch-1": "1", "epoch-2": "3", "last-epoch": "3", "champion": "1"}


def test_a_new_training_supersedes_versions_and_keeps_history(project: Path) -> None:
    publish(project, project)
    old = Path(shutil.copytree(project / "adapters", project / "old"))
    save_adapter(project / "models/sub", project / "adapters/sub-lora/epoch_1", 99)
    write_lock(project)
    assert publish(project, project) == 1 + 1
    assert current(project, "sub-lora") == ["no", "yes"]
    assert aliases(project)["tightlip-sub-lora"] == {"epoch-1": "2", "last-epoch": "2"}
    shutil.rmtree(project / "adapters")
    shutil.move(old, project / "adapters")
    write_lock(project)
    assert publish(project, project) == 0
    assert current(project, "sub-lora") == ["yes", "no"]
    assert aliases(project)["tightlip-sub-lora"] == {"epoch-1": "1", "last-epoch": "1"}


def current(root: Path, name: str) -> list[str]:
    """Whether the runs of a name are the present ones, oldest first."""
    found = [each for each in runs(root) if each.info.run_name == name]
    return [each.data.tags["tightlip.current"] for each in sorted(found, key=lambda each: each.info.start_time)]


def test_a_variant_that_is_gone_loses_its_aliases(project: Path) -> None:
    publish(project, project)
    changed = params()
    del changed["train"]["variants"]["sub-lora"]
    (project / "params.yaml").write_text(yaml.safe_dump(changed))
    publish(project, project)
    assert aliases(project)["tightlip-sub-lora"] == {}


@pytest.mark.parametrize("broken", ["set_terminated", "create_model_version"])
def test_publishing_finishes_what_a_killed_process_began(
    published: Path, project: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(f"mlflow.MlflowClient.{broken}", killed)
        with pytest.raises(KeyboardInterrupt):
            publish(project, project)
    publish(project, project)
    assert sorted(each.info.run_name for each in runs(project)) == sorted(
        each.info.run_name for each in runs(published)
    )
    assert {each.info.status for each in runs(project)} == {"FINISHED"}
    assert aliases(project) == aliases(published)
    training = run(project, "ch-lora-cfg").info.run_id
    assert len(client(project).get_metric_history(training, "train/loss")) == 2
    experiment = client(project).get_experiment_by_name("tightlip").experiment_id
    assert len(client(project).search_logged_models([experiment])) == VERSIONS


def killed(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_telemetry_is_off() -> None:
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
