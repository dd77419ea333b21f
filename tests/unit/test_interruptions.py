"""What a stage does when it is told to end, when another is at the same work, and when the machine lacks something."""

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tightlip.failures import remedy
from tightlip.files import atomic_dir, atomic_file, sweep
from tightlip.process import locked
from tightlip.repair import keep_locks, repair

STAGE = """
import time
from pathlib import Path
from tightlip import process, stage
from tightlip.files import atomic_dir, atomic_file, write_text
process.GRACE_SECONDS = 0.5

@stage.stage_command
def main():
{body}
    return 1

main()
"""
WRITING = """
    with atomic_dir("models/ch") as out, atomic_file("data/rows.jsonl") as rows:
        (out / "weights").write_bytes(b"0" * 1000)
        rows.write_text("half a li")
        print("writing", flush=True)
        time.sleep(60)
"""
DEAF = """
    print("writing", flush=True)
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass
"""
SWALLOWING = """
    print("writing", flush=True)
    try:
        time.sleep(60)
    except BaseException:
        pass
"""
ENDING = """
    import atexit
    atexit.register(lambda: (print("ending", flush=True), time.sleep(60)))
"""
Start = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a stage with this body in an empty project, by hand."""
    running: list[subprocess.Popen[str]] = []

    def popen(body: str) -> "subprocess.Popen[str]":
        script = tmp_path / "do_thing.py"
        script.write_text(STAGE.format(body=body))
        environment = {name: value for name, value in os.environ.items() if name != "DVC_ROOT"}
        running.append(subprocess.Popen(
            [sys.executable, script], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True,
        ))  # fmt: skip
        return running[-1]

    yield popen
    for process in running:
        process.kill()
        process.communicate()


def line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def files(folder: Path) -> set[str]:
    """All files but the script and the locks."""
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return {name for name in found if not name.startswith((".scratch/locks", "do_thing.py"))}


# --- Told to end ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_stage_with_one_line_and_leaves_nothing_half_written(
    start: Start, tmp_path: Path, number: signal.Signals
) -> None:
    stage = start(WRITING)
    assert line(stage) == "writing"
    stage.send_signal(number)
    _, told = stage.communicate(timeout=10)
    assert stage.returncode == 128 + number
    assert told == f"Stopped by {number.name}; run it again to go on\n"
    assert files(tmp_path) == set()


def test_a_stage_that_does_not_listen_is_ended_all_the_same(start: Start) -> None:
    stage = start(DEAF)
    assert line(stage) == "writing"
    stage.terminate()
    assert stage.wait(timeout=10) == 128 + signal.SIGTERM


def test_a_signal_that_a_library_swallows_is_no_success(start: Start) -> None:
    stage = start(SWALLOWING)
    assert line(stage) == "writing"
    stage.send_signal(signal.SIGINT)
    _, told = stage.communicate(timeout=10)
    assert (stage.returncode, told) == (130, "Stopped by SIGINT; run it again to go on\n")


def test_a_signal_while_libraries_are_taken_down_is_no_success(start: Start) -> None:
    stage = start(ENDING)
    assert line(stage) == "ending"
    stage.send_signal(signal.SIGINT)
    assert stage.wait(timeout=10) == -signal.SIGINT


def test_what_a_killed_stage_left_half_written_is_removed_by_the_next_one(start: Start, tmp_path: Path) -> None:
    stage = start(WRITING)
    assert line(stage) == "writing"
    with atomic_file(tmp_path / "data/other.jsonl") as mine:  # of a process that lives
        stage.kill()
        stage.communicate()
        assert len(files(tmp_path)) == 3
        following = start("    write_text('data/rows.jsonl', 'whole')")
        assert following.wait(timeout=20) == 0
        assert files(tmp_path) == {
            f"data/{mine.name}", "data/rows.jsonl", "data/records/do_thing.json"
        }  # fmt: skip


def test_a_stage_waits_for_an_orphan_at_the_same_work(start: Start) -> None:
    orphan = start(WRITING)
    assert line(orphan) == "writing"
    successor = start("    print('its turn', flush=True)")
    assert successor.stderr is not None
    assert "waiting until it ends" in successor.stderr.readline()
    assert successor.poll() is None
    orphan.kill()
    assert line(successor) == "its turn"
    assert successor.wait(timeout=20) == 0


# --- Files ---------------------------------------------------------------------------------------------------------


def test_a_directory_is_replaced_as_a_whole(tmp_path: Path) -> None:
    for name in ("old", "new"):
        with atomic_dir(tmp_path / "out") as out:
            (out / name).touch()
    assert files(tmp_path) == {"out/new"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_fails_leaves_the_former_directory_as_it_was(tmp_path: Path) -> None:
    with atomic_dir(tmp_path / "out") as out:
        (out / "old").touch()
    with pytest.raises(FileNotFoundError), atomic_dir(tmp_path / "out") as out:
        (out / "missing/new").touch()
    assert files(tmp_path) == {"out/old"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_only_temporary_files_of_dead_processes_are_swept(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    dead, alive = f".a.json.{ended.pid}.x1_y.tmp", f".a.json.{os.getppid()}.x1_y.tmp"
    for name in (dead, alive, ".gitignore", ".notes.tmp", "a.json"):
        (tmp_path / name).touch()
    (tmp_path / f".models.{ended.pid}.z.tmp/epoch_1").mkdir(parents=True)
    sweep([".*.tmp"], tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {alive, ".gitignore", ".notes.tmp", "a.json"}


def test_git_and_dvc_ignore_what_is_being_written(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    with atomic_file(tmp_path / "x.json") as temporary:
        assert temporary.name.startswith(".x.json.")
        assert temporary.name.endswith(".tmp")
    for name in (".gitignore", ".dvcignore"):
        assert ".*.tmp" in (root / name).read_text().splitlines()


# --- DVC's own files -----------------------------------------------------------------------------------------------

LOCK = "schema: '2.0'\nstages:\n  a:\n    cmd: x\n"


@pytest.mark.parametrize("torn", ["", "schema: '2.0'\n", LOCK[:-4], "schema: '2.0'\nstages:\n  a: [\n"])
def test_a_torn_lock_file_is_replaced_by_the_copy(tmp_path: Path, torn: str) -> None:
    (tmp_path / "dvc.lock").write_text(LOCK)
    keep_locks(tmp_path)
    (tmp_path / "dvc.lock").write_text(torn)
    assert repair(tmp_path) == ["dvc.lock"]
    assert (tmp_path / "dvc.lock").read_text() == LOCK


def test_whole_lock_files_stay_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "dvc.lock").write_text(LOCK)
    keep_locks(tmp_path)
    other = LOCK.replace("cmd: x", "cmd: y")
    (tmp_path / "dvc.lock").write_text(other)
    (tmp_path / ".dvc/tmp").mkdir(parents=True)
    (tmp_path / ".dvc/tmp/rwlock").write_text("{}")
    assert repair(tmp_path) == []
    assert (tmp_path / "dvc.lock").read_text() == other
    assert (tmp_path / ".dvc/tmp/rwlock").is_file()


def test_a_torn_rwlock_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".dvc/tmp").mkdir(parents=True)
    (tmp_path / ".dvc/tmp/rwlock").write_text('{"read": {')
    assert repair(tmp_path) == ["rwlock"]
    assert not (tmp_path / ".dvc/tmp/rwlock").exists()
    assert repair(tmp_path) == []


# --- What the machine lacks ----------------------------------------------------------------------------------------


class OutOfMemoryError(RuntimeError):
    """As torch has it."""


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "x", "models/ch"), "models/ch: the disk is full ("),
        (OSError(errno.EDQUOT, "x"), ".: the disk is full ("),
        (RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"), "disk is full"),
        (RuntimeError("[enforce fail] PytorchStreamWriter failed writing file data/1: file write failed"), "disk is"),
        (OSError(errno.EFBIG, "x", "a"), "a: the file is larger than the system allows; raise `ulimit -f`"),
        (PermissionError(errno.EACCES, "x", "data"), "data: no permission"),
        (OSError(errno.EROFS, "x", "data"), "data: no permission"),
        (OSError(errno.EMFILE, "x", "a"), "a: too many open files; raise the limit"),
        (MemoryError(), "out of memory; lower the batch_size"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "out of memory; lower the batch_size"),
        (OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."), "out of memory; lower the batch_size"),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."), "out of memory"),
    ],
)
def test_what_the_machine_lacks_is_said_in_one_line_with_a_remedy(error: Exception, said: str) -> None:
    line = remedy(error)
    assert line is not None
    assert said in line
    assert "\n" not in line
    assert "run it again" in line


@pytest.mark.parametrize("error", [KeyError("bug"), RuntimeError("shapes differ"), FileNotFoundError(2, "x", "y")])
def test_other_errors_are_bugs(error: Exception) -> None:
    assert remedy(error) is None


def test_a_file_that_grows_too_large_is_one_line_and_nothing_is_left(tmp_path: Path, start: Start) -> None:
    limit = "    import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, 2**16))\n"
    stage = start(limit + "    write_text('data/rows.jsonl', 'x' * 2**20)")
    _, told = stage.communicate(timeout=20)
    assert stage.returncode == 1
    assert told.count("\n") == 1
    assert told.startswith("Error: ")
    assert "raise `ulimit -f`" in told
    assert files(tmp_path) == set()


def test_too_little_memory_is_one_line(start: Start) -> None:
    limit = "    import resource, torch; resource.setrlimit(resource.RLIMIT_AS, (2**34, 2**34))\n"
    stage = start(limit + "    torch.zeros(2**34)")
    _, told = stage.communicate(timeout=60)
    assert stage.returncode == 1
    assert told.count("\n") == 1
    assert "Error: out of memory; lower the batch_size" in told


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte."""
    path = tmp_path / "disk"
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(path)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("may not mount a small disk here")
    yield path
    subprocess.run(["umount", str(path)], check=True)


BODIES = {
    "text": "write_text('data/rows.jsonl', 'x' * 2**21)",
    "tensors": "import torch, safetensors.torch\n    with atomic_dir('models/ch') as out:\n"
    "        safetensors.torch.save_file({'a': torch.zeros(2**20)}, out / 'a.safetensors')",
    "optimizer": "import torch\n    with atomic_dir('models/ch') as out:\n"
    "        torch.save({'a': torch.zeros(2**20)}, out / 'optimizer.pt')",
    "table": "import pandas\n    with atomic_file('metrics/a.csv') as path:\n"
    "        pandas.DataFrame({'a': range(2**19)}).to_csv(path)",
}


@pytest.mark.parametrize("kind", list(BODIES))
def test_a_full_disk_is_one_line_and_nothing_is_left_under_its_name(small_disk: Path, kind: str) -> None:
    script = small_disk / "do_thing.py"
    script.write_text(STAGE.format(body=f"    {BODIES[kind]}"))
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True, cwd=small_disk, check=False)
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert "the disk is full (" in ended.stderr
    assert "dvc gc" in ended.stderr
    assert files(small_disk) == set()
    with locked(small_disk / ".scratch/locks/do_thing.py"):  # free again
        assert time.monotonic() > 0
