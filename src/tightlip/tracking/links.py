"""Where in MLflow a row of a revision is. Its database is read: MLflow's client takes seconds and may change it."""

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


def row_keys(stages: Mapping[str, Entry], key: str, block: Mapping[str, Any]) -> list[str]:
    """Keys under which a row is published, by each stage of a `dvc.lock` that makes it: one, or more if some are old.

    Args:
        stages: entries of the lock.
        key: of the row.
        block: its figures.
    """
    row = parse_row(key)
    path = f"metrics/rows/{row.checkpoint}.json"
    return [key_of(stage, input_hashes(stages[stage]), [block, row_params(row)]) for stage in writers(stages, path)]


def run_urls(root: Path) -> dict[str, str]:
    """Addresses of published runs by their keys, as `make ui` serves them; none if there is no store to read."""
    path = root / "mlflow.db"
    if not path.is_file():
        return {}
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            runs = database.execute(_RUNS, (KEY,)).fetchall()
    except sqlite3.Error:  # no database, or one of another MLflow: a comparison can do without links
        return {}
    return {key: f"{SERVER}/#/experiments/{experiment}/runs/{run}" for key, experiment, run in runs}
