"""JSONL, JSON and directories in and out: atomic writes, errors that name file, line and field."""

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

Model = TypeVar("Model", bound=BaseModel)
FIELD_CHARACTERS, LINE_CHARACTERS = 80, 1000

TEMPORARY = re.compile(r"\..+\.(?P<pid>\d+)\.\w+\.tmp")
"""Names of files and directories that are being written, and by which process; git and DVC ignore them."""


def explain(error: ValidationError) -> str:
    """First problem of a validation error as `field: message`, without the offending value (it may be personal)."""
    first = error.errors(include_input=False, include_url=False)[0]
    field = ".".join(str(part) for part in first["loc"]) or "row"
    return f"{field[:FIELD_CHARACTERS]}: {first['msg']}"


def one_line(error: Exception) -> str:
    """Say an error in one line; names out of a user's file are in it, which must not steer a terminal or fill it."""
    line = " ".join(str(error).split())
    shown = "".join(each if each.isprintable() else "?" for each in line)
    return shown if len(shown) <= LINE_CHARACTERS else f"{shown[:LINE_CHARACTERS]} …"


def read_jsonl(path: str | Path, row: type[Model]) -> list[Model]:
    """Read one row per line.

    Raises:
        ValueError: missing or empty file, broken JSON or a row that does not fit, with file and line.
    """
    return list(stream_jsonl(path, row))


def stream_jsonl(path: str | Path, row: type[Model]) -> Iterator[Model]:
    """Yield one row per line, one in memory at a time; raises as `read_jsonl` does, when the place is reached."""
    path, number = Path(path), 0
    if not path.is_file():
        raise ValueError(f"{path}: no such file; run `dvc repro` to make it")
    with path.open("rb") as lines:  # bytes, or a line that is not UTF-8 would be reported as another
        for number, line in enumerate(lines, 1):
            yield _parse(line, row, f"{path}:{number}")
    if not number:
        raise ValueError(f"{path}: empty; expected at least one {row.__name__} per line")


def _parse(line: bytes, row: type[Model], place: str) -> Model:
    try:
        return row.model_validate_json(line)
    except ValidationError as error:
        raise ValueError(f"{place}: {explain(error)}; expected one {row.__name__} as JSON per line") from None


@contextmanager
def atomic_file(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; it takes the final name only if the block succeeds."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(**_named(path))
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        _sync(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_dir(path: str | Path) -> Iterator[Path]:
    """Give a temporary directory beside `path`; it replaces `path` only if the block succeeds."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary, former = (Path(tempfile.mkdtemp(**_named(path))) for _ in range(2))
    try:
        yield temporary
        temporary.chmod(0o755)
        for written in temporary.rglob("*"):
            _sync(written)
        if path.exists():  # renamed away first: deleting takes a while, in which half of it would be there
            path.replace(former / path.name)
        temporary.replace(path)
    finally:
        for left in (temporary, former):
            shutil.rmtree(left, ignore_errors=True)


def _named(path: Path) -> dict[str, Any]:
    """Name something temporary beside a path so that `sweep` knows whose it is."""
    return {"prefix": f".{path.name}.{os.getpid()}.", "suffix": ".tmp", "dir": path.parent}


def _sync(path: Path) -> None:
    """Bring a file to the disk: after a power failure its name must not stand before what is in it."""
    if path.is_file():
        with path.open("rb") as handle:
            os.fsync(handle.fileno())


def sweep(patterns: Iterable[str], folder: Path = Path()) -> None:
    """Remove what killed processes left half-written where patterns say. To be called before this process writes."""
    import psutil

    for path in [path for pattern in patterns for path in folder.glob(pattern)]:
        name = TEMPORARY.fullmatch(path.name)
        if name and (int(name["pid"]) == os.getpid() or not psutil.pid_exists(int(name["pid"]))):
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file atomically."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_jsonl(path: str | Path, rows: Iterable[BaseModel]) -> None:
    """Write one row per line, atomically."""
    with atomic_file(path) as temporary, temporary.open("w", encoding="utf-8") as out:
        for row in rows:
            out.write(row.model_dump_json() + "\n")


def write_json(path: str | Path, value: Any) -> None:
    """Write a JSON file atomically, indented, keys in the order given."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Raises:
        ValueError: missing file or broken JSON, with file, line and column.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such file; run `dvc repro` to make it")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError(f"{path}: nested too deeply; it is not what a stage wrote, make it again") from None
    except ValueError as error:  # broken JSON, no UTF-8, a number of thousands of digits
        raise ValueError(f"{path}: not JSON ({error})") from None


def digest(*parts: str | Path) -> str:
    """SHA-256 over strings as they are and over the names and contents of files and directories.

    Raises:
        ValueError: a path is missing.
    """
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            total.update(b"s" + part.encode() + b"\0")
            continue
        if not part.exists():
            raise ValueError(f"{part}: no such file or directory; run `dvc repro` to make it")
        for path in [part] if part.is_file() else sorted(p for p in part.rglob("*") if p.is_file()):
            if "__pycache__" in path.parts:
                continue
            total.update(b"f" + str(path.relative_to(part)).encode() + b"\0")
            with path.open("rb") as handle:
                total.update(hashlib.file_digest(handle, "sha256").digest())
    return total.hexdigest()
