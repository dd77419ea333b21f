"""Repairs files that a killed `dvc` left half-written: `dvc.lock`, which DVC does not write atomically, and its rwlock.

Every stage copies the lock files when it starts, and `make repro` repairs before it calls DVC. Stages that ended after
the copy was made run again, which is cheap where a stage keeps its work in scratch.
"""

import json
import shutil
from pathlib import Path

import click

from tightlip.dvc_lock import LOCKS, parse_lock
from tightlip.files import atomic_file

COPIES = Path(".scratch/locks")
RWLOCK = Path(".dvc/tmp/rwlock")


def keep_locks(root: Path = Path()) -> None:
    """Copy the lock files. DVC must be waiting for a stage, or it may be writing them."""
    for name in LOCKS:
        if is_whole(root / name):
            with atomic_file(root / COPIES / name) as copy:
                shutil.copyfile(root / name, copy)


def is_whole(path: Path) -> bool:
    """Say whether a lock file exists and is not cut off."""
    try:
        parse_lock(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return False
    return True


def repair(root: Path = Path()) -> list[str]:
    """Replace lock files that are cut off by their copies, and remove a broken rwlock.

    Returns:
        Names of the repaired files.
    """
    repaired = []
    for name in LOCKS:
        if (root / name).is_file() and not is_whole(root / name) and (root / COPIES / name).is_file():
            with atomic_file(root / name) as copy:
                shutil.copyfile(root / COPIES / name, copy)
            repaired.append(name)
    rwlock = root / RWLOCK
    try:
        json.loads(rwlock.read_bytes() if rwlock.is_file() else "{}")
    except ValueError:
        rwlock.unlink()
        repaired.append(rwlock.name)
    return repaired


@click.command()
def main() -> None:
    """Repair files that a killed dvc left half-written."""
    for name in repair():
        click.echo(f"{name}: left half-written by a killed dvc; repaired")


if __name__ == "__main__":
    main()
