"""OpenAI's chat format and ShareGPT's: a list of messages per dialogue, with the personal values or without."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tightlip.dialogues.importers.reading import need_file, read_items
from tightlip.dialogues.importers.source import Cell, Conversation, Problem, RawTurn

BLANK_LINE = "blank lines left out"
MESSAGES = {"chat": "messages", "sharegpt": "conversations"}
"""Per format the field that holds the messages."""

_NAMES = (("role", "content"), ("from", "value"))


def read_chats(path: Path, field: str) -> Iterator[Conversation | Problem]:
    """Read a dialogue per line, or per item of a JSON array.

    Args:
        path: of the file.
        field: the one that holds the messages.
    """
    need_file(path)
    for number, place, record in read_items(path):
        if record is None:
            yield Conversation(place, number, None, repairs=(BLANK_LINE,))
        elif isinstance(record, Problem):
            yield record
        elif not isinstance(record, dict):
            yield Problem(place, "", "expected an object, a dialogue")
        else:
            read = conversation(number, Cell(place, field, record.get(field)), Cell(place, "pii", record.get("pii")))
            yield _with_system(read, Cell(place, "system", record.get("system")))


def conversation(number: int, messages: Cell, pii: Cell) -> Conversation | Problem:
    """Make a conversation of a list of messages and a list of personal values, or None for no such list."""
    if isinstance(messages.value, str):
        return messages.problem("expected a list of messages, not one text; the format challenge has that")
    given = _rows(messages.value)
    if not isinstance(given, list):
        return messages.problem("expected a list of messages")
    turns, lists = [], [pii] if pii.value is not None else []
    for index, message in enumerate(given):
        at = f"{messages.field}.{index}"
        if not isinstance(message, dict):
            return Problem(messages.place, at, "expected an object with role and content")
        for name in ("tool_calls", "function_call"):
            if message.get(name):
                return Problem(messages.place, f"{at}.{name}", "calls of tools cannot be kept; leave the dialogue out")
        role, content = next((names for names in _NAMES if names[0] in message), _NAMES[0])
        turns.append(RawTurn(
            Cell(messages.place, f"{at}.{role}", message.get(role)),
            Cell(messages.place, f"{at}.{content}", message.get(content)),
        ))  # fmt: skip
        if message.get("pii") is not None:
            lists.append(Cell(messages.place, f"{at}.pii", message["pii"]))
    return Conversation(messages.place, number, turns, lists or None)


def _with_system(read: Conversation | Problem, system: Cell) -> Conversation | Problem:
    """Put a system prompt that stands beside the messages before them."""
    if isinstance(read, Problem) or system.value is None:
        return read
    return read._replace(turns=[RawTurn(system._replace(value="system"), system), *(read.turns or ())])


def _rows(messages: Any) -> Any:
    """Turn columns into rows: some datasets keep a list of messages as a dict of lists."""
    if not isinstance(messages, Mapping) or not all(isinstance(column, list) for column in messages.values()):
        return messages
    if len({len(column) for column in messages.values()}) != 1:
        return messages
    return [dict(zip(messages, row, strict=True)) for row in zip(*messages.values(), strict=True)]
