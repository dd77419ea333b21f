"""A comparison in the terminal."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from tightlip.comparison.compare import ComparedRow, Comparison
from tightlip.comparison.paired_metrics import METRICS, Metric
from tightlip.comparison.wording import (
    CellText,
    ComparisonReport,
    cell_text,
    legend,
    line_names,
    lists,
)

_STYLES = {"better": "bold green", "worse": "bold red", "": ""}
_MARGIN = 2  # columns of space after a cell


def print_report(report: ComparisonReport, console: Console) -> None:
    """Print a comparison; a table that is wider than the terminal is printed in parts."""
    comparison = report.comparison
    for row in comparison.rows:
        console.print(f"[bold]{escape(row.subject.title)}[/bold]")
        for metrics in _split_metrics(comparison, row, console.width):
            console.print(_table(comparison, row, metrics))
        console.print()
    for title, lines in lists(comparison).items():
        _print_list(console, title, [legend(comparison), *lines] if title == "Notes" else lines)
    _print_list(console, "MLflow", [f"{name}, {key}: {url}" for (name, key), url in report.links.items()])
    _print_list(console, "Gates", map(str, report.gates))


def _print_list(console: Console, title: str, lines: Iterable[str]) -> None:
    for number, line in enumerate(lines):
        if not number:
            console.print(f"[bold]{title}[/bold]")
        if "://" in line:  # in one piece, so that terminals make it a link
            console.print(Text(f"  {line}"), soft_wrap=True)
        else:
            for part in Text(line).wrap(console, console.width - 2):
                part.rstrip()
                console.print(Text("  ") + part)


def _header(metric: Metric) -> str:
    return metric.name.replace("_", "_\n", 1) + f" {metric.arrow}"


def _lines(cell: CellText) -> list[str]:
    return [line for line in (cell.value, cell.delta, cell.bounds) if line]


def _split_metrics(comparison: Comparison, row: ComparedRow, width: int) -> list[list[Metric]]:
    """Distribute the metrics over tables that are no wider than `width`."""
    first = max(len(line) for number in range(len(row.lines)) for line in line_names(comparison, row, number))
    tables: list[list[Metric]] = [[]]
    used = first
    for metric in METRICS:
        lines = [line for cells in row.lines for line in _lines(cell_text(cells[metric.name], metric))]
        needed = max(map(len, [*lines, *_header(metric).split("\n")])) + _MARGIN
        if tables[-1] and used + needed > width:
            tables.append([])
            used = first
        tables[-1].append(metric)
        used += needed
    return tables


def _table(comparison: Comparison, row: ComparedRow, metrics: Sequence[Metric]) -> Table:
    table = Table(box=None, padding=(0, _MARGIN, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("")
    for metric in metrics:
        table.add_column(_header(metric), justify="right", no_wrap=True, vertical="top")
    for number, cells in enumerate(row.lines):
        texts = [cell_text(cells[metric.name], metric) for metric in metrics]
        styled = [Text("\n".join(_lines(text)), style=_STYLES[text.verdict]) for text in texts]
        table.add_row(Text("\n".join(line_names(comparison, row, number))), *styled)
    return table
