"""What the tests of the importers share: short files in, dialogues out."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tightlip.dialogues.importers.importing import Imported, Shares, import_dialogues, read_conversations
from tightlip.pii.spans import Span
from tightlip.records import Dialogue

SHARES = Shares(0.25, 0.25, seed=0)
SECRET = "Marigold"
ANNA = [{"type": "NAME", "value": "Anna Bell"}]


def detect(texts: Sequence[str]) -> list[list[Span]]:
    """Find Oslo, as a stand-in for the detectors."""
    return [
        [Span("GPE", text.index("Oslo"), text.index("Oslo") + 4, "Oslo")] if "Oslo" in text else [] for text in texts
    ]


def messages(*turns: str) -> list[dict[str, Any]]:
    """Messages in OpenAI's format, from `user: …`."""
    return [dict(zip(("role", "content"), turn.split(": ", 1), strict=True)) for turn in turns]


def chat(*turns: str, **more: Any) -> dict[str, Any]:
    return {"messages": messages(*turns), **more}


def lines(*rows: Any) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def read(path: Path, format_: str = "chat", count: int | None = None, **more: Any) -> list[Imported]:
    options = {"values": "", "revision": None, "split": "", "columns": {}} | more
    conversations = read_conversations(format_, str(path), **options)
    return list(import_dialogues(conversations, str(path), SHARES, count, detect))


def good(made: Sequence[Imported]) -> list[Dialogue]:
    """All dialogues, where nothing stands against any."""
    assert problems(made) == []
    return [each.dialogue for each in made if each.dialogue]


def problems(made: Sequence[Imported]) -> list[str]:
    """All problems, without the folder of the tests."""
    found = [str(problem) for each in made for problem in each.problems]
    assert not any(SECRET in text for text in found)
    return [re.sub(r"/[^:]*/", "", text) for text in found]


def repairs(made: Sequence[Imported]) -> dict[str, int]:
    return dict(sum((Counter(each.repairs) for each in made), Counter[str]()))


def said(dialogue: Dialogue) -> list[str]:
    return [f"{turn.role}: {turn.content}" for turn in dialogue.turns]


def marked(dialogue: Dialogue) -> list[tuple[int, str, str]]:
    """Turn, type and value of every entity; its span is checked by the record itself."""
    return [(number, each.type, each.value) for number, turn in enumerate(dialogue.turns) for each in turn.entities]
