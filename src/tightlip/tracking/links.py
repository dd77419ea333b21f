"""Where in MLflow a row of some revision is."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tightlip.rows import parse_row
from tightlip.tracking.items import EXPERIMENT, KEY, inputs_of, key_of, row_params

SERVER = "http://127.0.0.1:5000"  # `make ui`
_SEARCH_LIMIT = 50_000


def row_keys(stages: Mapping[str, Any], key: str, block: Mapping[str, Any]) -> list[str]:
    """Keys under which a row is published, by each stage of a `dvc.lock` that makes it: one, or more if some are old.

    Args:
        stages: entries of the lock.
        key: of the row.
        block: its figures.
    """
    row = parse_row(key)
    path = f"metrics/rows/{row.checkpoint}.json"
    return [
        key_of(stage, inputs_of(entry), [block, row_params(row)])
        for stage, entry in stages.items()
        if path in {out["path"] for out in entry.get("outs", [])}
    ]


def run_urls(root: Path) -> dict[str, str]:
    """Addresses of all runs of rows by their keys, as `make ui` serves them; none if nothing was published."""
    if not (root / "mlflow.db").is_file():
        return {}
    from mlflow import MlflowClient, MlflowException

    client = MlflowClient(tracking_uri=f"sqlite:///{root / 'mlflow.db'}")
    try:
        experiment = client.get_experiment_by_name(EXPERIMENT)
        if experiment is None:
            return {}
        number = experiment.experiment_id
        runs = client.search_runs([number], "tags.`tightlip.kind` = 'row'", max_results=_SEARCH_LIMIT)
    except MlflowException:  # the store of another version of MLflow: only publishing brings it up to date
        return {}
    return {
        run.data.tags[KEY]: f"{SERVER}/#/experiments/{number}/runs/{run.info.run_id}"
        for run in runs
        if KEY in run.data.tags
    }
