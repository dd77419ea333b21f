"""One process of a stage: how it ends on a signal or with its parent, and how it waits for another process."""

import atexit
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

SHELLS = ("sh", "bash", "dash", "zsh")
WATCH_SECONDS = 0.5
GRACE_SECONDS = 5.0


class Stopped(BaseException):
    """A signal has told this process to end; its argument is the signal's number."""


@contextmanager
def stoppable() -> Iterator[None]:
    """Turn SIGTERM and SIGINT into `Stopped`, so that half-written files are removed.

    A second signal ends the process at once. If a library swallows the exception, the process ends after
    `GRACE_SECONDS`, or with the block.
    """
    signals, received = (signal.SIGTERM, signal.SIGINT), []

    def stop(number: int, _: Any) -> None:
        received.append(number)
        for each in signals:
            signal.signal(each, signal.SIG_DFL)
        end_after_grace(128 + number)
        raise Stopped(number)

    before = [signal.signal(each, stop) for each in signals]
    try:
        yield
        if received:
            raise Stopped(received[0])
    finally:
        for each, handler in zip(signals, before, strict=True):
            signal.signal(each, handler)
        # While libraries are taken down an exception is ignored: DVC would see a success and run the next stage.
        atexit.register(signal.signal, signal.SIGINT, signal.SIG_DFL)


def end_after_grace(code: int) -> None:
    """End this process with an exit code after `GRACE_SECONDS`, in which it may clean up."""
    timer = threading.Timer(GRACE_SECONDS, os._exit, [code])
    timer.daemon = True
    timer.start()


def end_with_parent() -> None:
    """End this process when DVC dies, so that no orphan trains beside its successor.

    DVC runs a stage through a shell. The shell lives on when DVC is killed, so the parent of a shell is watched too.
    DVC may also have died while libraries were loaded. A stage is in the process group of its DVC; a process that
    adopts orphans is in another group.
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
        end_after_grace(128 + signal.SIGTERM)  # during a long call into a library the signal is not handled
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file; wait while another process holds it. The system frees the lock of a process that died."""
    from filelock import FileLock, Timeout

    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        click.echo(f"{path}: another process runs the same work; waiting until it ends", err=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
