"""`python -m tightlip.check_lock [--of-run]`: check which code and params dvc.lock and metrics/ come from.

`dvc status` needs models and data that a fresh clone does not have. This compares only files in git: the hashes of
code, the values of params, and the hashes of the committed metrics.

Without an option they must come from the tree as it is. With `--of-run` they must come from the tree of the commit that
last changed them, and stages whose code has changed since are counted.
"""

import contextlib
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tightlip.dvc_lock import LOCKS, Entry, input_hashes, locked_params, output_hashes, read_locks

RESULTS = (*LOCKS, "metrics")


def problems(root: Path) -> list[str]:
    """Return one line per stage entry that does not agree with the tree."""
    from dvc.repo import Repo

    lock = read_locks(root)
    with Repo(str(root)) as repo:
        stages = {stage.addressing: stage for stage in repo.index.stages if hasattr(stage, "cmd")}
        lines = [f"{name}: in dvc.lock but not in dvc.yaml" for name in sorted(set(lock) - set(stages))]
        lines += [f"{name}: in dvc.yaml but not in dvc.lock" for name in sorted(set(stages) - set(lock))]
        tracked = set(_git(root, "ls-files").splitlines())
        for name in sorted(set(stages) & set(lock)):
            lines += [f"{name}: {problem}" for problem in _compare(stages[name], lock[name], tracked)]
    return lines


def _compare(stage: Any, entry: Entry, tracked: set[str]) -> list[str]:
    changes = [] if stage.cmd == entry["cmd"] else ["the command changed"]
    locked, params = input_hashes(entry) | output_hashes(entry), locked_params(entry)
    for item in (*stage.deps, *stage.outs):
        path = item.def_path
        if hasattr(item, "params"):
            now = item.read_params()
            values = {key: now.get(key) for key in item.params}
            changes += [f"param {key} changed" for key, value in values.items() if params.get(key) != value]
        elif path not in locked:
            changes.append(f"{path} is not in dvc.lock")
        elif any(name == path or name.startswith(f"{path}/") for name in tracked):
            changes += _hash_differs(item, locked[path])
    return changes


def _hash_differs(item: Any, locked: str) -> list[str]:
    if not item.exists:
        return [f"{item.def_path} is missing"]
    return [] if item.get_hash().value == locked else [f"{item.def_path} changed"]


def run_commit(root: Path) -> str | None:
    """Return the commit that last changed dvc.lock or metrics/: the one that a run was committed in.

    Returns:
        The commit's hash; None in a shallow clone, whose history may not reach back to it.

    Raises:
        ValueError: dvc.lock or metrics/ have uncommitted changes.
    """
    if _git(root, "status", "--porcelain", "--", *RESULTS):
        raise ValueError("dvc.lock or metrics/ have uncommitted changes; commit the run, or restore them with git")
    shallow = _git(root, "rev-parse", "--is-shallow-repository") == "true"
    return None if shallow else _git(root, "log", "-1", "--format=%H", "--", *RESULTS)


def problems_of_run(root: Path, commit: str) -> list[str]:
    """Return the problems of dvc.lock and metrics/ in the tree of a commit."""
    with tempfile.TemporaryDirectory() as folder:
        _git(root, "clone", "-q", "--shared", "--no-checkout", str(root), folder)
        _git(Path(folder), "checkout", "-q", commit)
        with contextlib.chdir(folder):  # DVC names stages by their place relative to it
            return problems(Path())


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True)  # noqa: S603, S607
    return done.stdout.strip()


def main() -> None:
    """Print the problems and exit with 1 if there are any."""
    try:
        _check(Path.cwd(), committed="--of-run" in sys.argv[1:])
    except ValueError as error:
        sys.exit(str(error))


def _check(root: Path, *, committed: bool) -> None:
    commit = run_commit(root) if committed else ""
    if commit is None:
        sys.stderr.write("a shallow clone: nothing checked; fetch the history with `git fetch --unshallow`\n")
        return
    lines = problems_of_run(root, commit) if committed else problems(root)
    for line in lines:
        sys.stderr.write(line + "\n")
    if lines:
        sys.exit("dvc.lock and metrics/ are not from this code: run `make repro`, `make evidence` and commit all")
    changed_stages = {line.split(": ")[0] for line in problems(root)} if committed else set()
    where = f" of commit {commit[:7]}" if committed else ""
    sys.stdout.write(f"dvc.lock and metrics/ agree with code and params{where}\n")
    if changed_stages:
        count = len(changed_stages)
        sys.stdout.write(f"{count} stages have changed since; `make repro` and `make evidence` run them again\n")


if __name__ == "__main__":
    main()
