"""`make bench`, second part: how the cost of a row and of a pair grows; writes metrics/sweep.csv and metrics/sweep.svg.

Times are medians of three repetitions. Models of other sizes than SmolLM2-135M have random weights.
"""

import copy
import functools
import os
import random
import statistics
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import click
import decoding
import matplotlib as mpl
import pandas as pd
import torch
from measure import BASE, alternate, need_base, random_ids
from orpo import Case, seconds_of, trainer
from transformers import AutoModelForCausalLM

from tightlip.cpu import use_grouped_attention
from tightlip.files import atomic_file
from tightlip.models.loading import load_model

METRICS = Path(__file__).parents[1] / "metrics"
SIZES = {"hidden_size": 576, "intermediate_size": 1536, "num_attention_heads": 9, "num_key_value_heads": 3}
"""Of SmolLM2-135M; other sizes are these by a factor, with as many layers."""


class Point(NamedTuple):
    """A measured point: which panel and curve it belongs to, its place on the axis, and what was measured."""

    panel: str
    curve: str
    x: float
    value: float


def batches() -> Iterator[Point]:
    """Decoding: a step's time per prompt."""
    for batch in (1, 2, 4, 8, 16, 32):
        positive, negative = decoding.prompts(batch)
        curves = {"guided": negative, "unguided": None}
        for curve, other in curves.items():
            seconds = _median(lambda: decoding.seconds_per_step(positive, other))  # noqa: B023
            yield Point("ms per token and prompt, by prompts in the batch", curve, batch, 1e3 * seconds / batch)


def lengths() -> Iterator[Point]:
    """Decoding and reading a prompt, by its length."""
    for length in (64, 128, 256, 512, 1024, 2048):
        prompt = random_ids(length, random.Random(0))
        seconds = _median(lambda: decoding.seconds_per_step([prompt], None))  # noqa: B023
        yield Point("ms, by tokens of the prompt", "one more token", length, 1e3 * seconds)
        seconds = _median(lambda: decoding.ours([prompt], None, 1, 1))  # noqa: B023
        yield Point("ms, by tokens of the prompt", "the prompt, for every 100 tokens", length, 1e5 * seconds / length)


def pairs() -> Iterator[Point]:
    """ORPO: a pair's time, by length of the prompt beside stock's, and by pairs per prompt."""
    for length in (64, 128, 256, 512, 1024):
        case = Case(length, 48, steps=1)
        for kind in ("stock", "tightlip"):
            yield Point("s per ORPO pair, by tokens of the prompt", kind, length, _train(kind, case) / case.batch)
    for count in (1, 2, 4, 8):
        case = Case(256, 48, pairs_per_prompt=count, batch=count, steps=1)
        yield Point("s per ORPO pair, by pairs per prompt", "tightlip", count, _train("tightlip", case) / count)


def sizes() -> Iterator[Point]:
    """Model size, in millions of parameters."""
    for factor in (1 / 3, 2 / 3, 1, 5 / 3, 7 / 3):
        config = copy.deepcopy(load_model(BASE).config)
        for name, value in SIZES.items():
            setattr(config, name, round(value * factor))
        torch.manual_seed(0)
        model = use_grouped_attention(AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).eval())
        millions = sum(parameter.numel() for parameter in model.parameters()) / 1e6
        seconds = _median(functools.partial(decoding.seconds_per_step, *decoding.prompts(1), of=model))
        yield Point("by millions of parameters", "guided step, batch 1 (10 ms)", millions, 100 * seconds)
        case = Case(256, 48, steps=1)
        seconds = _train("tightlip", case, model) / case.batch
        yield Point("by millions of parameters", "ORPO pair, 256 + 2 · 48 tokens (s)", millions, seconds)


def _median(side: Callable[[], float | None]) -> float:
    return statistics.median(alternate({"": side})[""])


def _train(kind: str, case: Case, model: Any = None) -> float:
    with tempfile.TemporaryDirectory() as work:
        return _median(seconds_of(trainer(kind, case, work, model)))


def draw(points: pd.DataFrame, path: Path) -> None:
    """Draw one panel per question, both axes logarithmic."""
    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "tightlip"  # the same file for the same figures
    from matplotlib import pyplot as plt
    from matplotlib import ticker

    panels = list(points.groupby("panel", sort=False))
    figure, axes = plt.subplots(2, 3, figsize=(12.6, 7), layout="constrained")
    axes.flat[-1].set_axis_off()
    for axis, (panel, panel_points) in zip(axes.flat, panels, strict=False):
        for curve, curve_points in panel_points.groupby("curve", sort=False):
            axis.plot(curve_points["x"], curve_points["value"], marker="o", label=curve)
        axis.set_xscale("log", base=2)
        axis.set_yscale("log")
        ticks = sorted(set(panel_points["x"]))
        axis.set_xticks(ticks, [f"{tick:.0f}" for tick in ticks])
        axis.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_formatter(ticker.NullFormatter())
        axis.tick_params(which="both", labelsize=8)
        axis.set_title(panel, fontsize=10)
        axis.legend(fontsize=8)
        axis.grid(visible=True, which="both", alpha=0.3)
    figure.savefig(path, format="svg", metadata={"Date": None})


@click.command()
def main() -> None:
    """Measure how costs grow: about 10 minutes on two idle cores."""
    need_base()
    rows = []
    for sweep in (batches, lengths, pairs, sizes):
        for point in sweep():
            click.echo(f"{point.panel:45} {point.curve:36} {point.x:8.0f} {point.value:10.4g}")
            rows.append(point._replace(value=float(f"{point.value:.4g}")))
    points = pd.DataFrame(rows)
    with atomic_file(METRICS / "sweep.csv") as path:
        points.to_csv(path, index=False)
    with atomic_file(METRICS / "sweep.svg") as path:
        draw(points, path)


if __name__ == "__main__":
    main()
