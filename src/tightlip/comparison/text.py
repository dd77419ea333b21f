"""A comparison in the terminal and as Markdown."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text as Line

from tightlip.comparison.cells import (
    Report,
    Text,
    input_lines,
    label,
    legend,
    param_lines,
    remarks,
    run_of,
    text,
)
from tightlip.comparison.compare import Block, Comparison
from tightlip.comparison.paired import METRICS, Metric

_STYLES = {"better": "bold green", "worse": "bold red", "": ""}
_MARGIN = 2  # columns of space after a cell


def print_report(report: Report, console: Console) -> None:
    """Print a comparison, split into as many tables side by side as the width asks for."""
    comparison = report.comparison
    for block in comparison.blocks:
        console.print(f"[bold]{escape(block.subject.title)}[/bold]")
        for metrics in _fitting(comparison, block, console.width):
            console.print(_table(comparison, block, metrics))
        console.print()
    _list(console, "Changed parameters", param_lines(comparison))
    _list(console, "Changed inputs", input_lines(comparison))
    _list(console, "Notes", [legend(comparison), *remarks(comparison)])
    _list(console, "MLflow", [f"{name}, {key}: {url}" for (name, key), url in report.links.items()])
    _list(console, "Gates", map(str, report.outcomes))


def _list(console: Console, title: str, lines: Iterable[str]) -> None:
    for number, line in enumerate(lines):
        if not number:
            console.print(f"[bold]{title}[/bold]")
        if "://" in line:  # whole, so that it can be clicked
            console.print(Line(f"  {line}"), soft_wrap=True)
        else:
            for part in Line(line).wrap(console, console.width - 2):
                part.rstrip()
                console.print(Line("  ") + part)


def _header(metric: Metric) -> str:
    return metric.name.replace("_", "_\n", 1) + f" {metric.arrow}"


def _lines(cell: Text) -> list[str]:
    verdict = f" *{cell.verdict}" if cell.verdict else ""
    return [cell.value, *([cell.delta + verdict] if cell.delta else []), *([cell.interval] if cell.interval else [])]


def _fitting(comparison: Comparison, block: Block, width: int) -> list[list[Metric]]:
    """Share the columns out over tables that are no wider than `width`."""
    first = max(len(line) for number in range(len(block.lines)) for line in label(comparison, block, number))
    tables: list[list[Metric]] = [[]]
    used = first
    for metric in METRICS:
        cells = [line for cells in block.lines for line in _lines(text(cells[metric.name], metric))]
        needed = max(map(len, [*cells, *_header(metric).split("\n")])) + _MARGIN
        if tables[-1] and used + needed > width:
            tables.append([])
            used = first
        tables[-1].append(metric)
        used += needed
    return tables


def _table(comparison: Comparison, block: Block, metrics: Sequence[Metric]) -> Table:
    table = Table(box=None, padding=(0, _MARGIN, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("")
    for metric in metrics:
        table.add_column(_header(metric), justify="right", no_wrap=True, vertical="top")
    for number, cells in enumerate(block.lines):
        told = [text(cells[metric.name], metric) for metric in metrics]
        styled = [Line("\n".join(_lines(each)), style=_STYLES[each.verdict]) for each in told]
        table.add_row(Line("\n".join(label(comparison, block, number))), *styled)
    return table


# --- Markdown ------------------------------------------------------------------------------------------------------


def to_markdown(report: Report) -> str:
    """Render a comparison as GitHub Markdown, fit for a comment of a CI job."""
    comparison = report.comparison
    names = ", ".join(_escaped(each.name) for each in comparison.revisions[1:])
    parts = [f"## {names} against {_escaped(comparison.revisions[0].name)}"]
    head = ["row", "revision", *(f"{metric.name} {metric.arrow}" for metric in METRICS)]
    lines = [line for block in comparison.blocks for line in _markdown_lines(report, block)]
    parts.append("\n".join("| " + " | ".join(line) + " |" for line in [head, ["---"] * len(head), *lines]))
    parts.append(legend(comparison).replace("*", "\\*"))
    for title, told in (
        ("Gates", map(str, report.outcomes)), ("Changed parameters", param_lines(comparison)),
        ("Changed inputs", input_lines(comparison)), ("Notes", remarks(comparison)),
    ):  # fmt: skip
        items = "\n".join(f"- {_escaped(line)}" for line in told)
        parts += [f"**{title}**\n\n{items}"] if items else []
    return "\n\n".join(parts) + "\n"


def _markdown_lines(report: Report, block: Block) -> list[list[str]]:
    lines = []
    for number, cells in enumerate(block.lines):
        url = run_of(report, block, number)
        name = "<br>".join(map(_escaped, label(report.comparison, block, number)))
        told = ["<br>".join(map(_escaped, _lines(text(cells[metric.name], metric)))) for metric in METRICS]
        lines.append([_escaped(block.subject.title) if not number else "", f"[{name}]({url})" if url else name, *told])
    return lines


def _escaped(line: str) -> str:
    return "".join(f"\\{letter}" if letter in "\\`*_|<>[]" else letter for letter in line)
