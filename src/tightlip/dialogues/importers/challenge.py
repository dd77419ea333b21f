"""The LLM Privacy Challenge's format: scrubbed conversations beside a file of what was scrubbed, joined by line."""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tightlip.dialogues.importers.reading import need_file, parse_json, read_lines
from tightlip.dialogues.importers.source import Cell, Conversation, Problem, RawTurn

EMPTY_ROW = "empty rows left out"
NO_VALUES = "rows without values"
KEY_REPAIRED = "keys repaired"
KEY_LEFT_OUT = "keys that name no mark left out"
KEY_TWICE = "keys that name the same mark left out"
NESTED = "nested values taken out"
MADE_TEXT = "values that were no text made text"
OTHER_TYPE = "values of other types left out"
NO_VALUE = "keys without a value left out"

_TURN = re.compile(
    r"\s*<\|start_header_id\|>\s*([^<>|]{1,20}?)\s*<\|end_header_id\|>\n{0,2}(.*?)(?:<\|eot_id\|>|\Z)", re.DOTALL
)
_KEY = re.compile(r"\W*([A-Z]+(?:[\s_-]+[A-Z]+)*)[\s_-]*([0-9]{1,4})\W*")
_LONGEST_KEY = 64

RepairList = list[str]


def read_challenge(path: Path, values: Path) -> Iterator[Conversation | Problem]:
    """Read the two files line by line.

    Args:
        path: scrubbed conversations, `{"idx": 17, "messages": "…"}`, the messages one text in Llama-3's chat format.
        values: what stands for the marks, `{"NAME-1": "…"}`. Known for malformed keys, values of other types and
            empty rows: these are repaired or left out, and counted.
    """
    need_file(path)
    need_file(values)
    for scrubbed, revealed in itertools.zip_longest(read_lines(path), read_lines(values)):
        if scrubbed is None or revealed is None:
            longer, shorter = (path, values) if revealed is None else (values, path)
            number = (scrubbed or revealed)[0]
            text = f"{shorter} ends before this line; the two files must have as many lines"
            yield Problem(f"{longer}:{number}", "", text)
            return
        yield _join(scrubbed[0], path, scrubbed[1], values, revealed[1])


def _join(number: int, path: Path, scrubbed: Any, values: Path, revealed: Any) -> Conversation | Problem:
    place, other = f"{path}:{number}", f"{values}:{number}"
    row, marks = _object(scrubbed, place), _object(revealed, other)
    for read in (row, marks):
        if isinstance(read, Problem):
            return read
    if "idx" in row and "idx" in marks and row["idx"] != marks["idx"]:
        return Problem(other, "idx", f"differs from the one at {place}; the two files must have the same order")
    text = "" if not set(row) - {"idx"} or row.get("messages", "") is None else row.get("messages")
    if not isinstance(text, str):
        return Problem(place, "messages", "expected one text in Llama-3's chat format; other lists are of format chat")
    if not text.strip():
        return Conversation(place, number, None, repairs=(EMPTY_ROW,))
    turns = _turns(Cell(place, "messages", text))
    if isinstance(turns, Problem):
        return turns
    repairs: RepairList = []
    known = _marks({key: value for key, value in marks.items() if key != "idx"}, repairs)
    repairs += [] if known else [NO_VALUES]
    return Conversation(place, number, turns, marks=known, repairs=tuple(repairs))


def _object(line: Any, place: str) -> Any:
    """Parse a line that may be blank."""
    if isinstance(line, Problem):
        return line
    row = parse_json(line.rstrip(), place) if line.strip() else {}
    row = {} if row in (None, []) else row
    return row if isinstance(row, dict | Problem) else Problem(place, "", "expected an object")


def _turns(messages: Cell) -> list[RawTurn] | Problem:
    """Cut a text in Llama-3's chat format into turns."""
    text = messages.value.strip().removeprefix("<|begin_of_text|>")
    turns, end = [], 0
    while match := _TURN.match(text, end):
        end = match.end()
        turns.append(RawTurn(messages._replace(value=match[1]), messages._replace(value=match[2])))
        if "<|" in match[2] and re.search(r"<\|\w+\|>", match[2]):
            return messages.problem(f"turn {len(turns)} holds another sign of Llama-3's chat format; a turn is cut off")
    rest = text[end:].replace("<|end_of_text|>", "").strip()
    if rest or not turns:
        return messages.problem("not in Llama-3's chat format (<|start_header_id|>user<|end_header_id|> … <|eot_id|>)")
    return turns


def _marks(row: dict[Any, Any], repairs: RepairList) -> dict[str, str]:
    """Return the readable values by mark (`NAME-1`); a key that is right goes before one that had to be repaired."""
    known: dict[str, str] = {}
    for key, value in sorted(_flat(row, repairs), key=lambda item: item[0] != _mark(item[0])):
        mark, text = _mark(key), _text(value, repairs)
        if mark is None:
            repairs.append(KEY_LEFT_OUT)
        elif text is not None:
            repairs += [KEY_REPAIRED] if key != mark else []
            repairs += [KEY_TWICE] if known.setdefault(mark, text) != text else []
    return known


def _flat(row: dict[Any, Any], repairs: RepairList) -> Iterator[tuple[str, Any]]:
    for key, value in row.items():
        if isinstance(value, dict):
            repairs.append(NESTED)
            yield from value.items()
        else:
            yield key, value


def _mark(key: str) -> str | None:
    """Read a key such as `NAME 1`, `[NAME-1]` or `name_1` as `NAME-1`."""
    match = _KEY.fullmatch(key.upper()) if len(key) <= _LONGEST_KEY else None
    return f"{re.sub(r'[^A-Z]+', '_', match[1])}-{int(match[2])}" if match else None


def _text(value: Any, repairs: RepairList) -> str | None:
    made = value
    if isinstance(made, list) and len(made) == 1:
        made = made[0]
    if isinstance(made, int | float) and not isinstance(made, bool):
        made = str(made)
    if made is None or made == [] or (isinstance(made, str) and not any(map(str.isalnum, made))):
        repairs.append(NO_VALUE)
        return None
    if not isinstance(made, str):
        repairs.append(OTHER_TYPE)
        return None
    repairs += [MADE_TEXT] if made is not value else []
    return made
