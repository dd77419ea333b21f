"""Addresses of rows in MLflow, read from its database: MLflow's client takes seconds and may change it."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from tightlip.dvc_lock import Entry, input_hashes, writers
from tightlip.table_rows import parse_row
from tightlip.tracking.run_records import KEY, key_of, row_params

SERVER = "http://127.0.0.1:5000"  # `make ui`
_RUNS = """
SELECT tags.value, runs.experiment_id, runs.run_uuid FROM tags JOIN runs ON runs.run_uuid = tags.run_uuid
WHERE tags.key = ? AND runs.lifecycle_stage = 'active'
"""


def row_keys(stages: Mapping[str, Entry], key: str, metrics: Mapping[str, Any]) -> list[str]:
    """Return the keys under which a row is published, one per stage of a lock that makes it: several if some are old.

    Args:
        stages: entries of the lock.
        key: of the row.
        metrics: of the row.
    """
    row = parse_row(key)
    path = f"metrics/rows/{row.checkpoint}.json"
    return [key_of(stage, input_hashes(stages[stage]), [metrics, row_params(row)]) for stage in writers(stages, path)]


def run_urls(root: Path) -> dict[str, str]:
    """Return the addresses of published runs by their keys, as `make ui` serves them; none if there is no store."""
    path = root / "mlflow.db"
    if not path.is_file():
        return {}
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            runs = database.execute(_RUNS, (KEY,)).fetchall()
    except sqlite3.Error:  # no database, or one of another MLflow: a comparison can do without links
        return {}
    return {key: f"{SERVER}/#/experiments/{experiment}/runs/{run}" for key, experiment, run in runs}
