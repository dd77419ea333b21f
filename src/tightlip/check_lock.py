"""`python -m tightlip.check_lock`: do dvc.lock and metrics/ come from the code and params in the tree.

`dvc status` asks for models and data that a fresh clone does not have. This compares only what git holds: the hashes
of code, the values of params, and the hashes of the committed metrics.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml


def problems(root: Path) -> list[str]:
    """Return one line per stage entry that does not agree with the tree."""
    from dvc.repo import Repo

    lock = _locked(root / "dvc.lock") | {
        f"evidence/dvc.yaml:{name}": entry for name, entry in _locked(root / "evidence/dvc.lock").items()
    }
    with Repo(str(root)) as repo:
        stages = {stage.addressing: stage for stage in repo.index.stages if hasattr(stage, "cmd")}
        found = [f"{name}: in dvc.lock but not in dvc.yaml" for name in sorted(set(lock) - set(stages))]
        found += [f"{name}: in dvc.yaml but not in dvc.lock" for name in sorted(set(stages) - set(lock))]
        tracked = _tracked(root)
        for name in sorted(set(stages) & set(lock)):
            found += [f"{name}: {problem}" for problem in _compare(stages[name], lock[name], tracked)]
    return found


def _locked(path: Path) -> dict[str, Any]:
    return dict(yaml.safe_load(path.read_text(encoding="utf-8"))["stages"]) if path.is_file() else {}


def _tracked(root: Path) -> set[str]:
    listed = subprocess.run(["git", "ls-files"], cwd=root, check=True, capture_output=True, text=True).stdout  # noqa: S607
    return set(listed.splitlines())


def _compare(stage: Any, entry: dict[str, Any], tracked: set[str]) -> list[str]:
    found = [] if stage.cmd == entry["cmd"] else ["the command changed"]
    locked = {item["path"]: item for kind in ("deps", "outs") for item in entry.get(kind, [])}
    locked_params: dict[str, Any] = entry.get("params", {}).get("params.yaml", {})
    for item in (*stage.deps, *stage.outs):
        path = item.def_path
        if hasattr(item, "params"):
            now = item.read_params()
            wanted = {key: now.get(key) for key in item.params}
            found += [f"param {key} changed" for key, value in wanted.items() if locked_params.get(key) != value]
        elif path not in locked:
            found.append(f"{path} is not in dvc.lock")
        elif any(name == path or name.startswith(f"{path}/") for name in tracked):
            found += _hash_differs(item, locked[path])
    return found


def _hash_differs(item: Any, locked: dict[str, Any]) -> list[str]:
    if not item.exists:
        return [f"{item.def_path} is missing"]
    return [] if item.get_hash().value == locked["md5"] else [f"{item.def_path} changed"]


def main() -> None:
    """Print the problems and exit with 1 if there are any."""
    found = problems(Path.cwd())
    for line in found:
        sys.stderr.write(line + "\n")
    if found:
        sys.exit("dvc.lock and metrics/ are not from this code: run `make repro`, `make evidence` and commit all")
    sys.stdout.write("dvc.lock and metrics/ agree with code and params\n")


if __name__ == "__main__":
    main()
