"""What every stage shares: one-line errors, a record of time and memory, an end when the parent dies."""

import functools
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from tightlip.files import write_json

SCRATCH = ".scratch"
SHELLS = ("sh", "bash", "dash", "zsh")
WATCH_SECONDS = 0.5


def stage_command(function: Callable[..., int]) -> click.Command:
    """Make a click command of a stage.

    The function returns the number of rows it wrote. Time, rows and peak memory go to `data/records/<stage>.json`;
    a `ValueError` becomes one line on stderr and exit code 1.
    """

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> None:
        end_with_parent()
        load_keys()
        start = time.monotonic()
        try:
            rows = function(*args, **kwargs)
        except ValueError as error:
            raise click.ClickException(" ".join(str(error).split())) from None
        record(" ".join([Path(sys.argv[0]).stem, *sys.argv[1:]]), rows, time.monotonic() - start)

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
        Path("data/records", f"{name.replace(' ', '@')}.json"),
        {"stage": name, "rows": rows, "seconds": round(seconds, 1), "peak_memory_mb": round(peak_mb)},
    )


def end_with_parent() -> None:
    """End this process when DVC dies, so that no orphan trains beside its successor.

    DVC runs a stage through a shell, which lives on when DVC is killed and waits for the stage: where the parent is a
    shell, its parent is watched too.
    """
    if "DVC_ROOT" not in os.environ:
        return
    import psutil

    parent = psutil.Process().parent()
    above = parent.parent() if parent and parent.name() in SHELLS else None
    watched = [process for process in (parent, above) if process]

    def alive(process: psutil.Process) -> bool:
        try:
            return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def watch() -> None:
        while all(map(alive, watched)):
            time.sleep(WATCH_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def scratch(stage: str, key: str) -> Path:
    """Directory that outlives a stage run: `$DVC_ROOT/.scratch/<stage>/<key>`."""
    path = Path(os.environ.get("DVC_ROOT", "."), SCRATCH, stage, key[:16])
    path.mkdir(parents=True, exist_ok=True)
    return path
