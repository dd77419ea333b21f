"""Writing to MLflow what the pipeline left on disk: runs, tables and registered models; again changes nothing.

What is there under its key stays as it is, what a killed process began is finished, and what a newer key supersedes
stays as history, without alias.
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
from tightlip.tracking.run_records import (
    EXPERIMENT_TAGS,
    KEY,
    MODEL_ABOUT,
    NOTE,
    Item,
    Source,
    chosen_row,
    key_of,
    read_source,
    row_items,
    tables_item,
    variant_item,
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
"""Keys of what was published. The store is none of DVC's outputs; this one is missing on a fresh clone, where nothing
else may be new: other files come out as they are committed."""

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
        root: directory of `mlflow.db`; base models are looked up from here.
        runs, versions: what is there, by key.
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
        How many runs and model versions were added or finished.

    Raises:
        ValueError: a file is missing, or is not the one in `dvc.lock`.
    """
    source, store = read_source(root.resolve()), store.resolve()
    variants = [variant_item(source, name) for name in source.params.train.variants]
    items = [*variants, *row_items(source), tables_item(source)]
    lock = store / ".scratch" / "mlflow.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):
        opened = _open(store)
        written = sum(_publish_run(opened, item) for item in items)
        _mark_current(opened, {item.key for item in items})
        before = len(opened.versions)
        _set_aliases(opened.client, {PREFIX + item.name: _publish_versions(opened, source, item) for item in variants})
    write_json(root / RECEIPT, sorted(item.key for item in items))
    return written + len(opened.versions) - before


def create_schema(uri: str) -> None:
    """Do what `mlflow db upgrade` does: make the tables, or bring those of an older MLflow up to date."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SQLAlchemy's, about MLflow's own migrations
        mlflow.db.commands.main(["upgrade", uri], standalone_mode=False)


def _open(root: Path) -> Store:
    uri = f"sqlite:///{root / 'mlflow.db'}"
    create_schema(uri)  # if it is left to the first use, several processes at once fail
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


def _publish_run(store: Store, item: Item) -> bool:
    """Make or finish the run of an item; False if it was there."""
    run, client = store.runs.get(item.key), store.client
    if run is not None and run.info.status == "FINISHED":
        return False
    if run is None:
        run = client.create_run(store.experiment, tags={**item.tags, CURRENT: "yes"}, run_name=item.name)
        store.runs[item.key] = run
    run_id = run.info.run_id
    params = [entities.Param(key, str(value)) for key, value in item.params.items()]
    # One time for all points: what a killed process logged already is recognised and not logged twice.
    points = [entities.Metric(name, value, run.info.start_time, step) for name, value, step in item.points]
    client.log_batch(run_id, params=params)
    for start in range(0, len(points), _METRICS_PER_REQUEST):
        client.log_batch(run_id, metrics=points[start : start + _METRICS_PER_REQUEST])
    client.log_inputs(run_id, datasets=[_dataset(path, md5) for path, md5 in item.datasets.items()])
    for path in item.artifacts:
        client.log_artifact(run_id, str(path))
    client.set_terminated(run_id)
    return True


def _mark_current(store: Store, keys: set[str]) -> None:
    """Tell runs that stand for the files of now from those that are history."""
    for key, run in store.runs.items():
        current = "yes" if key in keys else "no"
        if run.data.tags[CURRENT] != current:
            store.client.set_tag(run.info.run_id, CURRENT, current)


def _dataset(path: str, md5: str) -> Any:
    """Reference to a data file: its place and hash, never its rows."""
    dataset = entities.Dataset(path, md5, source_type="local", source=json.dumps({"uri": path}))
    return entities.DatasetInput(dataset, tags=[entities.InputTag("mlflow.data.context", "input")])


def _publish_versions(store: Store, source: Source, item: Item) -> dict[str, str]:
    """Register the adapters of a variant; return the version of every alias."""
    variant, chosen = source.params.train.variants[item.name], chosen_row(source)
    about = MODEL_ABOUT.format(variant=item.name, model=variant.model, dataset=variant.dataset)
    _describe_model(store.client, PREFIX + item.name, about)
    base = _base_reference(source, variant.model)
    aliases: dict[str, str] = {}
    for epoch, adapter in _adapters(source, item.name):
        best = chosen if chosen and (chosen.variant, chosen.epoch) == (item.name, epoch) else None
        version = _ensure_version(store, item, epoch, adapter, base, best)
        aliases |= {f"epoch-{epoch}": version, "last-epoch": version} | ({"champion": version} if best else {})
    return aliases


def _describe_model(client: Any, name: str, about: str) -> None:
    found = client.search_registered_models(f"name = '{name}'")
    if not found:
        client.create_registered_model(name, description=about)
    elif found[0].description != about:
        client.update_registered_model(name, about)


def _adapters(source: Source, variant: str) -> list[tuple[int, Path]]:
    """Adapters of a variant by epoch, in order."""
    folder = source.root / "adapters" / variant
    found = sorted((int(path.name.removeprefix("epoch_")), path) for path in folder.glob("epoch_*"))
    for path in [path for _, path in found] or [folder / "epoch_1"]:
        if not (path / "adapter_model.safetensors").is_file():
            raise ValueError(f"{path}: no adapter (adapter_model.safetensors is missing); run `dvc repro`")
    return found


def _base_reference(source: Source, model: str) -> dict[str, Any]:
    path, base = f"models/{model}", source.params.base
    return {
        "path": path, "sha256": digest(source.root / path), "source": base.source, "name": base.name,
        "revision": base.revision,
    }  # fmt: skip


def _ensure_version(
    store: Store, item: Item, epoch: int, adapter: Path, base: Mapping[str, Any], best: TableRow | None
) -> str:
    """Register an adapter unless it is; return the version's number."""
    guidance = best.guidance if best and best.guidance else UNGUIDED
    defaults = {
        "guidance_scale": guidance.scale, "space": guidance.space, "max_new_tokens": DEFAULT_MAX_NEW_TOKENS,
    }  # fmt: skip
    key = key_of(item.key.partition(":")[0], item.key, epoch, digest(adapter, SERVED_MODEL), base, defaults)
    if key not in store.versions:
        run_id = store.runs[item.key].info.run_id
        tags = {name: value for name, value in item.tags.items() if name != NOTE} | {KEY: key}
        logged = _log_model(store, f"{item.name}_e{epoch}", run_id, epoch, adapter, base, defaults, tags)
        about = f"Adapter of epoch {epoch}; defaults γ = {defaults['guidance_scale']:g} in {defaults['space']} space."
        version = store.client.create_model_version(
            PREFIX + item.name, logged.artifact_location, run_id, tags=tags, description=about, model_id=logged.model_id
        )
        store.versions[key] = version
    return str(store.versions[key].version)


def _log_model(
    store: Store, name: str, run_id: str, epoch: int, adapter: Path, base: Mapping[str, Any],
    defaults: Mapping[str, Any], tags: Mapping[str, str],
) -> Any:  # fmt: skip
    """Log an adapter as pyfunc model from code, the base by reference."""
    client = store.client
    # What a killed process left without a version.
    for left in client.search_logged_models([store.experiment], f"tags.`{KEY}` = '{tags[KEY]}'"):
        client.delete_logged_model(left.model_id)
    params = {"base": base["path"], **{key: str(value) for key, value in defaults.items()}}
    logged = client.create_logged_model(store.experiment, name, run_id, dict(tags), params, "pyfunc")
    # The warning that is swallowed asks for the type hints that `predict` must not have.
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


def _set_aliases(client: Any, wanted: Mapping[str, Mapping[str, str]]) -> None:
    """Point our aliases to the present versions, and take them from models that have none."""
    for model in client.search_registered_models(f"name LIKE '{PREFIX}%'"):
        present = {alias: str(version) for alias, version in model.aliases.items()}
        aliases = wanted.get(model.name, {})
        for alias in present:
            if alias not in aliases and (alias in ("champion", "last-epoch") or alias.startswith("epoch-")):
                client.delete_registered_model_alias(model.name, alias)
        for alias, version in aliases.items():
            if present.get(alias) != version:
                client.set_registered_model_alias(model.name, alias, version)
