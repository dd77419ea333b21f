"""Repairs what a killed `dvc` leaves half-written: `dvc.lock`, which it does not write atomically, and its rwlock.

Every stage copies the lock files as they are when it starts; `make repro` repairs before it calls DVC. Stages that the
copy lacks run again, which is cheap where a stage's results are cached.
"""

import json
import shutil
from pathlib import Path

import click
import yaml

from tightlip.files import atomic_file

LOCKS = "dvc.lock", "evidence/dvc.lock"
COPIES = Path(".scratch/locks")
RWLOCK = Path(".dvc/tmp/rwlock")


def whole(path: Path) -> bool:
    """Say whether a lock file of DVC is there with all of its text."""
    if not path.is_file() or not path.read_bytes().endswith(b"\n"):
        return False
    try:
        return "stages" in yaml.load(path.read_bytes(), yaml.CSafeLoader)
    except (yaml.YAMLError, TypeError):
        return False


def keep_locks(root: Path = Path()) -> None:
    """Copy the lock files; to be called while DVC waits for a stage."""
    for name in LOCKS:
        if (root / name).is_file() and (root / name).read_bytes().endswith(b"\n"):
            with atomic_file(root / COPIES / name) as copy:
                shutil.copyfile(root / name, copy)


def repair(root: Path = Path()) -> list[str]:
    """Put the copies in the place of torn lock files, and drop a torn rwlock; return their names."""
    mended = []
    for name in LOCKS:
        if (root / name).is_file() and not whole(root / name) and (root / COPIES / name).is_file():
            with atomic_file(root / name) as copy:
                shutil.copyfile(root / COPIES / name, copy)
            mended.append(name)
    rwlock = root / RWLOCK
    try:
        json.loads(rwlock.read_bytes() if rwlock.is_file() else "{}")
    except ValueError:
        rwlock.unlink()
        mended.append(rwlock.name)
    return mended


@click.command()
def main() -> None:
    """Repair files that a killed dvc left half-written."""
    for name in repair():
        click.echo(f"{name}: left half-written by a killed dvc; mended")


if __name__ == "__main__":
    main()
