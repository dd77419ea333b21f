"""What every stage shares: one-line errors, a record of time and memory, one process at a time, an end when told."""

import atexit
import functools
import os
import resource
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import click

from tightlip.failures import remedy
from tightlip.files import one_line, sweep, write_json
from tightlip.repair import keep_locks

PACKAGE = Path(__file__).parent
SCRATCH, FINISHED = ".scratch", "finished"
WRITTEN = ("models", "data", "adapters", "metrics")
SHELLS = ("sh", "bash", "dash", "zsh")
WATCH_SECONDS = 0.5
GRACE_SECONDS = 5.0


class Stopped(BaseException):
    """A signal told this process to end."""


def stage_command(function: Callable[..., int]) -> click.Command:
    """Make a click command of a stage.

    The function returns the number of rows it wrote. Time, rows and peak memory go to `data/records/<stage>.json`;
    a `ValueError`, and what a machine lacks (`failures`), become one line on stderr and exit code 1, a signal one line
    and exit code 128 + its number.
    """

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> None:
        name = "@".join([Path(sys.argv[0]).stem, *sys.argv[1:]])
        end_with_parent()
        load_keys()
        try:
            with stoppable(), locked(Path(SCRATCH, "locks", f"{name}.lock")):
                sweep_leftovers()
                keep_locks()
                start = time.monotonic()
                rows = function(*args, **kwargs)
                record(name, rows, time.monotonic() - start)
        except ValueError as error:
            raise click.ClickException(one_line(error)) from None
        except Stopped as stop:
            [number] = stop.args
            click.echo(f"Stopped by {signal.Signals(number).name}; run it again to go on", err=True)
            sys.exit(128 + number)
        except Exception as error:
            if said := remedy(error):
                raise click.ClickException(said) from None
            raise

    return click.command()(run)


def load_keys() -> None:
    """Take the keys in the project's `.env` into the environment, which goes first where both have one.

    DVC's experiments run in folders without that file; DVC_ROOT leads them to the project.
    """
    from dotenv import load_dotenv

    load_dotenv(Path(os.environ.get("DVC_ROOT", "."), ".env"), override=False)


def record(name: str, rows: int, seconds: float) -> None:
    """Write down what a stage took: rows, seconds and peak resident memory in MB."""
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    write_json(
        Path("data/records", f"{name}.json"),
        {
            "stage": name.replace("@", " "), "rows": rows, "seconds": round(seconds, 1),
            "peak_memory_mb": round(peak_mb),
        },
    )  # fmt: skip


# --- Ending --------------------------------------------------------------------------------------------------------


@contextmanager
def stoppable() -> Iterator[None]:
    """Turn SIGTERM and SIGINT into `Stopped`, so that what is half-written is removed.

    A second signal ends the process at once. Should a library swallow the exception, time does, or the block's end.
    """
    signals, told = (signal.SIGTERM, signal.SIGINT), []

    def stop(number: int, _: Any) -> None:
        told.append(number)
        for each in signals:
            signal.signal(each, signal.SIG_DFL)
        end_at_last(128 + number)
        raise Stopped(number)

    before = [signal.signal(each, stop) for each in signals]
    try:
        yield
        if told:
            raise Stopped(told[0])
    finally:
        for each, handler in zip(signals, before, strict=True):
            signal.signal(each, handler)
        # While libraries are taken down an exception is ignored: DVC would see a success and run the next stage.
        atexit.register(signal.signal, signal.SIGINT, signal.SIG_DFL)


def end_at_last(code: int) -> None:
    """End this process when it has had its time to clean up."""
    timer = threading.Timer(GRACE_SECONDS, os._exit, [code])
    timer.daemon = True
    timer.start()


def end_with_parent() -> None:
    """End this process when DVC dies, so that no orphan trains beside its successor.

    DVC runs a stage through a shell, which lives on when DVC is killed and waits for the stage: where the parent is a
    shell, its parent is watched too. DVC may have died while libraries were loaded: its stages are of its process
    group, whoever adopts orphans is of another.
    """
    if "DVC_ROOT" not in os.environ:
        return
    import psutil

    parent = psutil.Process().parent()
    above = parent.parent() if parent and parent.name() in SHELLS else None
    watched = [process for process in (parent, above) if process]

    def alive(process: psutil.Process) -> bool:
        try:
            adopted = "DVC_STAGE" in os.environ and os.getpgid(process.pid) != os.getpgid(0)
            return process.is_running() and process.status() != psutil.STATUS_ZOMBIE and not adopted
        except (psutil.NoSuchProcess, ProcessLookupError):
            return False

    def watch() -> None:
        while all(map(alive, watched)):
            time.sleep(WATCH_SECONDS)
        end_at_last(128 + signal.SIGTERM)  # in the midst of a long call the signal is not heard
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


# --- Scratch -------------------------------------------------------------------------------------------------------


def scratch(stage: str, key: str) -> Path:
    """Directory that outlives a stage run: `$DVC_ROOT/.scratch/<stage>/<key>`."""
    path = Path(os.environ.get("DVC_ROOT", "."), SCRATCH, stage, key[:16])
    path.mkdir(parents=True, exist_ok=True)
    return path


@contextmanager
def training_dir(stage: str, key: str) -> Iterator[Path]:
    """Scratch of a training, for one process at a time.

    It is kept after its end, in case DVC is killed before it has noted that; the next training of the same name, once
    ended, removes it.

    Args:
        stage: name of the training.
        key: hash of all that decides it.
    """
    path = scratch(stage, key)
    with locked(path / "lock"):
        yield path
        (path / FINISHED).touch()
        for other in path.parent.iterdir():
            if other != path and (other / FINISHED).is_file():
                remove_unused(other)


def remove_unused(folder: Path) -> None:
    """Remove a training_dir, unless a process works there."""
    from filelock import FileLock, Timeout

    with suppress(Timeout), FileLock(folder / "lock", timeout=0):
        shutil.rmtree(folder)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file; wait for another process that does. The system frees the lock of a process that died."""
    from filelock import FileLock, Timeout

    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        click.echo(f"{path}: another process is at the same work; waiting for its end", err=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def sweep_leftovers() -> None:
    """Remove what killed stages left half-written, beside outputs and in scratch."""
    sweep([".*.tmp", *(f"{folder}/**/.*.tmp" for folder in WRITTEN)])
    sweep([f"{SCRATCH}/**/.*.tmp"], Path(os.environ.get("DVC_ROOT", ".")))


def code(*names: str) -> list[Path]:
    """Return modules and directories of this package, to be hashed with what else decides a result."""
    return [PACKAGE / name for name in names]
