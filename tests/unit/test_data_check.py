import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from imported import ANNA, SECRET, chat, lines, messages
from small_project import params

from tightlip.cli import main
from tightlip.dialogues import check as checking
from tightlip.pii.detector import Detector


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with its parameters, and a detector that finds nothing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(Detector, "find", lambda self, texts: [[] for _ in texts])
    write_params(tmp_path)
    return tmp_path


def write_params(root: Path, **dialogues: Any) -> None:
    changed = params() | {"dialogues": dialogues or params()["dialogues"]}
    (root / "params.yaml").write_text(yaml.safe_dump(changed))


def check(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["data", "check", *arguments])


def row(result: Result, name: str) -> list[str]:
    """The figures beside a name."""
    (found,) = [line for line in result.stdout.splitlines() if line.strip().startswith(name)]
    return found.strip().removeprefix(name).split()


def many(count: int, **more: Any) -> str:
    return lines(*(chat(f"user: {n}, I am Anna Bell.", "assistant: Hi Anna Bell!", **more) for n in range(count)))


def test_a_good_file_is_described_in_counts_without_a_value(project: Path) -> None:
    text = many(40, pii=ANNA) + lines(chat("assistant: Hi.", "user: a", "assistant: b")) + "\n"
    (project / "log.jsonl").write_text(text)
    result = check("log.jsonl")
    assert result.exit_code == 0, result.output
    assert "log.jsonl: format chat (guessed)" in result.stdout
    counts = [int(figure) for figure in row(result, "dialogues")]
    assert counts[3] == sum(counts[:3]) == 41
    # 40 dialogues have a value in the assistant's turn; the last has none.
    assert sum(map(int, row(result, "samples to expect")[:3])) == 40
    assert row(result, "turns ") == ["84"]
    assert row(result, "NAME") == ["80"]
    assert "given for 40 dialogues, proposed for 1 by detectors (en_core_web_sm and patterns)" in result.stdout
    assert row(result, "greetings given a first user turn") == ["1"]
    assert row(result, "blank lines left out") == ["1"]
    assert "Anna" not in result.output


def test_all_problems_are_listed_and_the_exit_code_is_1(project: Path) -> None:
    text = many(40, pii=ANNA) + lines(7, chat(f"tool: {SECRET}")) + many(1, pii=[{"type": "NAME", "value": SECRET}])
    (project / "log.jsonl").write_text(text)
    result = check("log.jsonl")
    assert result.exit_code == 1
    for problem in (
        "log.jsonl:41: expected an object, a dialogue",
        "log.jsonl:42: messages.0.role: messages of tools (tool) cannot be kept; leave the dialogue out",
        "log.jsonl:43: pii.0.value: occurs in no turn; write it as it stands there, or take it out",
    ):
        assert problem in result.stdout.splitlines()
    assert result.stderr.splitlines()[-1] == "Error: 3 problems; make_dialogues stops at the first"
    assert SECRET not in result.output


def test_problems_beyond_the_limit_are_counted(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "MOST", 5)
    (project / "log.jsonl").write_text(many(40, pii=ANNA) + "7\n" * 12)
    result = check("log.jsonl")
    assert result.stdout.count("expected an object") == 5
    assert "… and 7 problems more" in result.stdout
    assert "Error: 12 problems" in result.stderr


def test_an_empty_split_is_a_problem(project: Path) -> None:
    (project / "log.jsonl").write_text(many(1, pii=ANNA))
    result = check("log.jsonl")
    assert result.exit_code == 1
    assert "log.jsonl: 1 dialogues leave none for " in result.stdout


@pytest.mark.parametrize(
    ("name", "text", "options", "guessed"),
    [
        ("a.json", json.dumps([{"conversations": [{"from": "human", "value": "a"}]}]), (), "sharegpt"),
        ("a.jsonl", "\n" + lines({"messages": messages("user: a")}), (), "chat"),
        ("a.jsonl", lines({"messages": "<|begin"}), ("--values", "a.jsonl"), "challenge"),
        ("a.csv", "q,a\n1,2\n", ("--column", "prompt=q", "--column", "response=a"), "table"),
    ],
)
def test_the_format_is_guessed_and_said(
    project: Path, name: str, text: str, options: tuple[str, ...], guessed: str
) -> None:
    (project / name).write_text(text)
    assert f"{name}: format {guessed} (guessed)" in check(name, *options).stdout


def test_a_folder_is_a_dataset(project: Path) -> None:
    (project / "chats").mkdir()
    (project / "chats/train.jsonl").write_text(many(40))
    result = check("chats", "--column", "messages=messages")
    assert result.exit_code == 0, result.output
    assert "chats: format dataset (guessed)" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("none.jsonl",), "none.jsonl: no such file; correct its path"),
        (("x.jsonl",), "x.jsonl: no format fits the first record; name it with --format"),
        (("x.jsonl", "--format", "challenge"), "x.jsonl: values is required for the format challenge; see"),
        (("x.jsonl", "--format", "table"), "x.jsonl: columns is required for the format table; see"),
        (("x.jsonl", "--format", "chat", "--split", "a"), "x.jsonl: split means nothing to the format chat"),
        (("x.jsonl", "--format", "table", "--column", "role=a"), "x.jsonl: columns: name conversation, role"),
        (("x.jsonl", "--column", "role"), "--column role: expected KIND=NAME, such as role=who"),
        (("--split", "a"), "split: name the FILE too, or set it in params.yaml"),
    ],
)  # fmt: skip
def test_what_cannot_be_checked_is_one_line_with_the_remedy(
    project: Path, arguments: tuple[str, ...], error: str
) -> None:
    (project / "x.jsonl").write_text('{"a": 1}\n')
    result = check(*arguments)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: {error}")
    assert result.stderr.count("\n") == 1


def test_without_a_file_it_checks_what_params_name(project: Path) -> None:
    result = check()
    assert result.exit_code == 0, result.output
    assert "format synthetic (as params.yaml says)" in result.stdout
    assert row(result, "dialogues") == ["6", "2", "2", "10"]
    (project / "conversations").mkdir()
    (project / "conversations/a.jsonl").write_text(many(40, pii=ANNA))
    write_params(project, format="chat", path="conversations/a.jsonl", dev=0.3, test=0.3)
    result = check()
    assert result.exit_code == 0, result.output
    assert "conversations/a.jsonl: format chat (as params.yaml says)" in result.stdout


def test_help_gives_an_example_and_needs_no_project(project: Path) -> None:
    (project / "params.yaml").unlink()
    result = check("--help")
    assert result.exit_code == 0
    assert "tightlip data check conversations/chat.jsonl" in result.stdout
