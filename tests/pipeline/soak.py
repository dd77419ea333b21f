"""Kills the smoke pipeline at random moments until it has come to its end, and compares it with an undisturbed one.

`make soak KILLS=50 SEED=0`. Every kill is one of `KINDS`. After each, all processes must be gone within seconds, and
what lies under its final name must be whole: the same bytes as in the undisturbed run. At the end all files must be
there; a pipeline that ends before the last kill is followed by another one.
"""

import argparse
import hashlib
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import yaml
from clone import Project, copy_project

FOLDERS = ("models", "data", "adapters", "metrics")
TARGETS: tuple[tuple[str, ...], ...] = ((), ("evidence/dvc.yaml",))
KINDS = {
    "kill -9 of dvc": ("dvc", signal.SIGKILL),
    "kill -9 of the stage": ("stage", signal.SIGKILL),
    "SIGTERM to dvc": ("dvc", signal.SIGTERM),
    "SIGTERM to the stage": ("stage", signal.SIGTERM),
    "SIGINT to the stage": ("stage", signal.SIGINT),
    "SIGINT to all (Ctrl-C)": ("all", signal.SIGINT),
    "SIGTERM to all": ("all", signal.SIGTERM),
}
AGAIN_SECONDS, END_SECONDS = 8, 30  # libraries are loaded for up to ten seconds, and nobody listens meanwhile
LONGEST_SECONDS = 12
BAR = re.compile(r"[\r\n] *\d+%\|[^|]*\| (\d+)/(\d+) \[")  # of the trainer, which has no title
NAME = re.compile(r"Running stage '([^']+)'")


@dataclass(frozen=True)
class Kill:
    """What was killed, in which stage, and what that cost.

    Attributes:
        seconds: after DVC's start.
        repeated: training steps to be taken again; None outside trainings.
        torn: files of DVC itself that the kill before had left half-written.
        again: how often the signal had to be sent again.
    """

    kind: str
    stage: str
    seconds: float
    repeated: int | None
    torn: int
    again: int


def contents(project: Project) -> dict[str, str]:
    """Hashes of all outputs, but of what is being written and of the records of time and memory."""
    paths = [path for folder in FOLDERS for path in (project.path / folder).rglob("*")]
    paths += project.path.glob("report*.html")
    return {
        path.relative_to(project.path).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
        if path.is_file() and "records" not in path.parts and path.name != ".gitignore" and ".tmp" not in str(path)
    }


def processes(session: int) -> list[psutil.Process]:
    """Processes of a session that are not dead."""
    found = []
    for process in psutil.process_iter(["status"]):
        try:
            if os.getsid(process.pid) == session and process.info["status"] != psutil.STATUS_ZOMBIE:
                found.append(process)
        except ProcessLookupError:
            continue
    return found


def kill(kind: str, dvc: "subprocess.Popen[bytes]") -> None:
    """Send the signal; where no stage runs, DVC gets it."""
    target, number = KINDS[kind]
    with suppress(ProcessLookupError, psutil.NoSuchProcess):  # it has just ended by itself
        if target == "all":
            os.killpg(dvc.pid, number)
            return
        stages = [process for process in processes(dvc.pid) if process.pid != dvc.pid]
        running = [process for process in stages if process.name().startswith("python")]
        os.kill(running[0].pid if target == "stage" and running else dvc.pid, number)


def moments(project: Project, rng: random.Random, log: Path) -> Iterator[bool]:
    """Yield, every few milliseconds, whether it is time.

    Up to two stages are let through; in the next one it is time after random seconds, or when it has kept something in
    scratch so often.
    """
    through, seconds, progress = rng.choice([0, 0, 1, 2]), rng.uniform(0, LONGEST_SECONDS), rng.randint(1, 4)
    by_progress = rng.random() < 0.5

    def kept() -> set[str]:
        return {str(path) for path in (project.path / ".scratch").rglob("*") if path.suffix not in (".lock", ".tmp")}

    while through and len(NAME.findall(log.read_text(errors="replace"))) <= through:
        time.sleep(0.02)
        yield False
    start, seen, before = time.monotonic(), 0, kept()
    while True:
        time.sleep(0.02)
        after = kept()
        seen, before = seen + (len(after - before) > 0), after
        yield seen >= progress if by_progress else time.monotonic() - start > seconds


def repeated_steps(project: Project, stage: str, printed: str) -> int | None:
    """Steps of a training that its progress bar shows beyond the newest checkpoint."""
    name, _, key = stage.partition("@")
    trainings = {
        "tune_challenge": "tune_challenge", "train_orpo": f"train_orpo/{key}_*",
        "train_baselines": f"train_orpo/{key}_*",
    }  # fmt: skip
    bars = [(int(total), int(step)) for step, total in BAR.findall(printed)]
    if name not in trainings or not bars:
        return None
    longest = max(total for total, _ in bars)  # the others are of evaluations
    taken = [step for total, step in bars if total == longest][-1]
    made = (project.path / ".scratch").glob(f"{trainings[name]}/*/checkpoint-*")
    newest = max(made, key=lambda path: path.stat().st_mtime, default=None)
    return max(0, taken - (int(newest.name.rpartition("-")[2]) if newest else 0))


def end(kind: str, dvc: "subprocess.Popen[bytes]") -> int:
    """Kill, and wait until nothing is left of it.

    Python loses a signal while it loads or takes down libraries, and so may DVC; who pressed Ctrl-C does so again.

    Returns:
        How often the signal had to be sent again.
    """
    again = 0
    kill(kind, dvc)
    while dvc.poll() is None:
        try:
            dvc.wait(AGAIN_SECONDS)
        except subprocess.TimeoutExpired:
            again += 1
            assert again < 4, f"{kind}: DVC is still there"
            kill(kind, dvc)
    ended = time.monotonic()
    while left := processes(dvc.pid):
        assert time.monotonic() - ended < END_SECONDS, f"{kind}: orphans {left}"
        time.sleep(0.05)
    return again


def run_once(project: Project, target: Sequence[str], rng: random.Random, log: Path) -> Kill | None:
    """Start DVC and kill it; None if it came to its end before."""
    repaired = project.python("-m", "tightlip.repair")
    assert repaired.returncode == 0, repaired.stderr
    kind, start = rng.choice(list(KINDS)), time.monotonic()
    with log.open("wb") as out:
        dvc = subprocess.Popen(
            [sys.executable, "-m", "dvc", "repro", *target], cwd=project.path, env=project.environment,
            stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    for due in moments(project, rng, log):
        if dvc.poll() is not None:
            printed = log.read_text(errors="replace")
            assert dvc.returncode == 0, printed[-3000:]
            return None
        if due:
            break
    seconds = time.monotonic() - start
    again = end(kind, dvc)
    printed = log.read_text(errors="replace")
    stage = ["before the first", *NAME.findall(printed)][-1]
    return Kill(kind, stage, seconds, repeated_steps(project, stage, printed.rpartition("Running stage")[2]),
                repaired.stdout.count("repaired"), again)  # fmt: skip


def differences(project: Project, expected: dict[str, str]) -> list[str]:
    """Files under a final name that are not those of the undisturbed run."""
    return [name for name, hash_ in contents(project).items() if expected.get(name) != hash_]


def soak(
    reference: Project, folder: Path, kills: int, seed: int, tell: Callable[[str], object],
    targets: Sequence[Sequence[str]] = TARGETS,
) -> list[Kill]:  # fmt: skip
    """Kill copies of the pipeline until it was done so often, and check each at every kill and at its end.

    Args:
        reference: a project that ran undisturbed.
        folder: for the copies.
        kills: how many; 0 leaves one copy to its end.
        seed: of moments and kinds.
        tell: called with a line per kill.
        targets: what DVC is asked for, one after the other.
    """
    rng, expected = random.Random(seed), contents(reference)  # noqa: S311
    done: list[Kill] = []
    while True:
        (folder / f"copy_{len(done)}").mkdir()
        project = copy_project(folder / f"copy_{len(done)}")
        project.compose("smoke")
        (project.path / "data").mkdir(exist_ok=True)
        shutil.copy(reference.path / "data/secret.txt", project.path / "data")
        for target in targets:
            while len(done) < kills:
                killed = run_once(project, target, rng, folder / "dvc.log")
                if killed is None:
                    break
                done.append(killed)
                tell(f"{len(done):3d}  {killed.kind:24s} {killed.seconds:5.1f} s  {killed.stage}  {killed.repeated}")
                assert differences(project, expected) == [], killed
            assert project.python("-m", "tightlip.repair").returncode == 0
            project.dvc("repro", *target)
        check_end(project, reference, expected, targets)
        if len(done) >= kills:
            return done


def check_end(project: Project, reference: Project, expected: dict[str, str], targets: Sequence[Sequence[str]]) -> None:
    """Compare a pipeline that has come to its end with the undisturbed one."""
    found = contents(project)
    if tuple(targets) == TARGETS:
        assert found.keys() == expected.keys()
        assert published(project) == published(reference)
        for name in ("dvc.lock", "evidence/dvc.lock"):
            locks = [yaml.safe_load((each.path / name).read_text()) for each in (project, reference)]
            assert locks[0] == locks[1], name
    assert differences(project, expected) == []
    left = [path for folder in (*FOLDERS, ".scratch") for path in (project.path / folder).rglob(".*.tmp")]
    assert left == []


def published(project: Project) -> Counter[tuple[str, str]]:
    """MLflow's runs and models, by name and status."""
    with sqlite3.connect(project.path / "mlflow.db") as database:
        runs = database.execute("SELECT name, status FROM runs").fetchall()
        models = database.execute("SELECT name, version FROM model_versions").fetchall()
    database.close()
    assert all(status == "FINISHED" for _, status in runs)
    return Counter((str(name), str(state)) for name, state in [*runs, *models])


def table(kills: Sequence[Kill]) -> str:
    """Kills by kind and stage, and how much training they cost."""
    kinds, stages = (Counter(getattr(each, name) for each in kills) for name in ("kind", "stage"))
    repeated = [each.repeated for each in kills if each.repeated is not None]
    lines = [f"{count:4d}  {name}" for counter in (kinds, stages) for name, count in [*counter.most_common(), ("", 0)]]
    lines = [line if line.strip() != "0" else "" for line in lines]
    return "\n".join([*lines, f"{len(repeated)} in a training; steps repeated: {repeated or 'none'}",
                      f"{sum(each.torn for each in kills)} files of DVC mended, "
                      f"{sum(each.again for each in kills)} signals sent again"])  # fmt: skip


def main() -> None:
    """Make the undisturbed run and kill others."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    wanted = parser.parse_args()

    def tell(line: str) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="tightlip-soak-") as folder:
        (Path(folder) / "reference").mkdir()
        reference = copy_project(Path(folder) / "reference")
        reference.compose("smoke")
        for target in TARGETS:
            reference.dvc("repro", *target)
        tell(f"undisturbed: {time.monotonic() - start:.0f} s")
        kills = soak(reference, Path(folder), wanted.kills, wanted.seed, tell)
    tell(f"\n{table(kills)}\n{len(kills)} kills, {time.monotonic() - start:.0f} s: the same files as undisturbed")


if __name__ == "__main__":
    main()
