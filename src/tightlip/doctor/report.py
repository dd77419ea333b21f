"""An examination as text or JSON."""

import json
import sys
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tightlip.doctor.examination import Examination, cost, hosted_tokens, totals
from tightlip.doctor.machine import gigabytes
from tightlip.doctor.speed import HOSTED_SECONDS
from tightlip.doctor.work import Stage

MARKS = {"ok": ("✓", "green"), "warn": ("!", "yellow"), "fail": ("✗", "red")}


def write(found: Examination, as_json: bool) -> None:
    """Print an examination to stdout."""
    if as_json:
        sys.stdout.write(to_json(found))
    else:
        print_text(found, Console())


def print_text(found: Examination, console: Console) -> None:
    """Print a line per check, then the table of stages."""
    width = max(len(finding.name) for finding in found.findings)
    for finding in found.findings:
        mark, colour = MARKS[finding.status]
        line = Table.grid(padding=(0, 1))
        line.add_column(width=1)
        line.add_column(width=width, no_wrap=True)
        line.add_column(overflow="fold")
        line.add_row(Text(mark, style=f"bold {colour}"), finding.name, Text(finding.text))
        console.print(line)
        if finding.remedy:
            console.print(Padding(Text(f"→ {finding.remedy}", style="cyan"), (0, 0, 0, 2)))
    if found.stages:
        console.print()
        console.print(_stage_table(found))
        _notes(found, console)


def _stage_table(found: Examination) -> Table:
    assert found.speed is not None  # noqa: S101  (there are stages)
    hosted = any(stage.work.hosted for stage in found.stages)
    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="bold", show_footer=False)
    table.add_column("stage", overflow="fold")
    names = ["time", *(["last run"] if found.last else []), "tokens", "memory", *(["hosted", "$"] if hosted else [])]
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)

    def row(name: str, seconds: float, last: str, tokens: float, memory: float, asked: int, dollars: str) -> None:
        cells = [duration(seconds), *([last] if found.last else []), count(tokens)]
        cells += [gigabytes(memory) if memory else "–", *([count(asked), dollars] if hosted else [])]
        table.add_row(name, *cells)

    for evidence in (False, True):
        of_part = [stage for stage in found.stages if stage.evidence == evidence]
        if evidence:
            table.add_section()
            table.add_row()
        for stage in of_part:
            last = duration(found.last[stage.name]) if stage.name in found.last else "–"
            row(stage.name, found.speed.seconds(stage.work), last, stage.work.tokens, stage.memory,
                hosted_tokens(stage), _dollars(stage, found))  # fmt: skip
        total = totals(found, evidence)
        row("starting processes, DVC", total["starting_seconds"], "–", 0, 0, 0, "–")
        row("make evidence, beyond that" if evidence else "make repro", total["seconds"] + total["starting_seconds"],
            "–", total["tokens"], total["memory_bytes"], total["hosted_tokens"], _money(total["dollars"]))  # fmt: skip
    return table


def _notes(found: Examination, console: Console) -> None:
    assert found.speed is not None  # noqa: S101  (there are stages)
    assert found.shape is not None  # noqa: S101
    assert found.texts is not None  # noqa: S101
    shape = found.shape
    sure = "" if shape.exact else ", guessed"
    lines = [
        f"Speed: {found.speed.note}.",
        f"Model: {parameters(shape.parameters)} parameters, by {shape.origin}{sure}. Tokens counted with "
        f"{found.texts.counted_with}.",
    ]
    if any(stage.work.hosted for stage in found.stages):
        terms = f"{HOSTED_SECONDS:g} s per request, {found.speed.workers} at a time"
        lines.append(f"Hosted: all prompts, and answers of max_tokens each; time at {terms}.")
    for line in lines:
        console.print(Text(line, style="dim"))


def to_json(found: Examination) -> str:
    """Return an examination as JSON; times in seconds, memory in bytes."""
    document: dict[str, Any] = {
        "profile": found.profile or None,
        "fails": found.fails,
        "checks": [vars(finding) for finding in found.findings],
    }
    if found.stages and found.speed and found.shape and found.texts:
        document |= {
            "model": vars(found.shape),
            "texts": vars(found.texts),
            "speed": vars(found.speed),
            "stages": [_stage(stage, found) for stage in found.stages],
            "totals": {"repro": totals(found, evidence=False), "evidence": totals(found, evidence=True)},
        }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _stage(stage: Stage, found: Examination) -> dict[str, Any]:
    assert found.speed is not None  # noqa: S101  (there are stages)
    return {
        "name": stage.name,
        "evidence": stage.evidence,
        "seconds": round(found.speed.seconds(stage.work), 1),
        "last_seconds": found.last.get(stage.name),
        "tokens": round(stage.work.tokens),
        "memory_bytes": round(stage.memory),
        "hosted": [asked._asdict() for asked in stage.work.hosted],
        "dollars": cost(stage, found.prices),
    }


def duration(seconds: float) -> str:
    """Write a duration in seconds, minutes or hours."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.1f} min" if minutes < 10 else f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"


def count(tokens: float) -> str:
    """Write a number of tokens in thousands or millions."""
    if tokens < 1000:
        return f"{tokens:.0f}" if tokens else "–"
    return f"{tokens / 1e3:.0f}k" if tokens < 1e6 else f"{tokens / 1e6:.1f}M"


def parameters(number: int) -> str:
    """Write a number of parameters in millions or billions."""
    return f"{number / 1e9:.3g}B" if number >= 1e9 else f"{number / 1e6:.3g}M"


def _dollars(stage: Stage, found: Examination) -> str:
    return _money(cost(stage, found.prices)) if stage.work.hosted else "–"


def _money(dollars: float | None) -> str:
    return "–" if dollars is None else f"{dollars:.2f}"
