"""A comparison as one HTML page: no network, no script, light and dark."""

from typing import Any

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
from tightlip.html_report.html_page import render


def to_html(report: ComparisonReport) -> str:
    """Render a comparison as a page of its own."""
    comparison = report.comparison
    first, *others = (revision.name for revision in comparison.revisions)
    return render(
        __package__,
        "comparison.html.j2",
        title=f"{', '.join(others)} against {first}",
        gates=report.gates,
        metrics=METRICS,
        rows=[_row(report, row) for row in comparison.rows],
        legend=legend(comparison),
        lists=lists(comparison),
    )


def _row(report: ComparisonReport, row: ComparedRow) -> dict[str, Any]:
    lines = [
        {
            "names": line_names(report.comparison, row, number),
            "url": run_url(report, row, number),
            "cells": [cell_text(cells[metric.name], metric) for metric in METRICS],
        }
        for number, cells in enumerate(row.lines)
    ]
    return {"title": row.subject.title, "lines": lines}
