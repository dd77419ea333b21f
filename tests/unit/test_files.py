import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tightlip.files import (
    atomic_dir,
    atomic_file,
    digest,
    read_json,
    read_jsonl,
    stream_jsonl,
    write_json,
    write_jsonl,
    write_text,
)  # fmt: skip
from tightlip.records import Entity, Value

SECRET = "Marigold"
FIRST, SECOND = Value(type="NAME", value="Ana Ruiz"), Value(type="LOC", value="Łódź")


def message(path: Path, row: type[Value] | type[Entity] = Value) -> str:
    with pytest.raises(ValueError, match=re.escape(str(path))) as caught:
        read_jsonl(path, row)
    return str(caught.value)


def test_rows_come_back_as_written(tmp_path: Path) -> None:
    path = tmp_path / "new" / "rows.jsonl"
    write_jsonl(path, [FIRST, SECOND])
    assert path.read_text(encoding="utf-8").count("\n") == 2
    assert read_jsonl(path, Value) == [FIRST, SECOND]


def test_written_files_can_be_read_by_all(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "a")
    with atomic_dir(tmp_path / "d"):
        pass
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "d").stat().st_mode & 0o777 == 0o755


def test_rows_are_streamed_one_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(FIRST.model_dump_json() + "\n{oops\n", encoding="utf-8")
    rows = stream_jsonl(path, Value)
    assert next(rows) == FIRST
    with pytest.raises(ValueError, match=r"rows\.jsonl:2: row: Invalid JSON"):
        next(rows)


# --- Atomic writes -------------------------------------------------------------------------------------------------


def test_failing_block_leaves_the_old_file_and_no_temporary(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="half way"), atomic_file(path) as temporary:  # noqa: PT012
        temporary.write_text("new")
        assert path.read_text() == "old"
        raise RuntimeError("half way")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_rows_that_fail_half_way_leave_the_old_file_and_no_temporary(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    write_jsonl(path, [FIRST])

    def rows() -> Iterator[Value]:
        yield SECOND
        raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        write_jsonl(path, rows())
    assert read_jsonl(path, Value) == [FIRST]
    assert list(tmp_path.iterdir()) == [path]


def test_failing_block_leaves_the_old_directory_and_no_temporary(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.mkdir()
    (path / "old").touch()
    with pytest.raises(RuntimeError, match="half way"), atomic_dir(path) as temporary:  # noqa: PT012
        (temporary / "new").touch()
        raise RuntimeError("half way")
    assert [file.name for file in path.iterdir()] == ["old"]
    assert list(tmp_path.iterdir()) == [path]


def test_new_directory_replaces_the_old_one_whole(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.mkdir()
    (path / "old").touch()
    with atomic_dir(path) as temporary:
        (temporary / "new").touch()
    assert [file.name for file in path.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [path]


def test_value_that_is_no_json_leaves_the_old_file(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"z": 1, "a": "é"})
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"z": object()})
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == '{\n  "z": 1,\n  "a": "é"\n}\n'
    assert read_json(tmp_path / "a.json") == {"z": 1, "a": "é"}


# --- Errors --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("broken", "problem"),
    [
        (json.dumps({"type": "NAME", "value": SECRET, "start": -1, "end": 3}), "start"),
        (json.dumps({"type": "NAME", "value": {"is": SECRET}, "start": 0, "end": 3}), "value"),
        (json.dumps({"type": SECRET, "start": 0, "end": 3}), "value: Field required"),
        (json.dumps({"type": "", "value": SECRET, "start": 0, "end": 3, "more": SECRET}), "type"),
        (json.dumps([SECRET]), "row"),
        ('{"type": "NAME", "value": "' + SECRET, "row: Invalid JSON"),
        ("", "row: Invalid JSON"),
    ],
    ids=["range", "type", "missing", "first of two", "no object", "cut off", "blank line"],
)
def test_bad_row_is_named_by_file_line_and_field_without_its_value(tmp_path: Path, broken: str, problem: str) -> None:
    path = tmp_path / "rows.jsonl"
    good = Entity(type="NAME", value="x", start=0, end=1).model_dump_json()
    path.write_text(f"{good}\n{broken}\n{good}\n", encoding="utf-8")
    text = message(path, Entity)
    assert text.startswith(f"{path}:2: {problem}")
    assert SECRET not in text
    assert "\n" not in text


def test_unknown_field_of_a_row_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"type": "NAME", "value": "x", "extra": SECRET}) + "\n")
    assert message(path).startswith(f"{path}:1: extra: ")
    assert SECRET not in message(path)


def test_row_that_is_not_utf8_is_named_by_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    good = FIRST.model_dump_json().encode() + b"\n"
    path.write_bytes(good * 2 + b'{"type":"NAME","value":"' + SECRET.encode() + b'\xff"}\n')
    text = message(path)
    assert text.startswith(f"{path}:3: ")
    assert SECRET not in text


def test_missing_and_empty_files_are_errors_with_a_remedy(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    assert message(path) == f"{path}: no such file; run `dvc repro` to make it"
    path.touch()
    assert message(path) == f"{path}: empty; expected at least one Value per line"
    with pytest.raises(ValueError, match=r"rows\.json: no such file; run `dvc repro`"):
        read_json(tmp_path / "rows.json")


@pytest.mark.parametrize("content", [b'{"a": 1,\n "b": ' + SECRET.encode() + b"}", SECRET.encode() + b"\xff"])
def test_broken_json_is_an_error_without_its_content(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"^{path}: not JSON") as caught:
        read_json(path)
    assert SECRET not in str(caught.value)
    if not content.endswith(b"\xff"):
        assert "line 2" in str(caught.value)


# --- Digest --------------------------------------------------------------------------------------------------------


def tree(path: Path, **files: str) -> Path:
    path.mkdir()
    for name, content in files.items():
        (path / name).write_text(content)
    return path


def test_digest_depends_on_names_and_contents_and_not_on_the_place(tmp_path: Path) -> None:
    one = tree(tmp_path / "1", a="x", b="y")
    assert digest(one) == digest(tree(tmp_path / "2", b="y", a="x"))
    others = [tree(tmp_path / "3", a="x", b="z"), tree(tmp_path / "4", a="x", c="y"), tree(tmp_path / "5", a="x")]
    swapped = tree(tmp_path / "6", a="y", b="x")
    assert len({digest(path) for path in (one, *others, swapped)}) == 5


def test_digest_sees_files_below_and_overlooks_compiled_code(tmp_path: Path) -> None:
    one = tree(tmp_path / "1", a="x")
    before = digest(one)
    tree(one / "__pycache__", a="x")
    assert digest(one) == before
    tree(one / "below", a="x")
    assert digest(one) != before


def test_digest_of_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="missing: no such file or directory"):
        digest("name", tmp_path / "missing")


def test_digest_of_a_file_changes_with_its_content(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("x")
    before = digest(path)
    assert digest(path) == before
    path.write_text("y")
    assert digest(path) != before


def test_digest_tells_strings_from_files_and_parts_from_each_other(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("x")
    assert len({digest("ab"), digest("a", "b"), digest("b", "a"), digest(path), digest(str(path)), digest()}) == 6
