import json
from pathlib import Path
from typing import Any

import pytest
from imported import SECRET, good, lines, marked, problems, read, repairs, said

from tightlip.dialogues.importers import challenge
from tightlip.dialogues.importers.importing import Imported


def llama(*turns: str, end: str = "<|eot_id|>") -> str:
    """A conversation in Llama-3's chat format, from `user: …`."""
    cut = [turn.split(": ", 1) for turn in turns]
    return "<|begin_of_text|>" + "".join(f"<|start_header_id|>{a}<|end_header_id|>\n\n{b}{end}" for a, b in cut)


def imported(folder: Path, scrubbed: str | list[Any], values: str | list[Any]) -> list[Imported]:
    for name, rows in (("scrubbed", scrubbed), ("values", values)):
        (folder / f"{name}.jsonl").write_text(rows if isinstance(rows, str) else lines(*rows), encoding="utf-8")
    return read(folder / "scrubbed.jsonl", "challenge", values=str(folder / "values.jsonl"))


def revealed(folder: Path, text: str, values: Any) -> tuple[list[str], list[tuple[int, str, str]], dict[str, int]]:
    """What the assistant says to `Hi.`, its values, and what was repaired."""
    made = imported(folder, [{"idx": 0, "messages": llama("user: Hi.", f"assistant: {text}")}], [values])
    (dialogue,) = good(made)
    assert dialogue.truth == "given"
    return said(dialogue), marked(dialogue), repairs(made)


def test_values_take_the_place_of_their_marks(tmp_path: Path) -> None:
    text = llama("system: Help.", "user: I am [NAME-1].", "assistant: Hi [NAME-1][LOC-2], [NAME-10]!")
    values = {"NAME-1": "Anna Bell", "NAME-10": "Bo", "LOC-2": " Oslo "}
    made = imported(tmp_path, [{"idx": 7, "messages": text}], [values])
    (dialogue,) = good(made)
    assert said(dialogue) == ["system: Help.", "user: I am Anna Bell.", "assistant: Hi Anna BellOslo, Bo!"]
    assert marked(dialogue) == [
        (1, "NAME", "Anna Bell"),
        (2, "NAME", "Anna Bell"),
        (2, "LOC", "Oslo"),
        (2, "NAME", "Bo"),
    ]
    assert repairs(made) == {}


def test_the_last_turn_may_be_open_and_roles_are_repaired_as_in_other_formats(tmp_path: Path) -> None:
    text = llama("assistant: Hi", "user: a", "user: b", "assistant: c").removesuffix("<|eot_id|>")
    (dialogue,) = good(imported(tmp_path, [{"messages": text}], [{"NAME-1": "x"}]))
    assert said(dialogue) == ["user: Hello.", "assistant: Hi", "user: a\nb", "assistant: c"]


@pytest.mark.parametrize("key", ["NAME 1", "[NAME-1]", "name_1", "NAME1", " Name - 1 ", "NAME-01", "**NAME-1**"])
def test_a_malformed_key_is_repaired_and_counted(tmp_path: Path, key: str) -> None:
    turns, values, repaired = revealed(tmp_path, "[NAME-1]", {key: "Anna"})
    assert (turns[1], values) == ("assistant: Anna", [(1, "NAME", "Anna")])
    assert repaired == {challenge.KEY_REPAIRED: 1}


def test_types_of_two_words_are_read_in_every_form(tmp_path: Path) -> None:
    text = "[MED_NUM-1] [VEHICLE_ID-2] [MED_NUM-3]"
    turns, values, _ = revealed(tmp_path, text, {"MED_NUM-1": "A1", "vehicle id 2": "B2", "MED-NUM-3": "C3"})
    assert turns[1] == "assistant: A1 B2 C3"
    assert [kind for _, kind, _ in values] == ["MED_NUM", "VEHICLE_ID", "MED_NUM"]


@pytest.mark.parametrize(
    ("values", "shown", "repaired"),
    [
        ({"NAME-1": 42}, "42", {challenge.MADE_TEXT: 1}),
        ({"NAME-1": ["Anna"]}, "Anna", {challenge.MADE_TEXT: 1}),
        ({"NAME": {"NAME-1": "Anna"}}, "Anna", {challenge.NESTED: 1}),
        ({"NAME-1": ["Anna", "Bo"]}, None, {challenge.OTHER_TYPE: 1, challenge.NO_VALUES: 1}),
        ({"NAME-1": True}, None, {challenge.OTHER_TYPE: 1, challenge.NO_VALUES: 1}),
        ({"NAME-1": ""}, None, {challenge.NO_VALUE: 1, challenge.NO_VALUES: 1}),
        ({"NAME-1": None}, None, {challenge.NO_VALUE: 1, challenge.NO_VALUES: 1}),
        ({"the name": "Anna"}, None, {challenge.KEY_LEFT_OUT: 1, challenge.NO_VALUES: 1}),
        ({"N" * 100_000 + "-1": "Anna"}, None, {challenge.KEY_LEFT_OUT: 1, challenge.NO_VALUES: 1}),
        ({}, None, {challenge.NO_VALUES: 1}),
        (None, None, {challenge.NO_VALUES: 1}),
        ({"LOC-1": "Oslo"}, None, {"values whose mark does not occur": 1}),
        ({"name 1": "Bo", "NAME-1": "Anna"}, "Anna", {challenge.KEY_REPAIRED: 1, challenge.KEY_TWICE: 1}),
        ({"name 1": "Anna", "NAME-1": "Anna", "idx": 0}, "Anna", {challenge.KEY_REPAIRED: 1}),
    ],
)  # fmt: skip
def test_known_defects_are_counted_and_a_mark_without_a_value_stays(
    tmp_path: Path, values: Any, shown: str | None, repaired: dict[str, int]
) -> None:
    turns, found, counted = revealed(tmp_path, "Hi [NAME-1].", values)
    assert turns[1] == f"assistant: Hi {shown or '[NAME-1]'}."
    assert found == ([(1, "NAME", shown)] if shown else [])
    assert counted == repaired | ({} if shown else {"marks without a value left as they are": 1})


def test_empty_rows_are_counted(tmp_path: Path) -> None:
    row = json.dumps({"messages": llama("user: a", "assistant: [LOC-1]")}) + "\n"
    made = imported(tmp_path, "\n{}\n" + row + '{"idx": 3, "messages": " "}\n', '{}\n\n{"LOC-1": "Oslo"}\n[]\n')
    assert [dialogue.id for dialogue in good(made)] == ["scrubbed-3"]
    assert repairs(made) == {challenge.EMPTY_ROW: 3}


@pytest.mark.parametrize(
    ("scrubbed", "values", "problem"),
    [
        (["x"], [{}], "scrubbed.jsonl:1: expected an object"),
        ([{"text": SECRET}], [{}], "scrubbed.jsonl:1: messages: expected one text in Llama-3's chat format"),
        ([{"messages": [SECRET]}], [{}], "scrubbed.jsonl:1: messages: expected one text in Llama-3's chat format"),
        ([{"messages": SECRET}], [{}], "scrubbed.jsonl:1: messages: not in Llama-3's chat format"),
        ([{"messages": llama("user: a", "assistant: b") + SECRET}], [{}], "scrubbed.jsonl:1: messages: not in"),
        ([{"messages": llama("user: a", "assistant: b", end="")}], [{}], "scrubbed.jsonl:1: messages: turn 1 holds"),
        ([{"messages": llama("user: a", "ipython: b")}], [{}], "scrubbed.jsonl:1: messages: messages of tools"),
        ([{"messages": llama("user: a", "assistant: b")}], [[SECRET]], "values.jsonl:1: expected an object"),
        ([{"messages": llama("user: a", "assistant: b")}], "{oops\n", "values.jsonl:1: not JSON"),
        ([{"idx": 3, "messages": llama("user: a", "assistant: b")}], [{"idx": 4}], "values.jsonl:1: idx: differs from"),
    ],
)  # fmt: skip
def test_everything_else_is_a_problem(tmp_path: Path, scrubbed: Any, values: Any, problem: str) -> None:
    (found,) = problems(imported(tmp_path, scrubbed, values))
    assert found.startswith(problem)


@pytest.mark.parametrize(("rows", "values", "longer"), [(2, 3, "values"), (3, 2, "scrubbed")])
def test_files_of_different_length_are_a_problem(tmp_path: Path, rows: int, values: int, longer: str) -> None:
    row = {"messages": llama("user: a", "assistant: b")}
    made = imported(tmp_path, [row] * rows, [{}] * values)
    (found,) = problems(made)
    assert found.endswith("ends before this line; the two files must have as many lines")
    assert str(made[-1].problems[0].place) == f"{tmp_path}/{longer}.jsonl:3"
