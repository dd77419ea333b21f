"""An examination as text or JSON."""

import json
import sys
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tightlip.doctor.examination import Estimate, Examination, hosted_tokens
from tightlip.doctor.stage_estimates import HOSTED_SECONDS

MARKS = {"ok": ("✓", "green"), "warn": ("!", "yellow"), "fail": ("✗", "red")}


def write(examination: Examination, as_json: bool) -> None:
    """Print an examination to stdout."""
    if as_json:
        sys.stdout.write(to_json(examination))
    else:
        print_text(examination, Console())


def print_text(examination: Examination, console: Console) -> None:
    """Print a line per check, then the table of stages."""
    width = max(len(each.name) for each in examination.findings)
    for each in examination.findings:
        mark, colour = MARKS[each.status]
        line = Table.grid(padding=(0, 1))
        line.add_column(width=1)
        line.add_column(width=width, no_wrap=True)
        line.add_column(overflow="fold")
        line.add_row(Text(mark, style=f"bold {colour}"), each.name, Text(each.text))
        console.print(line)
        if each.remedy:
            console.print(Padding(Text(f"→ {each.remedy}", style="cyan"), (0, 0, 0, 2)))
    if examination.estimates and examination.size and examination.speed:
        console.print()
        console.print(_stage_table(examination))
        size, hosted = examination.size, any(each.stage.hosted for each in examination.estimates)
        lines = [
            f"Times of {examination.source}, scaled by each stage's work, the model's size and the speed.",
            f"Speed: {examination.speed.origin}.",
            f"Model: {short_count(size.parameters)} parameters, {size.origin}.",
            *[f"Hosted: answers of max_tokens each; {HOSTED_SECONDS:g} s per request."] * hosted,
        ]
        for text in lines:
            console.print(Text(text, style="dim"))


def _stage_table(examination: Examination) -> Table:
    estimates = examination.estimates
    hosted = any(each.stage.hosted for each in estimates)
    ran = any(each.last_seconds is not None for each in estimates)
    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="bold")
    table.add_column("stage", overflow="fold")
    for title in ["time", *["last run"] * ran, *["hosted tokens", "$"] * hosted]:
        table.add_column(title, justify="right", no_wrap=True)

    def add(name: str, seconds: float, last: float | None, tokens: int, dollars: float | None) -> None:
        cells = [duration(seconds), *["–" if last is None else duration(last)] * ran]
        table.add_row(name, *cells, *[short_count(tokens), "–" if dollars is None else f"{dollars:.2f}"] * hosted)

    for evidence in (False, True):
        if evidence:
            table.add_row()
        for each in estimates:
            if each.stage.evidence == evidence:
                add(each.stage.name, each.seconds, each.last_seconds, hosted_tokens(each.stage), each.dollars)
        total = examination.totals(evidence)
        add("starting processes, DVC", total["starting_seconds"], None, 0, 0.0)
        name = "make evidence, beyond that" if evidence else "make repro"
        add(name, total["seconds"] + total["starting_seconds"], None, total["hosted_tokens"], total["dollars"])
    return table


def to_json(examination: Examination) -> str:
    """Return an examination as JSON; times in seconds."""
    document: dict[str, Any] = {
        "profile": examination.profile or None,
        "fails": examination.fails,
        "checks": [vars(each) for each in examination.findings],
    }
    if examination.estimates and examination.size and examination.speed:
        document |= {
            "model": vars(examination.size),
            "speed": vars(examination.speed),
            "stages": [_stage(each) for each in examination.estimates],
            "totals": {"repro": examination.totals(evidence=False), "evidence": examination.totals(evidence=True)},
        }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _stage(estimate: Estimate) -> dict[str, Any]:
    stage = estimate.stage
    return {
        "name": stage.name,
        "evidence": stage.evidence,
        "work": round(stage.work, 1),
        "unit": stage.unit,
        "seconds": round(estimate.seconds, 1),
        "last_seconds": estimate.last_seconds,
        "hosted": stage.hosted._asdict() if stage.hosted else None,
        "dollars": estimate.dollars,
    }


def duration(seconds: float) -> str:
    """Write a duration in seconds, minutes or hours."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.1f} min" if minutes < 10 else f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"


def short_count(number: float) -> str:
    """Write a count in thousands, millions or billions."""
    for limit, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= limit:
            return f"{number / limit:.3g}{letter}"
    return f"{number:.0f}" if number else "–"
