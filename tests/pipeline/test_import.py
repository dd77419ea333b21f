"""Own dialogues through the real stage: what it writes, and when DVC runs it again."""

import json
from pathlib import Path
from typing import Any

import yaml
from clone import Project, copy_project

from tightlip.files import read_jsonl
from tightlip.records import Dialogue

RAN = "Running stage 'make_dialogues'"


def conversations(count: int) -> str:
    """Chats, half of them with their values listed."""
    rows: list[dict[str, Any]] = []
    for number in range(count):
        turns = [("user", f"I am Anna Bell, number {number}."), ("assistant", "Hi Anna Bell!")]
        rows.append({"messages": [{"role": role, "content": text} for role, text in turns]})
        rows[-1] |= {"pii": [{"type": "NAME", "value": "Anna Bell"}]} if number % 2 else {}
    return "".join(json.dumps(row) + "\n" for row in rows)


def repro(project: Project) -> bool:
    """Whether DVC ran the stage."""
    return RAN in project.dvc("repro", "make_dialogues")


def test_a_changed_source_runs_the_import_again_and_an_unchanged_one_does_not(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "project")
    project.compose("smoke")
    assert repro(project)  # synthetic, with nothing to import
    params = yaml.safe_load((project.path / "params.yaml").read_text())
    params["dialogues"] = {"format": "chat", "path": "conversations/log.jsonl", "dev": 0.2, "test": 0.2}
    (project.path / "params.yaml").write_text(yaml.safe_dump(params))
    log = tmp_path / "log.jsonl"
    log.write_text(conversations(40))
    (project.path / "conversations/log.jsonl").symlink_to(log)
    assert repro(project)
    dialogues = read_jsonl(project.path / "data/dialogues.jsonl", Dialogue)
    assert [dialogue.id for dialogue in dialogues] == [f"log-{number}" for number in range(1, 41)]
    figures = json.loads((project.path / "metrics/dialogues.json").read_text())
    assert sum(figures["dialogues"].values()) == 40
    assert (figures["format"], figures["turns"], figures["truth"]) == ("chat", 80, {"given": 20, "proposed": 20})
    assert "Anna" not in json.dumps(figures)
    assert not repro(project)
    log.write_text(conversations(41))
    assert repro(project)
    assert len(read_jsonl(project.path / "data/dialogues.jsonl", Dialogue)) == 41
    assert not repro(project)
    # What is imported is personal: git must not see it.
    assert "log.jsonl" not in project.run("git", "status", "--porcelain", "-uall").stdout
