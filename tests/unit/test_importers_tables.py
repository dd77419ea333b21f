import csv
import json
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from imported import ANNA, SECRET, good, marked, messages, problems, read, said
from pyarrow import parquet

from tightlip.dialogues.importers import tables
from tightlip.dialogues.importers.importing import Imported

PER_TURN = {"conversation": "chat", "role": "who", "content": "text", "pii": "found"}
TURNS = [
    {"chat": "a", "who": "user", "text": "I am Anna Bell,\nfrom Oslo.", "found": json.dumps(ANNA)},
    {"chat": "a", "who": "assistant", "text": "Hi Anna Bell!", "found": ""},
    {"chat": "b", "who": "human", "text": "Oslo?", "found": ""},
    {"chat": "b", "who": "bot", "text": "Yes.", "found": ""},
]
TALK = {"prompt": "prompt", "response": "answer"}


def table(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix == ".parquet":
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
        return path
    with path.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, list(rows[0]), delimiter="\t" if path.suffix == ".tsv" else ",")
        writer.writeheader()
        writer.writerows(rows)
    return path


def of_text(path: Path, text: str | bytes, columns: dict[str, str] = TALK) -> list[Imported]:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read(path, "table", columns=columns)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.csv"


# --- CSV and parquet -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("end", "ids"),
    [("csv", ["log-2", "log-5"]), ("tsv", ["log-2", "log-5"]), ("parquet", ["log-1", "log-3"])],
)
def test_rows_of_turns_are_joined_by_conversation(tmp_path: Path, end: str, ids: list[str]) -> None:
    first, second = good(read(table(tmp_path / f"log.{end}", TURNS), "table", columns=PER_TURN))
    assert said(first) == ["user: I am Anna Bell,\nfrom Oslo.", "assistant: Hi Anna Bell!"]
    assert said(second) == ["user: Oslo?", "assistant: Yes."]
    assert [marked(first), marked(second)] == [
        [(0, "NAME", "Anna Bell"), (1, "NAME", "Anna Bell")],
        [(0, "LOC", "Oslo")],
    ]
    assert (first.truth, second.truth) == ("given", "proposed")
    assert [first.id, second.id] == ids  # the first value of the CSV file takes two lines


@pytest.mark.parametrize("end", ["csv", "parquet"])
def test_a_column_of_messages_holds_a_list_or_json(tmp_path: Path, end: str) -> None:
    talk = messages("user: I am Anna Bell.", "assistant: Hi!")
    kept: Any = json.dumps(talk) if end == "csv" else talk
    path = table(tmp_path / f"log.{end}", [{"talk": kept, "pii": json.dumps(ANNA), "more": 1}])
    (dialogue,) = good(read(path, "table", columns={"messages": "talk", "pii": "pii"}))
    assert said(dialogue) == ["user: I am Anna Bell.", "assistant: Hi!"]
    assert marked(dialogue) == [(0, "NAME", "Anna Bell")]


@pytest.mark.parametrize("end", ["csv", "parquet"])
def test_a_row_may_be_one_exchange(tmp_path: Path, end: str) -> None:
    path = table(tmp_path / f"log.{end}", [{"prompt": "Who?", "answer": "Anna Bell.", "values": json.dumps(ANNA)}])
    (dialogue,) = good(read(path, "table", columns={**TALK, "pii": "values"}))
    assert said(dialogue) == ["user: Who?", "assistant: Anna Bell."]
    assert marked(dialogue) == [(1, "NAME", "Anna Bell")]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("prompt,text\na,b\n", ["log.csv:2: answer: no such column; correct dialogues.columns"]),
        (
            "prompt,answer\na\n\nb,c\nd,e,f\n",
            ["log.csv:2: 1 columns, where the header has 2", "log.csv:5: 3 columns, where the header has 2"],
        ),
        ("prompt,prompt\na,b\n", ["log.csv:1: two columns have the same name"]),
        ('prompt,answer\na,b\nc,"d\n', ["log.csv:3: not CSV, or a quote is left open; nothing beyond it was read"]),
        ('prompt,answer\na,"b"c\n', ["log.csv:2: not CSV, or a quote is left open; nothing beyond it was read"]),
        (b"prompt,answer\na,\xff\nc,d\n", ["log.csv:2: not UTF-8; convert the file; nothing beyond it was read"]),
    ],
)
def test_a_broken_csv_is_named_by_its_line(path: Path, text: str | bytes, found: list[str]) -> None:
    assert problems(of_text(path, text)) == found


def test_a_field_that_never_ends_is_an_error_in_bounded_memory(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "LIMIT", 1000)
    limit = csv.field_size_limit()
    (found,) = problems(of_text(path, 'prompt,answer\na,"' + 500 * "b\n"))
    assert found.startswith("log.csv:5")
    assert found.endswith("not CSV, or a quote is left open; nothing beyond it was read")
    assert csv.field_size_limit() == limit


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ("a,user,x\n,user,x\n", "log.csv:3: chat: empty; every row must say"),
        (
            "a,user,x\na,bot,x\nb,user,x\nb,bot,y\na,user,x\n",
            "log.csv:6: chat: the conversation was there before; sort",
        ),
        (
            f"a,user,x\na,{SECRET},x\n",
            "log.csv:3: who: no role; expected system, user or assistant, or such as human and gpt, customer and agent",
        ),
        ("a,user,x\na,tool,x\n", "log.csv:3: who: messages of tools (tool)"),
    ],
)
def test_rows_of_turns_that_do_not_fit_are_named(path: Path, rows: str, problem: str) -> None:
    columns = {"conversation": "chat", "role": "who", "content": "text"}
    (found,) = problems(of_text(path, "chat,who,text\n" + rows, columns))
    assert found.startswith(problem)


def test_a_conversation_that_never_ends_is_an_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "LIMIT", 1000)
    columns = {"conversation": "chat", "role": "who", "content": "text"}
    (found,) = problems(of_text(path, "chat,who,text\n" + 500 * "a,user,xxxxx\n", columns))
    assert found.startswith("log.csv:102: chat: the conversation is longer than")  # ten characters a row


def test_messages_in_a_cell_that_are_no_json_are_named(path: Path) -> None:
    (found,) = problems(of_text(path, f"talk\n[{SECRET}\n", {"messages": "talk"}))
    assert found.startswith("log.csv:2: talk: not JSON")


def test_what_is_no_parquet_is_named(tmp_path: Path) -> None:
    assert problems(of_text(tmp_path / "log.parquet", SECRET)) == [
        "log.parquet, row 1: not to be read as parquet (ArrowInvalid)"
    ]
    path = table(tmp_path / "log.parquet", [{"prompt": "a"}])
    assert problems(read(path, "table", columns=TALK)) == [
        "log.parquet: answer: no such column; correct dialogues.columns"
    ]


# --- Datasets ------------------------------------------------------------------------------------------------------

ROWS = [{"talk": messages(f"user: Question {n}?", "assistant: In Oslo."), "more": n} for n in range(3)]
COLUMNS = {"messages": "talk"}


def saved(folder: Path, kind: str) -> str:
    from datasets import Dataset, DatasetDict

    data = Dataset.from_list(ROWS)
    if kind == "dataset":
        data.save_to_disk(folder)
    elif kind == "splits":
        DatasetDict({"train": data, "test": data.select([0])}).save_to_disk(folder)
    elif kind == "parquet":
        folder.mkdir()
        data.to_parquet(folder / "train.parquet")
    else:
        folder.mkdir()
        (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return str(folder)


@pytest.mark.parametrize("kind", ["dataset", "splits", "parquet", "jsonl"])
def test_a_dataset_in_a_folder_is_read_without_a_network(tmp_path: Path, kind: str) -> None:
    folder = saved(tmp_path / "my data", kind)
    found = good(read(Path(folder), "dataset", columns=COLUMNS))
    assert [said(each)[0] for each in found] == [f"user: Question {n}?" for n in range(3)]
    assert [each.id for each in found] == ["my-data-1", "my-data-2", "my-data-3"]
    assert {each.truth for each in found} == {"proposed"}


def test_a_split_and_a_column_that_are_not_there_are_named(tmp_path: Path) -> None:
    splits = Path(saved(tmp_path / "splits", "splits"))
    assert len(good(read(splits, "dataset", split="test", columns=COLUMNS))) == 1
    (found,) = problems(read(splits, "dataset", split="dev", columns=COLUMNS))
    assert found.startswith("splits: no such dataset or split: ")
    (found,) = problems(read(splits, "dataset", columns={"messages": "text"}))
    assert found == "splits: text: no such column; correct dialogues.columns"
    single = Path(saved(tmp_path / "single", "dataset"))
    (found,) = problems(read(single, "dataset", split="train", columns=COLUMNS))
    assert found.startswith("single: no such dataset or split: it has no splits; correct path")
    (found,) = problems(read(tmp_path / "none", "dataset", columns=COLUMNS))
    assert found.startswith("none: no such dataset or split: no such folder; correct path")


def test_a_column_that_files_without_a_schema_lack_is_named(tmp_path: Path) -> None:
    folder = Path(saved(tmp_path / "files", "jsonl"))
    assert "text: no such column" in problems(read(folder, "dataset", columns={"messages": "text"}))[0]


def test_a_broken_row_of_a_dataset_is_named_without_its_content(tmp_path: Path) -> None:
    folder = Path(saved(tmp_path / "files", "jsonl"))
    (folder / "train.jsonl").write_text(json.dumps(ROWS[0]) + f'\n{{"talk": {SECRET}\n')
    assert "cannot be read (" in problems(read(folder, "dataset", columns=COLUMNS))[0]


def test_a_dataset_of_the_hub_is_streamed_at_its_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    asked = []

    def load_dataset(name: str, **options: Any) -> Any:
        asked.append((name, options))
        return datasets.Dataset.from_list(ROWS).to_iterable_dataset()

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    found = good(read(Path("org/chats"), "dataset", revision="abc", split="dev", columns=COLUMNS))
    assert asked == [("org/chats", {"revision": "abc", "split": "dev", "streaming": True})]
    assert [each.id for each in found] == ["chats-1", "chats-2", "chats-3"]


def test_a_hub_that_does_not_answer_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    def load_dataset(name: str, **options: Any) -> Any:
        raise ConnectionError("offline\nmore")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    (found,) = problems(read(Path("org/chats"), "dataset", revision="abc", columns=COLUMNS))
    assert found == "org/chats: no such dataset or split: offline; correct path, revision and split"


def test_messages_that_a_dataset_keeps_by_column_are_turned_into_rows() -> None:
    from tightlip.dialogues.importers.messages import conversation
    from tightlip.dialogues.importers.source import Cell, Conversation

    by_column = {"role": ["user", "assistant"], "content": ["a", "b"]}
    made = conversation(1, Cell("x", "talk", by_column), Cell("x", "pii", None))
    assert isinstance(made, Conversation)
    assert [(turn.role.value, turn.content.value) for turn in made.turns or ()] == [("user", "a"), ("assistant", "b")]
