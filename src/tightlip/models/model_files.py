"""Errors about the files of a model."""

from pathlib import Path


def need_file(path: Path, problem: str) -> None:
    """Check that a model directory is whole."""
    if not path.is_file():
        raise ValueError(f"{problem} ({path.name} is missing); run `dvc repro` or correct the path in params.yaml")


def reason(error: Exception) -> str:
    """Say in one short line what a library raised about a file of a model."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
