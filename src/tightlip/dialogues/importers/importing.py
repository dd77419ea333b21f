"""From other people's conversations to dialogues: read, repair, find the personal values, split."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tightlip.dialogues.importers.challenge import read_challenge
from tightlip.dialogues.importers.messages import MESSAGES, read_chats
from tightlip.dialogues.importers.proposing import propose
from tightlip.dialogues.importers.source import Conversation, Problem, ReadingLog
from tightlip.dialogues.importers.tables import read_dataset, read_table
from tightlip.dialogues.importers.truths import annotate_listed, annotate_marked
from tightlip.dialogues.importers.turns import Text, read_turns, repair
from tightlip.pii.spans import FindSpans
from tightlip.records import Dialogue, Split, Turn

_BATCH = 30_000
"""Characters of the dialogues that detectors read together; spaCy takes 10 kB of memory for each."""


class Imported(NamedTuple):
    """What became of a conversation.

    Attributes:
        dialogue: None if it had no answer, or if something stands against it.
        repairs: how often what was repaired.
        problems: what stands against it.
    """

    dialogue: Dialogue | None = None
    repairs: Mapping[str, int] = {}
    problems: Sequence[Problem] = ()


class Shares(NamedTuple):
    """How dialogues are split: shares of dev and test, and the seed."""

    dev: float
    test: float
    seed: int


def read_conversations(
    format_: str, path: str, values: str, revision: str | None, split: str, columns: Mapping[str, str]
) -> Iterator[Conversation | Problem]:
    """Read conversations as their source has them.

    Args:
        format_: `chat`, `sharegpt`, `table`, `dataset` or `challenge`; all other arguments as in `params.Dialogues`.

    Raises:
        ValueError: no such file, or an empty one.
    """
    if format_ == "challenge":
        return read_challenge(Path(path), Path(values))
    if format_ == "table":
        return read_table(Path(path), columns)
    if format_ == "dataset":
        return read_dataset(path, revision, split, columns)
    return read_chats(Path(path), MESSAGES[format_])


def import_dialogues(
    conversations: Iterator[Conversation | Problem], source: str, shares: Shares, count: int | None, detect: FindSpans
) -> Iterator[Imported]:
    """Make dialogues of conversations, in their order.

    Args:
        conversations: from `read_conversations`.
        source: name of the source, in ids.
        shares: decide the split, by the content alone: equal dialogues are in one split, and stay there as a log grows.
        count: how many dialogues to take at most.
        detect: proposes the personal values where the source does not give them.
    """
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", Path(source).stem).strip("-.")[:40] or "dialogue"
    made = (
        Imported(problems=[each]) if isinstance(each, Problem) else _build(each, name, shares) for each in conversations
    )
    return _proposed(_first(made, count), detect)


def split_of(texts: Sequence[Text | Turn], shares: Shares) -> Split:
    """Decide the split of a dialogue by a hash of the seed and of what was said."""
    spoken = json.dumps([shares.seed, *([text.role, text.content] for text in texts)])
    place = int.from_bytes(hashlib.sha256(spoken.encode()).digest()[:8]) / 2**64
    if place < shares.test:
        return "test"
    return "dev" if place < shares.test + shares.dev else "train"


def _build(given: Conversation, name: str, shares: Shares) -> Imported:
    log = ReadingLog(Counter(given.repairs))
    turns = _turns(given, log) if given.turns is not None else []
    if not turns or log.problems:
        return Imported(None, +log.repairs, log.problems)
    truth = "proposed" if given.marks is None and given.pii is None else "given"
    dialogue = Dialogue(
        id=f"{name}-{given.number}", domain=name, split=split_of(turns, shares), turns=tuple(turns), truth=truth
    )
    return Imported(dialogue, +log.repairs)


def _turns(given: Conversation, log: ReadingLog) -> list[Turn]:
    spoken = read_turns(given.turns or (), log)
    if log.problems:
        return []
    repaired = repair(spoken, log)
    if given.marks is not None:
        return annotate_marked(repaired, given.marks, log) if repaired else []
    if given.pii is not None:
        return annotate_listed(repaired, given.pii, [text.content for text in spoken], log)
    return [Turn(role=text.role, content=text.content) for text in repaired]


def _first(made: Iterator[Imported], count: int | None) -> Iterator[Imported]:
    left = count
    for each in made:
        yield each
        if left is not None and each.dialogue is not None:
            left -= 1
            if not left:
                return


def _proposed(made: Iterator[Imported], detect: FindSpans) -> Iterator[Imported]:
    """Let detectors read several dialogues at once, never more than a batch of them in memory."""
    batch: list[Imported] = []
    size = 0
    for each in made:
        batch.append(each)
        size += sum(len(turn.content) for turn in each.dialogue.turns) if each.dialogue else 1000
        if size >= _BATCH:
            yield from _detected(batch, detect)
            batch, size = [], 0
    yield from _detected(batch, detect)


def _detected(batch: Sequence[Imported], detect: FindSpans) -> Iterator[Imported]:
    turns = [turn for each in batch if _open(each) for turn in each.dialogue.turns]  # type: ignore[union-attr]
    marked = iter(propose(turns, detect) if turns else [])
    for each in batch:
        if each.dialogue is None or not _open(each):
            yield each
            continue
        proposed = tuple(next(marked) for _ in each.dialogue.turns)
        yield each._replace(dialogue=each.dialogue.model_copy(update={"turns": proposed}))


def _open(each: Imported) -> bool:
    return each.dialogue is not None and each.dialogue.truth == "proposed"
