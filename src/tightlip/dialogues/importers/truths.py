"""Where the personal values of a dialogue stand: values that its source lists, or that stand for marks."""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence

from tightlip.dialogues.importers.reading import parse_json
from tightlip.dialogues.importers.source import Cell, Problem, ReadingLog
from tightlip.dialogues.importers.turns import Text, clean
from tightlip.pii.matching import UNSPACED
from tightlip.records import Entity, Turn

LEFT_MARK = "marks without a value left as they are"
UNUSED = "values whose mark does not occur"
OUTSIDE = "values in turns that were left out"

MOST_VALUES = 1000
"""Values that one dialogue may list; each is looked for in all of its text."""

TYPES = {
    "PERSON": "NAME", "PER": "NAME", "GPE": "LOC", "FAC": "LOC", "LOCATION": "LOC", "ORGANIZATION": "ORG",
    "ORGANISATION": "ORG", "EMAIL_ADDRESS": "EMAIL", "PHONE_NUMBER": "PHONE", "CREDIT_CARD": "CARD",
    "IBAN_CODE": "IBAN", "US_SSN": "SSN", "IP_ADDRESS": "IP",
}  # fmt: skip
"""What detectors and other people's lists call the types that have a name of ours; others keep theirs."""

_TYPE = re.compile(r"[A-Z][A-Z0-9_]{0,31}")
_MARK = re.compile(r"\[([A-Z]+(?:_[A-Z]+)*)-([0-9]{1,4})\]")
_UNSPACED = re.compile(f"[{UNSPACED}]")


def annotate_listed(
    texts: Sequence[Text], lists: Sequence[Cell], all_texts: Sequence[str], log: ReadingLog
) -> list[Turn]:
    """Find the values that a source lists in all turns.

    An occurrence counts unless it is part of a longer word. Where values overlap, the longest counts.

    Args:
        texts: the turns.
        lists: lists of `{"type": …, "value": …}`, of the dialogue and of its messages.
        all_texts: all turns, with those that were left out.
        log: takes a problem for a value that occurs nowhere.
    """
    types: dict[str, str] = {}
    for cell, type_, value in _listed(lists, log):
        mark = any(next(_occurrences(text.content, value), None) is not None for text in texts)
        if mark:
            types.setdefault(value, type_)
        elif any(next(_occurrences(text, value), None) is not None for text in all_texts):
            log.repairs[OUTSIDE] += 1
        else:
            log.problems.append(cell.problem("occurs in no turn; write it as it stands there, or take it out"))
    longest_first = sorted(types, key=lambda value: (-len(value), value))
    return [_located(text, {value: types[value] for value in longest_first}) for text in texts]


def _listed(lists: Sequence[Cell], log: ReadingLog) -> Iterator[tuple[Cell, str, str]]:
    """Yield place, type and value of every entry that can be read; the others go to the log."""
    for cell in lists:
        entries = parse_json(cell.value, cell.place, cell.field) if isinstance(cell.value, str) else cell.value
        if isinstance(entries, Problem):
            log.problems.append(entries)
        elif not isinstance(entries, list) or len(entries) > MOST_VALUES:
            expected = f'expected a list of {{"type": …, "value": …}}, of at most {MOST_VALUES}'
            log.problems.append(cell.problem(expected))
        else:
            for number, entry in enumerate(entries):
                at = cell._replace(field=f"{cell.field}.{number}")
                yield from _entry(at, entry, log)


def _entry(cell: Cell, entry: object, log: ReadingLog) -> Iterator[tuple[Cell, str, str]]:
    type_, value = (entry.get(name) if isinstance(entry, dict) else None for name in ("type", "value"))
    name = our_type(type_) if isinstance(type_, str) else ""
    text = clean(value).strip() if isinstance(value, str) else ""
    if not _TYPE.fullmatch(name):
        log.problems.append(_below(cell, "type").problem("expected the kind of value in capitals, such as NAME"))
    elif not any(map(str.isalnum, text)):
        log.problems.append(_below(cell, "value").problem("expected a text with a letter or a digit"))
    else:
        yield _below(cell, "value"), name, text


def _below(cell: Cell, field: str) -> Cell:
    return cell._replace(field=f"{cell.field}.{field}")


def our_type(label: str) -> str:
    """Return our name of a kind of value."""
    name = re.sub(r"[\s-]+", "_", label.strip().upper())
    return TYPES.get(name, name)


def _located(text: Text, types: Mapping[str, str]) -> Turn:
    taken, entities = bytearray(len(text.content)), []
    for value, type_ in types.items():
        for start in _occurrences(text.content, value):
            end = start + len(value)
            if 1 not in taken[start:end]:
                taken[start:end] = b"\x01" * len(value)
                entities.append(Entity(type=type_, value=value, start=start, end=end))
    return Turn(role=text.role, content=text.content, entities=tuple(sorted(entities, key=lambda each: each.start)))


def _occurrences(text: str, value: str) -> Iterator[int]:
    """Yield where a value starts, but not inside a longer word or number."""
    start = text.find(value)
    while start >= 0:
        end = start + len(value)
        before, after = text[start - 1 : start] if start else "", text[end : end + 1]
        if not _one_word(before, value[0]) and not _one_word(value[-1], after):
            yield start
            start = text.find(value, end)
        else:
            start = text.find(value, start + 1)


def _one_word(left: str, right: str) -> bool:
    if not left or not right or not _letter(left) or not _letter(right):
        return False
    return unicodedata.category(right)[0] == "M" or not (_UNSPACED.match(left) or _UNSPACED.match(right))


def _letter(char: str) -> bool:
    return char.isalnum() or unicodedata.category(char)[0] == "M"


def annotate_marked(texts: Sequence[Text], marks: Mapping[str, str], log: ReadingLog) -> list[Turn]:
    """Put the values in the place of their marks (`[NAME-1]`).

    Args:
        texts: the turns, scrubbed.
        marks: value by mark, `NAME-1`.
        log: takes the marks without a value, which stay, and the values without a mark.
    """
    used: set[str] = set()
    turns = [_filled(text, marks, used, log) for text in texts]
    log.repairs[UNUSED] += len(set(marks) - used)
    return turns


def _filled(text: Text, marks: Mapping[str, str], used: set[str], log: ReadingLog) -> Turn:
    content, entities, end = "", [], 0
    for mark in _MARK.finditer(text.content):
        name = f"{mark[1]}-{int(mark[2])}"
        if name not in marks:
            log.repairs[LEFT_MARK] += 1
            continue
        used.add(name)
        value = clean(marks[name]).strip()
        content += text.content[end : mark.start()]
        entities.append(Entity(type=our_type(mark[1]), value=value, start=len(content), end=len(content) + len(value)))
        content, end = content + value, mark.end()
    return Turn(role=text.role, content=content + text.content[end:], entities=tuple(entities))
