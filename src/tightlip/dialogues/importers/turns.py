"""What real logs look like, made what chat templates take: an optional system turn, then user and assistant in turn.

What can be repaired without a change of what was said is repaired and counted; all else is a problem.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from tightlip.dialogues.importers.source import Cell, RawTurn, ReadingLog
from tightlip.records import Role

GREETING = "Hello."

CONTROLS = "turns with control characters, removed"
PARTS = "turns in several parts, joined"
STRIPPED = "turns with white space around them, stripped"
EMPTY = "empty turns left out"
SYSTEM = "system turns joined with the first"
JOINED = "turns of one role in a row joined"
GREETED = "greetings given a first user turn"
UNANSWERED = "last user turns without an answer left out"
NO_ANSWER = "dialogues without an answer left out"

_ROLES: dict[str, Role] = {
    "system": "system", "developer": "system", "user": "user", "human": "user", "prompter": "user",
    "assistant": "assistant", "gpt": "assistant", "chatgpt": "assistant", "bot": "assistant", "model": "assistant",
    "ai": "assistant", "customer": "user", "client": "user", "visitor": "user", "caller": "user", "agent": "assistant",
    "operator": "assistant", "support": "assistant", "representative": "assistant",
}  # fmt: skip
_TOOLS = {
    "tool", "function", "ipython", "observation", "function_call", "function_response", "tool_call", "tool_response",
    "tool_result",
}  # fmt: skip
_MEDIA = {"image_url", "image", "input_image", "input_audio", "audio", "video", "video_url", "file", "input_file"}

# Control characters but tab and line breaks, byte order marks, lone surrogates and what is no character.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufeff\ufffe\uffff\ud800-\udfff]")


class Text(NamedTuple):
    """A turn without its personal values."""

    role: Role
    content: str


def clean(text: str) -> str:
    """Remove what is no text; a control character that separates words leaves a space."""
    return _CONTROL.sub(lambda match: " " if match[0].isspace() else "", text)


def read_turns(turns: Sequence[RawTurn], log: ReadingLog) -> list[Text]:
    """Return the turns as clean text under our names of the roles."""
    return [text for text in (_read(turn, log) for turn in turns) if text]


def repair(read: Sequence[Text], log: ReadingLog) -> list[Text]:
    """Return the turns of a dialogue, or none if it has no answer; repairs go to the log."""
    filled = [text for text in read if text.content]
    log.repairs[EMPTY] += len(read) - len(filled)
    system = [text.content for text in filled if text.role == "system"]
    log.repairs[SYSTEM] += max(len(system) - 1, 0)
    body = _answered(_joined([text for text in filled if text.role != "system"], log), log)
    if not body:
        log.repairs[NO_ANSWER] += 1
        return []
    return [*([Text("system", "\n".join(system))] if system else []), *body]


def _joined(texts: Sequence[Text], log: ReadingLog) -> list[Text]:
    body: list[Text] = []
    for text in texts:
        if body and body[-1].role == text.role:
            body[-1] = Text(text.role, f"{body[-1].content}\n{text.content}")
            log.repairs[JOINED] += 1
        else:
            body.append(text)
    return body


def _answered(body: list[Text], log: ReadingLog) -> list[Text]:
    if body and body[-1].role == "user":
        body = body[:-1]
        log.repairs[UNANSWERED] += bool(body)  # else the whole dialogue is
    if body and body[0].role == "assistant":
        body = [Text("user", GREETING), *body]
        log.repairs[GREETED] += 1
    return body


def _read(turn: RawTurn, log: ReadingLog) -> Text | None:
    role, content = _role(turn.role, log), _content(turn.content, log)
    if role is None or content is None:
        return None
    cleaned = clean(content)
    log.repairs[CONTROLS] += cleaned != content
    stripped = cleaned.strip()
    log.repairs[STRIPPED] += stripped != cleaned and bool(stripped)
    return Text(role, stripped)


def _role(cell: Cell, log: ReadingLog) -> Role | None:
    name = cell.value.strip().casefold() if isinstance(cell.value, str) else ""
    if name in _TOOLS:
        log.problems.append(cell.problem(f"messages of tools ({name}) cannot be kept; leave the dialogue out"))
    elif name not in _ROLES:
        log.problems.append(
            cell.problem("no role; expected system, user or assistant, or such as human and gpt, customer and agent")
        )
    return _ROLES.get(name)


def _content(cell: Cell, log: ReadingLog) -> str | None:
    value = "" if cell.value is None else cell.value
    if isinstance(value, list):
        return _parts(cell, value, log)
    if isinstance(value, str):
        return value
    log.problems.append(cell.problem("expected text, or a list of parts with text"))
    return None


def _parts(cell: Cell, parts: list[object], log: ReadingLog) -> str | None:
    texts = []
    for number, part in enumerate(parts):
        kind = part.get("type") if isinstance(part, dict) else None
        text = part.get("text") if isinstance(part, dict) else part
        if not isinstance(text, str) or kind not in (None, "text", "input_text", "output_text"):
            named = f" ({kind})" if isinstance(kind, str) and kind in _MEDIA else ""
            problem = f"a part that is no text{named} cannot be kept; leave the dialogue out"
            log.problems.append(cell._replace(field=f"{cell.field}.{number}").problem(problem))
            return None
        texts.append(text)
    log.repairs[PARTS] += len(texts) > 1
    return "\n".join(texts)
