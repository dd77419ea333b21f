"""Measuring: sides that take turns in one process for time, processes of their own for peak memory."""

import random
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import click

BASE = Path(__file__).parents[1] / "models/base"
REPETITIONS = 3

Seconds = dict[str, list[float]]


def need_base() -> None:
    """Check that the model is there.

    Raises:
        ClickException: it is not.
    """
    if not BASE.is_dir():
        raise click.ClickException("models/base is missing; run `dvc repro fetch_base`")


def alternate(
    sides: Mapping[str, Callable[[], object]], *, warm: bool = True, repetitions: int = REPETITIONS
) -> Seconds:
    """Seconds of every side in every repetition, after a first round that goes uncounted.

    The sides take turns, so that a change of the machine's speed hits all of them. A side that returns a float has
    measured itself.
    """
    if warm:
        for side in sides.values():
            side()
    seconds: Seconds = {name: [] for name in sides}
    for _ in range(repetitions):
        for name, side in sides.items():
            start = time.perf_counter()
            own = side()
            seconds[name].append(own if isinstance(own, float) else time.perf_counter() - start)
    return seconds


def ratio(seconds: Seconds, slow: str, fast: str) -> float:
    """Median over the repetitions of how many times longer one side takes."""
    return round(statistics.median(a / b for a, b in zip(seconds[slow], seconds[fast], strict=True)), 2)


def peak_memory_mb(side: str, *arguments: object) -> float:
    """Run one side in a process of its own and return its peak resident memory in MB.

    Args:
        side: `module:function`, called with the arguments as strings.
        arguments: of the function.
    """
    module, function = side.split(":")
    code = f"import sys, measure, {module}; {module}.{function}(*sys.argv[1:]); print(measure.peak_so_far_mb())"
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code, *map(str, arguments)], check=True, capture_output=True, text=True,
        cwd=Path(__file__).parent,
    )  # fmt: skip
    return float(done.stdout.splitlines()[-1])


def peak_so_far_mb() -> float:
    """Highest resident memory of this process up to now; `getrusage` would count its parent's before the exec."""
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(peak) / 1024


def random_ids(length: int, rng: random.Random) -> list[int]:
    """Token ids above the special ones."""
    return [rng.randrange(100, 40_000) for _ in range(length)]
