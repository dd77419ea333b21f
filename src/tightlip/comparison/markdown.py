"""A comparison as GitHub Markdown."""

from tightlip.comparison.compare import ComparedRow
from tightlip.comparison.paired_metrics import METRICS
from tightlip.comparison.wording import (
    ComparisonReport,
    cell_text,
    legend,
    line_names,
    lists,
    run_url,
)


def to_markdown(report: ComparisonReport) -> str:
    """Render a comparison as GitHub Markdown, fit for a comment of a CI job."""
    comparison = report.comparison
    names = ", ".join(_escape(each.name) for each in comparison.revisions[1:])
    parts = [f"## {names} against {_escape(comparison.revisions[0].name)}"]
    head = ["row", "revision", *(f"{metric.name} {metric.arrow}" for metric in METRICS)]
    lines = [line for row in comparison.rows for line in _table_lines(report, row)]
    parts.append("\n".join("| " + " | ".join(line) + " |" for line in [head, ["---"] * len(head), *lines]))
    parts.append(legend(comparison).replace("*", "\\*"))
    for title, items in {"Gates": map(str, report.gates), **lists(comparison)}.items():
        bullets = "\n".join(f"- {_escape(item)}" for item in items)
        parts += [f"**{title}**\n\n{bullets}"] if bullets else []
    return "\n\n".join(parts) + "\n"


def _table_lines(report: ComparisonReport, row: ComparedRow) -> list[list[str]]:
    lines = []
    for number, cells in enumerate(row.lines):
        url = run_url(report, row, number)
        name = "<br>".join(map(_escape, line_names(report.comparison, row, number)))
        texts = [cell_text(cells[metric.name], metric) for metric in METRICS]
        cell_lines = ["<br>".join(_escape(line) for line in text[:3] if line) for text in texts]
        title = _escape(row.subject.title) if not number else ""
        lines.append([title, f"[{name}]({url})" if url else name, *cell_lines])
    return lines


def _escape(line: str) -> str:
    return "".join(f"\\{letter}" if letter in "\\`*_|<>[]" else letter for letter in line)
