"""The command of a stage: one-line errors, a record of time and memory, one process at a time."""

import functools
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from tightlip.cache import SCRATCH
from tightlip.failures import remedy
from tightlip.files import one_line, sweep, write_json
from tightlip.process import Stopped, end_with_parent, locked, stoppable
from tightlip.repair import keep_locks

OUTPUT_FOLDERS = ("models", "data", "adapters", "metrics")


def stage_command(function: Callable[..., int]) -> click.Command:
    """Make a click command of a stage.

    The function returns the number of rows it wrote. Seconds, rows and peak memory go to `data/records/<stage>.json`.
    A `ValueError`, and what a machine lacks (`failures`), become one line on stderr and exit code 1. A signal becomes
    one line and exit code 128 + its number.
    """

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> None:
        name = "@".join([Path(sys.argv[0]).stem, *sys.argv[1:]])
        end_with_parent()
        load_keys()
        try:
            with stoppable(), locked(Path(SCRATCH, "locks", f"{name}.lock")):
                sweep_temporary()
                keep_locks()
                start = time.monotonic()
                rows = function(*args, **kwargs)
                write_record(name, rows, time.monotonic() - start)
        except ValueError as error:
            raise click.ClickException(one_line(error)) from None
        except Stopped as stop:
            [number] = stop.args
            click.echo(f"Stopped by {signal.Signals(number).name}; run it again to go on", err=True)
            sys.exit(128 + number)
        except Exception as error:
            if line := remedy(error):
                raise click.ClickException(line) from None
            raise

    return click.command()(run)


def load_keys() -> None:
    """Take the keys in the project's `.env` into the environment; what the environment holds already stays.

    DVC's experiments run in folders without that file; DVC_ROOT is the path to the project.
    """
    from dotenv import load_dotenv

    load_dotenv(Path(os.environ.get("DVC_ROOT", "."), ".env"), override=False)


def write_record(name: str, rows: int, seconds: float) -> None:
    """Record the rows, the seconds and the peak resident memory in MB of a stage."""
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    write_json(
        Path("data/records", f"{name}.json"),
        {
            "stage": name.replace("@", " "), "rows": rows, "seconds": round(seconds, 1),
            "peak_memory_mb": round(peak_mb),
        },
    )  # fmt: skip


def sweep_temporary() -> None:
    """Remove half-written files of killed stages, beside outputs and in scratch."""
    sweep([".*.tmp", *(f"{folder}/**/.*.tmp" for folder in OUTPUT_FOLDERS)])
    sweep([f"{SCRATCH}/**/.*.tmp"], Path(os.environ.get("DVC_ROOT", ".")))
