import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from tightlip.stage import stage_command

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a stage's function as its command in an empty project."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)

    def invoke(function: Callable[..., int], *args: str) -> Result:
        monkeypatch.setattr("sys.argv", ["/somewhere/stages/do_thing.py", *args])
        return CliRunner().invoke(stage_command(function), args)

    return invoke


def record(tmp_path: Path, name: str) -> dict[str, object]:
    loaded: dict[str, object] = json.loads((tmp_path / f"data/records/{name}.json").read_text())
    return loaded


# --- The command ---------------------------------------------------------------------------------------------------


def test_a_stage_writes_down_what_it_took(run: Run, tmp_path: Path) -> None:
    assert run(lambda: 7).exit_code == 0
    written = record(tmp_path, "do_thing")
    assert written["stage"] == "do_thing"
    assert written["rows"] == 7
    assert 0 <= float(str(written["seconds"])) < 60
    assert float(str(written["peak_memory_mb"])) > 1


def test_arguments_are_part_of_the_records_name(run: Run, tmp_path: Path) -> None:
    @click.argument("key")
    @click.option("--extended", is_flag=True)
    def function(key: str, extended: bool) -> int:
        return len(key) if extended else 0

    assert run(function, "abc", "--extended").exit_code == 0
    assert record(tmp_path, "do_thing@abc@--extended") == record(tmp_path, "do_thing@abc@--extended") | {
        "stage": "do_thing abc --extended",
        "rows": 3,
    }


def test_bad_input_is_one_line_and_exit_code_1_and_leaves_no_record(run: Run, tmp_path: Path) -> None:
    def function() -> int:
        raise ValueError("rows.jsonl:3: value: missing;\n  correct it")

    result = run(function)
    assert result.exit_code == 1
    assert result.stderr == "Error: rows.jsonl:3: value: missing; correct it\n"
    assert result.stdout == ""
    assert not (tmp_path / "data").exists()


def test_a_bug_keeps_its_traceback(run: Run, tmp_path: Path) -> None:
    def function() -> int:
        raise KeyError("bug")

    result = run(function)
    assert isinstance(result.exception, KeyError)
    assert not (tmp_path / "data").exists()


def test_the_help_of_a_stage_is_its_docstring(run: Run) -> None:
    def function() -> int:
        """Do the thing."""
        return 0

    assert "Do the thing." in run(function, "--help").output


def test_a_stage_is_a_process_that_ends_with_its_error(tmp_path: Path) -> None:
    script = tmp_path / "do_thing.py"
    script.write_text(
        "from tightlip.stage import stage_command\n"
        "@stage_command\ndef main():\n    raise ValueError('no rows')\nmain()\n"
    )
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", "Error: no rows\n")


# --- Keys ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "TOGETHER_API_KEY"):
        monkeypatch.setenv(name, "")  # so that it is put back after the test
        monkeypatch.delenv(name)


@pytest.mark.usefixtures("no_keys")
def test_keys_come_from_the_environment_or_from_the_projects_file(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("OPENAI_API_KEY=of-the-file\nTOGETHER_API_KEY=of-the-file\n")
    monkeypatch.setenv("TOGETHER_API_KEY", "of-the-environment")
    seen: list[str] = []
    assert run(lambda: seen.extend([os.environ["OPENAI_API_KEY"], os.environ["TOGETHER_API_KEY"]]) or 1).exit_code == 0
    assert seen == ["of-the-file", "of-the-environment"]


@pytest.mark.usefixtures("no_keys")
def test_an_experiment_in_a_temporary_folder_finds_the_projects_keys(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("OPENAI_API_KEY=of-the-project\n")
    (tmp_path / "temporary").mkdir()
    monkeypatch.chdir(tmp_path / "temporary")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    seen: list[str] = []
    assert run(lambda: seen.append(os.environ["OPENAI_API_KEY"]) or 1).exit_code == 0
    assert seen == ["of-the-project"]


# --- Parent and child ----------------------------------------------------------------------------------------------

CHILD = (
    "import os, time; from tightlip.process import end_with_parent; end_with_parent(); print(os.getpid(), flush=True); "
)
LATE = (
    "import os, time; print(os.getpid(), flush=True); time.sleep(1); from tightlip.process import end_with_parent; "
    "end_with_parent(); "
)
PARENT = """
import shlex, subprocess, sys
code = {child!r} + "time.sleep(60)"
command = [sys.executable, "-c", code]
if {shell}:
    command = ["sh", "-c", shlex.join(command) + "; true"]
child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
print(child.stdout.readline(), flush=True)
sys.stdin.read()
"""


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def orphaned(tmp_path: Path, shell: bool = False, child: str = CHILD, **variables: str) -> tuple[int, bool]:
    """Kill the parent of a stage, or of its shell; return the stage's pid and whether it ended within five seconds."""
    environment = {name: value for name, value in os.environ.items() if name != "DVC_ROOT"} | variables
    code = PARENT.format(child=child, shell=shell)
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=environment, cwd=tmp_path, start_new_session=True,
    ) as parent:  # fmt: skip
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert alive(pid)
        parent.kill()
    deadline = time.monotonic() + (5 if variables else 1)
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return pid, not alive(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("shell", [False, True])
def test_a_stage_under_dvc_ends_when_dvc_dies(tmp_path: Path, shell: bool) -> None:
    pid, ended = orphaned(tmp_path, shell, DVC_ROOT=str(tmp_path))
    assert ended, pid


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("shell", [False, True])
def test_a_stage_ends_when_dvc_died_while_libraries_were_loaded(tmp_path: Path, shell: bool) -> None:
    pid, ended = orphaned(tmp_path, shell, LATE, DVC_ROOT=str(tmp_path), DVC_STAGE="do_thing")
    assert ended, pid


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_stage_run_by_hand_may_outlive_its_shell(tmp_path: Path) -> None:
    pid, ended = orphaned(tmp_path)
    assert not ended
    os.kill(pid, signal.SIGTERM)
