"""What a revision of the project measured, read from git or, for `workspace`, from disk."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd
import yaml

from tightlip.dvc_lock import Entry, input_hashes, parse_lock
from tightlip.files import digest
from tightlip.tables.row_metrics import Metrics
from tightlip.tracking.run_records import flat

WORKSPACE = "workspace"
PROMPTS = "data/samples/test.jsonl"
QUESTIONS = "src/tightlip/evaluation/questions/test.jsonl"
ITEMS = ("leaks", "entities", "correct")

Read = Callable[[str], bytes | None]
"""Content of a file by its path in the project; None if there is no such file."""


@dataclass(frozen=True)
class Revision:
    """A state of the project.

    Attributes:
        name: as the user wrote it: a git revision, a DVC experiment or `workspace`.
        commit: its hash; None for the workspace.
        summary: row key → metrics.
        chosen: row that was chosen on dev.
        params: parameters by dotted name.
        stages: entries of `dvc.lock`.
        items: `leaks`, `entities`, `correct` → as `tables.item_counts.item_tables` makes them.
        prompts, questions: hashes of the test prompts and questions, whose ids alone may be the same in two revisions.
    """

    name: str
    commit: str | None
    summary: Mapping[str, Metrics]
    chosen: str
    params: Mapping[str, Any]
    stages: Mapping[str, Entry]
    items: Mapping[str, pd.DataFrame]
    prompts: str
    questions: str


def load_revisions(root: Path, names: Sequence[str]) -> list[Revision]:
    """Read revisions of the project that lies in `root`.

    Raises:
        ValueError: no project or git repository, a name that is unknown, ambiguous or there twice, a missing or broken
            file.
    """
    from dvc.exceptions import DvcException
    from dvc.scm import SCM

    if not (root / "dvc.yaml").is_file():
        raise ValueError(f"{root}: no dvc.yaml here; run this in the project's directory")
    repeated = [name for name in names if names.count(name) > 1]
    if repeated:
        raise ValueError(f"{repeated[0]}: named twice; name every revision once")
    try:
        repository = SCM(str(root))
    except DvcException:
        raise ValueError(f"{root}: not in a git repository; run this in the project's directory") from None
    with closing(repository) as scm:
        return [_load(name, *_open(scm, root, name)) for name in names]


def _open(scm: Any, root: Path, name: str) -> tuple[str | None, Read]:
    """Return the commit of a revision and a function that reads its files."""
    from dvc.exceptions import DvcException
    from dvc.scm import resolve_rev

    if name == WORKSPACE:
        return None, lambda path: (root / path).read_bytes() if (root / path).is_file() else None
    try:
        commit = resolve_rev(scm, name)
    except DvcException as error:
        raise ValueError(
            f"{name}: {error}; `dvc exp show` lists the experiments, `git log` the revisions, and `{WORKSPACE}` stands "
            "for the files on disk"
        ) from None
    tree = scm.get_fs(commit)
    folder = PurePosixPath(root.resolve().relative_to(Path(scm.root_dir).resolve()).as_posix())

    def read(path: str) -> bytes | None:
        place = str(folder / path)
        return bytes(tree.open(place, mode="rb").read()) if tree.isfile(place) else None

    return str(commit), read


def _load(name: str, commit: str | None, read: Read) -> Revision:
    def parsed(path: str, parse: Callable[[bytes], Any]) -> Any:
        content = read(path)
        if content is None:
            remedy = "run `dvc repro`" if commit is None else "run it again with the present version"
            raise ValueError(f"{name}: has no {path}; {remedy}")
        try:
            return parse(content)
        except (ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError):
            raise ValueError(f"{name}: {path} is broken; run `dvc repro` in that revision") from None

    params = parsed("params.yaml", lambda content: dict(flat(yaml.safe_load(content))))
    stages = parsed("dvc.lock", parse_lock)
    question_params = {key: value for key, value in params.items() if key.startswith("eval.questions")}
    return Revision(
        name,
        commit,
        summary=parsed("metrics/summary.json", _summary),
        chosen=parsed("metrics/selection.json", lambda content: str(json.loads(content)["row"])),
        params=params,
        stages=stages,
        items={kind: parsed(f"metrics/items/{kind}.csv", _items) for kind in ITEMS},
        prompts=",".join(sorted(hashes(stages).get(PROMPTS, ()))),
        questions=digest(json.dumps(question_params, sort_keys=True, default=str), str(read(QUESTIONS))),
    )


def _summary(content: bytes) -> dict[str, dict[str, float | None]]:
    """Read the metrics of every row; values that are not finite become None."""
    return {
        row: {name: value if value is not None and math.isfinite(value) else None for name, value in metrics.items()}
        for row, metrics in json.loads(content).items()
    }


def _items(content: bytes) -> pd.DataFrame:
    return pd.read_csv(BytesIO(content), dtype={"item": str}).set_index(["training", "item"]).reset_index()


def hashes(stages: Mapping[str, Entry]) -> dict[str, frozenset[str]]:
    """Return the hashes of everything that goes into a stage, by path; several where stages saw different states."""
    by_path: dict[str, frozenset[str]] = {}
    for entry in stages.values():
        for path, md5 in input_hashes(entry).items():
            by_path[path] = by_path.get(path, frozenset()) | {md5}
    return by_path
