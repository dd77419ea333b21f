"""Lines and JSON out of files that nobody has checked: of any size, in bounded memory, however broken or hostile."""

import codecs
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from tqdm import tqdm

from tightlip.dialogues.importers.source import Problem

LIMIT = 16 * 2**20
"""Bytes of one line or item; no conversation is that long, and a hostile file could fill the memory."""

_CHUNK = 2**16
_TOO_LONG = f"longer than {LIMIT // 2**20} MB; one dialogue per line or item is expected"
_NO_UTF8 = "not UTF-8; convert the file"
REST = "; nothing beyond it was read"
_SPACE = re.compile(r"[ \t\n\r]*")


def need_file(path: Path) -> None:
    """Check that there is a file with something in it."""
    if not path.is_file():
        raise ValueError(f"{path}: no such file; correct its path")
    if not path.stat().st_size:
        raise ValueError(f"{path}: empty; expected dialogues")


def read_lines(path: Path) -> Iterator[tuple[int, str | Problem]]:
    """Yield every line with its number, from 1, and its line break; the byte order mark is left out."""
    with path.open("rb") as file, _progress(path) as bar:
        number = 0
        while line := file.readline(LIMIT + 1):
            number += 1
            bar.update(len(line))
            place = f"{path}:{number}"
            if len(line) > LIMIT:
                _skip_line(file, line)
                yield number, Problem(place, "", _TOO_LONG)
                continue
            try:
                yield number, line.removeprefix(codecs.BOM_UTF8 if number == 1 else b"").decode()
            except UnicodeDecodeError:
                yield number, Problem(place, "", _NO_UTF8)


def _skip_line(file: BinaryIO, line: bytes) -> None:
    while line and not line.endswith(b"\n"):
        line = file.readline(LIMIT)


def _progress(path: Path) -> "tqdm[Any]":
    total = path.stat().st_size
    return tqdm(total=total, desc=path.name, unit="B", unit_scale=True, delay=2, disable=None)


def parse_json(text: str, place: str, field: str = "") -> Any:
    """Parse JSON; what is wrong with it comes back as a problem."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        return Problem(place, field, _why(error))


def _why(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "JSON nested too deeply; expected one dialogue"
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON ({error.msg}, column {error.colno}); expected one object"
    return "not JSON (a number of too many digits); expected one object"


def read_items(path: Path) -> Iterator[tuple[int, str, Any]]:
    """Yield number, place and JSON of every line, or of every item if the file is one JSON array.

    A blank line comes as None, and what cannot be read as a problem.
    """
    if _is_array(path):
        yield from _read_array(path)
        return
    for number, line in read_lines(path):
        place = f"{path}:{number}"
        if isinstance(line, Problem):
            yield number, place, line
        else:
            yield number, place, parse_json(line.rstrip(), place) if line.strip() else None


def _is_array(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(_CHUNK).removeprefix(codecs.BOM_UTF8).lstrip()
    return start.startswith(b"[")


def _read_array(path: Path) -> Iterator[tuple[int, str, Any]]:
    """Yield the items of an array; after a problem the place of the next item is not known, and the reading ends."""
    with path.open("rb") as file, _progress(path) as bar:
        text = _Text(path, file, bar)
        text.expect("[")
        number, more = 0, text.next() != "]"
        while more:
            number += 1
            item = text.item()
            yield number, text.place, item
            if isinstance(item, Problem):
                return
            more = text.next() == ","
            if more:
                text.expect(",")
        end = text.next()
        text.expect("]")
        if end != "]" or text.next() or text.problem:
            problem = text.problem or Problem(f"{path}:{text.line}", "", "not JSON; expected one array of objects")
            yield number + 1, problem.place, problem


class _Text:
    """The part of a file that is being parsed.

    Attributes:
        line: of the first character that is left.
        place: of the last item.
        problem: what the file cannot be read beyond for.
    """

    def __init__(self, path: Path, file: BinaryIO, bar: "tqdm[Any]") -> None:
        self.line, self.place = 1, str(path)
        self.problem: Problem | None = None
        self._path, self._file, self._bar = path, file, bar
        self._decode = codecs.getincrementaldecoder("utf-8-sig")().decode
        self._parse = json.JSONDecoder().raw_decode
        self._text, self._at, self._ended = "", 0, False

    def next(self) -> str:
        """Skip white space and return the next character, `` at the end."""
        while True:
            self._drop(_SPACE.match(self._text, self._at).end())  # type: ignore[union-attr]
            if self._at < len(self._text) or not self._grow():
                return self._text[self._at : self._at + 1]

    def expect(self, sign: str) -> None:
        """Skip a sign if it comes next."""
        if self.next() == sign:
            self._drop(self._at + 1)

    def item(self) -> Any:
        """Parse the next item, an object."""
        opening = self.next()
        self.place = f"{self._path}:{self.line}"
        if opening != "{":
            return self.problem or Problem(self.place, "", f"expected an object, a dialogue{REST}")
        while True:
            try:
                value, end = self._parse(self._text, self._at)
            except (ValueError, RecursionError) as error:
                if len(self._text) - self._at > LIMIT:
                    return Problem(self.place, "", _TOO_LONG + REST)
                if isinstance(error, RecursionError) or not self._grow():
                    return self.problem or Problem(self.place, "", _why(error) + REST)
            else:
                self._drop(end)
                return value

    def _drop(self, end: int) -> None:
        self.line += self._text.count("\n", self._at, end)
        self._at = end

    def _grow(self) -> bool:
        """Read as much again as is left, so that a long item is parsed a few times and not per chunk."""
        if self._ended:
            return False
        self._text, self._at = self._text[self._at :], 0
        chunk = self._file.read(max(_CHUNK, len(self._text)))
        self._bar.update(len(chunk))
        self._ended = not chunk
        before = len(self._text)
        try:
            self._text += self._decode(chunk, final=self._ended)
        except UnicodeDecodeError as error:
            self._text += error.object[: error.start].decode()
            line = self.line + self._text.count("\n")
            self.problem, self._ended = Problem(f"{self._path}:{line}", "", _NO_UTF8 + REST), True
        return len(self._text) > before or not self._ended
