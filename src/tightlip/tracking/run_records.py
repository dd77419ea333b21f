"""Records of the runs to publish, read from the files of the pipeline; this module does not import MLflow."""

import csv
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tightlip.dvc_lock import (
    Entry,
    hash_paths,
    input_hashes,
    locked_params,
    output_hashes,
    parse_lock,
    writers,
)
from tightlip.files import digest, read_json
from tightlip.params import Params, load_params
from tightlip.table_rows import TableRow, parse_row
from tightlip.tracking.descriptions import DESCRIPTION, ROW_DESCRIPTION, TABLES_DESCRIPTION

KEY = "tightlip.key"
_CHECKED = ("adapters/", "metrics/", "models/")

Point = tuple[str, float, int]


@dataclass(frozen=True)
class RunRecord:
    """What is published as one run.

    Attributes:
        name: of the run.
        key: stage, and a hash of its inputs and of what is published.
        params: logged parameters.
        points: (metric, value, step).
        tags: tags, key and description included.
        datasets: DVC's hash of each data file that went into the stage, by path.
        artifacts: files and directories to upload.
    """

    name: str
    key: str
    params: Mapping[str, Any]
    points: list[Point]
    tags: Mapping[str, str]
    datasets: Mapping[str, str]
    artifacts: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Source:
    """A project whose files are published.

    Attributes:
        root: directory of `dvc.lock` and the files.
        stages: entries of the lock by stage.
        origin: tags with the git commit, experiment and profile; no part of any key.
        hashes: DVC's hashes of the adapters, metrics and models on disk that the lock names, by path.
    """

    root: Path
    params: Params
    stages: Mapping[str, Entry]
    origin: Mapping[str, str]
    hashes: Mapping[str, str]

    def stage_of(self, path: str) -> str:
        """Return the stage that made a path, after checking its inputs and outputs on disk against the lock.

        Where entries of several stages name the path, because a stage was renamed, it is the one that fits the disk.

        Raises:
            ValueError: no stage made it, or something on disk is missing or differs from the lock.
        """
        problems = {stage: self._problem(stage) for stage in writers(self.stages, path)}
        if not problems:
            raise ValueError(f"dvc.lock: no stage made {path}; run `dvc repro`")
        fitting = [stage for stage, problem in problems.items() if problem is None]
        if not fitting:
            raise ValueError([*problems.values()][-1])
        return fitting[-1]

    def _problem(self, stage: str) -> str | None:
        entry = self.stages[stage]
        for path, md5 in (input_hashes(entry) | output_hashes(entry)).items():
            if not path.startswith(_CHECKED):
                continue
            if path not in self.hashes:
                return f"{self.root / path}: missing; run `dvc checkout` or `dvc repro`"
            if self.hashes[path] != md5:
                return f"{self.root / path}: not the one in dvc.lock at {stage}; run `dvc repro`"
        return None

    def record(self, kind: str, name: str, stage: str, content: Any, description: str, **rest: Any) -> RunRecord:
        """Make the record of a run; its key covers the stage's inputs and `content`."""
        md5s = input_hashes(self.stages[stage])
        tags = {
            KEY: key_of(stage, md5s, content), "tightlip.kind": kind, "tightlip.stage": stage,
            DESCRIPTION: description, **self.origin,
            **{f"md5.{path}": md5 for path, md5 in md5s.items()}, **rest.pop("tags", {}),
        }  # fmt: skip
        data = {path: md5 for path, md5 in md5s.items() if path.startswith("data/")}
        return RunRecord(name, tags[KEY], tags=tags, datasets=data, **rest)


def key_of(stage: str, *content: Any) -> str:
    """Return a key: the name of a stage and a hash of its content, which JSON must be able to hold."""
    return f"{stage}:{digest(json.dumps(content, sort_keys=True))[:16]}"


def read_source(root: Path) -> Source:
    """Read parameters and lock of a project.

    Raises:
        ValueError: either is missing or broken.
    """
    path = root / "dvc.lock"
    if not path.is_file():
        raise ValueError(f"{path}: no such file; run `dvc repro` to make it")
    params = load_params(root / "params.yaml")
    stages = parse_lock(path.read_bytes(), path)
    changed = _git(root, "status", "--porcelain", "--", "dvc.lock")
    origin = {
        "tightlip.git_sha": _git(root, "rev-parse", "HEAD"),
        "tightlip.lock_sha": "uncommitted" if changed else _git(root, "log", "-1", "--format=%H", "--", "dvc.lock"),
        "tightlip.dvc_experiment": os.environ.get("DVC_EXP_NAME", ""),
        "tightlip.profile": params.profile,
    }
    tags = {name: value for name, value in origin.items() if value}
    return Source(root, params, stages, tags, _hash_outputs(root, stages))


def _hash_outputs(root: Path, stages: Mapping[str, Entry]) -> dict[str, str]:
    """Hash the adapters, metrics and models that a lock names, as far as they exist."""
    paths = dict.fromkeys(path for entry in stages.values() for path in input_hashes(entry) | output_hashes(entry))
    return hash_paths(root, [path for path in paths if path.startswith(_CHECKED) and (root / path).exists()])


def _git(root: Path, *arguments: str) -> str:
    """Return the output of a git command; empty where there is no git or no repository."""
    git = shutil.which("git")
    if git is None:
        return ""
    done = subprocess.run([git, *arguments], cwd=root, capture_output=True, text=True, check=False)  # noqa: S603
    return done.stdout.strip() if done.returncode == 0 else ""


def row_records(source: Source) -> list[RunRecord]:
    """Return one record per row of `metrics/summary.json`.

    Raises:
        ValueError: the file is missing, a key is no row, or a metric is neither a number nor null.
    """
    path = source.root / "metrics/summary.json"
    records = []
    for key, metrics in read_json(path).items():
        for name, value in metrics.items():
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
                raise ValueError(f"{path}: {key}.{name}: expected a number or null; run `dvc repro`")
        records.append(_row_record(source, parse_row(key), metrics))
    return records


def _row_record(source: Source, row: TableRow, metrics: Mapping[str, Any]) -> RunRecord:
    ablation, extended = source.params.eval.ablation.rows(), source.params.eval.extended.rows()
    tables = ["2" if row in ablation else "1", *(["3"] if row in extended else [])]
    params = row_params(row)
    return source.record(
        "row", row.key, source.stage_of(f"metrics/rows/{row.checkpoint}.json"), [metrics, params], ROW_DESCRIPTION,
        params=params, points=[(name, float(value), 0) for name, value in metrics.items() if value is not None],
        tags={"tightlip.table": ",".join(tables)},
    )  # fmt: skip


def row_params(row: TableRow) -> dict[str, Any]:
    """Return the model, adapter and guidance of a row, as parameters of its run."""
    guidance = {"guidance_scale": row.guidance.scale, "space": row.guidance.space} if row.guidance else {}
    values = {name: value for name, value in vars(row).items() if name not in ("key", "guidance")}
    return {name: value for name, value in (values | guidance).items() if value is not None}


def variant_record(source: Source, name: str) -> RunRecord:
    """Return the record of a variant's training: the parameters that it ran with and its curves.

    Raises:
        ValueError: the lock has no such training, or the curves are broken.
    """
    variant, stage = source.params.train.variants[name], source.stage_of(f"adapters/{name}")
    locked = flat(locked_params(source.stages[stage]))
    params = {key: value for key, value in locked if not key.startswith("train.variants.")}
    points = _curves(source.root / f"metrics/curves/{name}.csv")
    description = f"ORPO training of Model-{variant.model} on the pairs `{variant.dataset}`; one adapter per epoch."
    params |= {"model": variant.model, "dataset": variant.dataset}
    content = [source.stages[stage], points]
    return source.record("variant", name, stage, content, description, params=params, points=points)


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield nested values with dotted names: `train.orpo.beta`."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _curves(path: Path) -> list[Point]:
    """Return the points of a training's curves, named `<split>/<column>`; none if there is no such file."""
    if not path.is_file():
        return []
    points = []
    with path.open(encoding="utf-8", newline="") as lines:
        for number, line in enumerate(csv.DictReader(lines), 2):
            try:
                step, split = int(float(line.pop("step"))), line.pop("split")
                line.pop("epoch", None)
                points += [(f"{split}/{name}", float(cell), step) for name, cell in line.items() if cell]
            except (KeyError, ValueError, TypeError, AttributeError):
                raise ValueError(
                    f"{path}:{number}: needs numbers and columns step and split; run `dvc repro`"
                ) from None
    return points


def tables_record(source: Source) -> RunRecord:
    """Return the record of the tables, the summary, the choice on dev and the data of the plots."""
    stage, metrics = source.stage_of("metrics/summary.json"), source.root / "metrics"
    names = [f"table{number}.{kind}" for number in (1, 2, 3) for kind in ("csv", "md")]
    names += ["summary.json", *(name for name in ("selection.json", "plots") if (metrics / name).exists())]
    paths = tuple(metrics / name for name in names)
    return source.record(
        "tables", "tables", stage, digest(*paths), TABLES_DESCRIPTION, params={}, points=[], artifacts=paths
    )


def chosen_row(source: Source) -> TableRow | None:
    """Return the row that was chosen on the dev split; None if nothing was chosen.

    Raises:
        ValueError: `metrics/selection.json` names no row with an adapter.
    """
    path = source.root / "metrics/selection.json"
    if not path.exists():
        return None
    row = parse_row(str(read_json(path).get("row")))
    if row.adapter is None:
        raise ValueError(f"{path}: row {row.key} has no adapter; run `dvc repro`")
    return row
