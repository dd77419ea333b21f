"""Writes runs, tables and registered models to MLflow from the files of the pipeline.

Every run and model version has a key. Publishing again leaves what is there under its key as it is, finishes what a
killed process began, and keeps what newer keys supersede as history, without aliases.
"""

import json
import os
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock

from tightlip.files import digest, write_json
from tightlip.table_rows import UNGUIDED, TableRow
from tightlip.tracking.descriptions import DESCRIPTION, EXPERIMENT_TAGS, MODEL_DESCRIPTION
from tightlip.tracking.run_records import (
    KEY,
    RunRecord,
    Source,
    chosen_row,
    key_of,
    read_source,
    row_records,
    tables_record,
    variant_record,
)

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

import mlflow.db
import mlflow.pyfunc
from mlflow import MlflowClient, entities
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema

EXPERIMENT = "tightlip"
PREFIX = f"{EXPERIMENT}-"
CURRENT = "tightlip.current"
RECEIPT = "data/published.json"
"""File with the keys of what was published. It is an output of the stage, since the store is none: it is missing on a
fresh clone, so that DVC runs the stage there even if all other files come out as they are committed."""

SERVED_MODEL = Path(__file__).with_name("served_model.py")
REQUIREMENTS = ("mlflow", "pandas", "peft", "pydantic", "safetensors", "tokenizers", "torch", "transformers")
EXAMPLE = pd.DataFrame({"prompt": ["Please draft a short letter to my bank."]})
DEFAULT_MAX_NEW_TOKENS = 64
_METRICS_PER_REQUEST = 1000
_SEARCH_LIMIT = 50_000


@dataclass(frozen=True)
class Store:
    """An open MLflow store.

    Attributes:
        root: directory of `mlflow.db`; paths of base models are relative to it.
        runs, versions: existing runs and model versions, by key.
    """

    root: Path
    client: Any
    experiment: str
    runs: dict[str, Any]
    versions: dict[str, Any]


def publish(root: Path, store: Path) -> int:
    """Bring an MLflow store up to date with the files of a project.

    Args:
        root: directory of `params.yaml`, `dvc.lock`, `metrics/`, `adapters/` and `models/`.
        store: directory of `mlflow.db` and `mlartifacts/`: the project, or for a DVC experiment in a temporary
            directory the project that it belongs to (`$DVC_ROOT`).

    Returns:
        Number of runs and model versions that were added or finished.

    Raises:
        ValueError: a file is missing, or is not the one in `dvc.lock`.
    """
    source, store = read_source(root.resolve()), store.resolve()
    variants = [variant_record(source, name) for name in source.params.train.variants]
    records = [*variants, *row_records(source), tables_record(source)]
    lock = store / ".scratch" / "mlflow.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):
        opened = _open(store)
        written = sum(_publish_run(opened, record) for record in records)
        _mark_current(opened, {record.key for record in records})
        before = len(opened.versions)
        _set_aliases(
            opened.client, {PREFIX + record.name: _publish_versions(opened, source, record) for record in variants}
        )
    write_json(root / RECEIPT, sorted(record.key for record in records))
    return written + len(opened.versions) - before


def create_schema(uri: str) -> None:
    """Create the tables of the database, or upgrade those of an older MLflow, like `mlflow db upgrade`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SQLAlchemy's, about MLflow's own migrations
        mlflow.db.commands.main(["upgrade", uri], standalone_mode=False)


def _open(root: Path) -> Store:
    uri = f"sqlite:///{root / 'mlflow.db'}"
    create_schema(uri)  # several processes that leave it to their first use would fail
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        place = (root / "mlartifacts").as_uri()
        experiment = client.get_experiment(client.create_experiment(EXPERIMENT, artifact_location=place))
    for name, value in EXPERIMENT_TAGS.items():
        if experiment.tags.get(name) != value:
            client.set_experiment_tag(experiment.experiment_id, name, value)
    runs = client.search_runs([experiment.experiment_id], max_results=_SEARCH_LIMIT)
    versions = client.search_model_versions(f"name LIKE '{PREFIX}%'")
    return Store(
        root,
        client,
        experiment.experiment_id,
        {run.data.tags[KEY]: run for run in runs if KEY in run.data.tags},
        {version.tags[KEY]: version for version in versions if KEY in version.tags},
    )


def _publish_run(store: Store, record: RunRecord) -> bool:
    """Make or finish a run; return False if it was finished before."""
    run, client = store.runs.get(record.key), store.client
    if run is not None and run.info.status == "FINISHED":
        return False
    if run is None:
        run = client.create_run(store.experiment, tags={**record.tags, CURRENT: "yes"}, run_name=record.name)
        store.runs[record.key] = run
    run_id = run.info.run_id
    params = [entities.Param(key, str(value)) for key, value in record.params.items()]
    # All points have one time, so that MLflow recognises those that a killed process logged.
    points = [entities.Metric(name, value, run.info.start_time, step) for name, value, step in record.points]
    client.log_batch(run_id, params=params)
    for start in range(0, len(points), _METRICS_PER_REQUEST):
        client.log_batch(run_id, metrics=points[start : start + _METRICS_PER_REQUEST])
    client.log_inputs(run_id, datasets=[_dataset(path, md5) for path, md5 in record.datasets.items()])
    for path in record.artifacts:
        client.log_artifact(run_id, str(path))
    client.set_terminated(run_id)
    return True


def _mark_current(store: Store, keys: set[str]) -> None:
    """Tag the runs of the present files as current, and all others as history."""
    for key, run in store.runs.items():
        current = "yes" if key in keys else "no"
        if run.data.tags[CURRENT] != current:
            store.client.set_tag(run.info.run_id, CURRENT, current)


def _dataset(path: str, md5: str) -> Any:
    """Return a reference to a data file: its path and hash, never its content."""
    dataset = entities.Dataset(path, md5, source_type="local", source=json.dumps({"uri": path}))
    return entities.DatasetInput(dataset, tags=[entities.InputTag("mlflow.data.context", "input")])


def _publish_versions(store: Store, source: Source, record: RunRecord) -> dict[str, str]:
    """Register the adapters of a variant; return the version of every alias."""
    variant, chosen = source.params.train.variants[record.name], chosen_row(source)
    description = MODEL_DESCRIPTION.format(variant=record.name, model=variant.model, dataset=variant.dataset)
    _describe_model(store.client, PREFIX + record.name, description)
    base = _base_reference(source, variant.model)
    aliases: dict[str, str] = {}
    for epoch, adapter in _adapters(source, record.name):
        best = chosen if chosen and (chosen.variant, chosen.epoch) == (record.name, epoch) else None
        version = _ensure_version(store, record, epoch, adapter, base, best)
        aliases |= {f"epoch-{epoch}": version, "last-epoch": version} | ({"champion": version} if best else {})
    return aliases


def _describe_model(client: Any, name: str, description: str) -> None:
    models = client.search_registered_models(f"name = '{name}'")
    if not models:
        client.create_registered_model(name, description=description)
    elif models[0].description != description:
        client.update_registered_model(name, description)


def _adapters(source: Source, variant: str) -> list[tuple[int, Path]]:
    """Return the adapters of a variant by epoch, in order."""
    folder = source.root / "adapters" / variant
    adapters = sorted((int(path.name.removeprefix("epoch_")), path) for path in folder.glob("epoch_*"))
    for path in [path for _, path in adapters] or [folder / "epoch_1"]:
        if not (path / "adapter_model.safetensors").is_file():
            raise ValueError(f"{path}: no adapter (adapter_model.safetensors is missing); run `dvc repro`")
    return adapters


def _base_reference(source: Source, model: str) -> dict[str, Any]:
    path, base = f"models/{model}", source.params.base
    return {
        "path": path, "sha256": digest(source.root / path), "source": base.source, "name": base.name,
        "revision": base.revision,
    }  # fmt: skip


def _ensure_version(
    store: Store, record: RunRecord, epoch: int, adapter: Path, base: Mapping[str, Any], best: TableRow | None
) -> str:
    """Register an adapter unless it is; return the version's number."""
    guidance = best.guidance if best and best.guidance else UNGUIDED
    defaults = {
        "guidance_scale": guidance.scale, "space": guidance.space, "max_new_tokens": DEFAULT_MAX_NEW_TOKENS,
    }  # fmt: skip
    key = key_of(record.key.partition(":")[0], record.key, epoch, digest(adapter, SERVED_MODEL), base, defaults)
    if key not in store.versions:
        run_id = store.runs[record.key].info.run_id
        tags = {name: value for name, value in record.tags.items() if name != DESCRIPTION} | {KEY: key}
        logged = _log_model(store, f"{record.name}_e{epoch}", run_id, epoch, adapter, base, defaults, tags)
        description = (
            f"Adapter of epoch {epoch}; defaults γ = {defaults['guidance_scale']:g} in {defaults['space']} space."
        )
        version = store.client.create_model_version(
            PREFIX + record.name, logged.artifact_location, run_id, tags=tags, description=description,
            model_id=logged.model_id,
        )  # fmt: skip
        store.versions[key] = version
    return str(store.versions[key].version)


def _log_model(
    store: Store, name: str, run_id: str, epoch: int, adapter: Path, base: Mapping[str, Any],
    defaults: Mapping[str, Any], tags: Mapping[str, str],
) -> Any:  # fmt: skip
    """Log an adapter as a pyfunc model from code, with its base model by reference."""
    client = store.client
    # A killed process may have left a model without a version.
    for unfinished in client.search_logged_models([store.experiment], f"tags.`{KEY}` = '{tags[KEY]}'"):
        client.delete_logged_model(unfinished.model_id)
    params = {"base": base["path"], **{key: str(value) for key, value in defaults.items()}}
    logged = client.create_logged_model(store.experiment, name, run_id, dict(tags), params, "pyfunc")
    # MLflow warns that `predict` has no type hints; it must have none (see `served_model`).
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(record=True):
        mlflow.pyfunc.save_model(
            f"{folder}/model",
            python_model=str(SERVED_MODEL),
            artifacts={"adapter": str(adapter)},
            model_config={"base": {**base, "root": str(store.root)}},
            signature=_signature(defaults),
            input_example=EXAMPLE,
            pip_requirements=[f"{package}=={installed(package)}" for package in REQUIREMENTS],
            mlflow_model=Model(model_id=logged.model_id, run_id=run_id),
        )
        client.log_model_artifacts(logged.model_id, f"{folder}/model")
    client.finalize_logged_model(logged.model_id, entities.LoggedModelStatus.READY)
    client.log_outputs(run_id, [entities.LoggedModelOutput(logged.model_id, epoch)])
    return logged


def _signature(defaults: Mapping[str, Any]) -> Any:
    columns = [ColSpec("string", name, required=False) for name in ("prompt", "messages")]
    types = {"guidance_scale": "double", "space": "string", "max_new_tokens": "long"}
    params = [ParamSpec(name, types[name], default) for name, default in defaults.items()]
    return ModelSignature(Schema(columns), Schema([ColSpec("string")]), ParamSchema(params))


def _set_aliases(client: Any, versions: Mapping[str, Mapping[str, str]]) -> None:
    """Point our aliases to the present versions, and remove those that name no present version."""
    for model in client.search_registered_models(f"name LIKE '{PREFIX}%'"):
        present = {alias: str(version) for alias, version in model.aliases.items()}
        aliases = versions.get(model.name, {})
        for alias in present:
            if alias not in aliases and (alias in ("champion", "last-epoch") or alias.startswith("epoch-")):
                client.delete_registered_model_alias(model.name, alias)
        for alias, version in aliases.items():
            if present.get(alias) != version:
                client.set_registered_model_alias(model.name, alias, version)
