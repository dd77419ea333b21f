"""DVC's lock files: the command, the parameters, and the hashes of what each stage read and wrote."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

LOCKS = ("dvc.lock", "evidence/dvc.lock")

Entry = Mapping[str, Any]
"""What a lock holds of one stage: `cmd`, `params`, and under `deps` and `outs` items with `path` and `md5`."""


def parse_lock(content: bytes, path: str | Path = "dvc.lock") -> dict[str, Entry]:
    """Return the entries of a lock file by stage.

    Args:
        content: of the file.
        path: of the file, for errors.

    Raises:
        ValueError: the file is cut off, or is no lock file.
    """
    try:
        stages = yaml.load(content, yaml.CSafeLoader)["stages"]
    except (yaml.YAMLError, KeyError, TypeError):
        stages = None
    if not isinstance(stages, dict) or not content.endswith(b"\n"):
        raise ValueError(f"{path}: cut off, or no lock file of DVC; run `make repro`, or restore it with git")
    return stages


def read_locks(root: Path) -> dict[str, Entry]:
    """Return the entries of all lock files of a project by stage, named as DVC names stages from its root."""
    stages: dict[str, Entry] = {}
    for name in LOCKS:
        path = root / name
        folder = path.parent.relative_to(root)
        prefix = f"{folder}/dvc.yaml:" if folder.parts else ""
        if path.is_file():
            stages |= {prefix + stage: entry for stage, entry in parse_lock(path.read_bytes(), path).items()}
    return stages


def input_hashes(entry: Entry) -> dict[str, str]:
    """Return the hashes of what went into a stage, by path."""
    return _hashes(entry, "deps")


def output_hashes(entry: Entry) -> dict[str, str]:
    """Return the hashes of what a stage wrote, by path."""
    return _hashes(entry, "outs")


def _hashes(entry: Entry, kind: str) -> dict[str, str]:
    return {item["path"]: str(item.get("md5")) for item in entry.get(kind, [])}


def locked_params(entry: Entry) -> Mapping[str, Any]:
    """Return the parameters that a stage ran with, by their dotted names."""
    params: Mapping[str, Any] = entry.get("params", {}).get("params.yaml", {})
    return params


def writers(stages: Mapping[str, Entry], path: str) -> list[str]:
    """Return the stages that have a path among their outputs, several where entries of old stages are left."""
    return [stage for stage, entry in stages.items() if path in output_hashes(entry)]


def hash_paths(root: Path, paths: Iterable[str]) -> dict[str, str]:
    """Hash files and directories as DVC does; files that it hashed before and that are unchanged are not read again.

    Args:
        root: directory of a DVC project.
        paths: relative to it; they must exist.
    """
    from dvc.output import Output
    from dvc.repo import Repo
    from dvc.stage import Stage

    with Repo(str(root)) as repo:
        stage = Stage(repo)
        return {path: Output(stage, str(root.resolve() / path), cache=False).get_hash().value for path in paths}
