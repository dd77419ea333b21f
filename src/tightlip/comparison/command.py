"""Steps of `tightlip compare`: load revisions and gates, compare, write."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from tightlip.comparison.compare import Comparison, compare
from tightlip.comparison.comparison_page import to_html
from tightlip.comparison.gates import Gate, GateError, check_gates, check_names, parse_gate
from tightlip.comparison.markdown import to_markdown
from tightlip.comparison.revisions import Revision, load_revisions
from tightlip.comparison.terminal import print_report
from tightlip.comparison.wording import ComparisonReport, Links, document
from tightlip.tracking.links import row_keys, run_urls


def load(root: Path, names: Sequence[str], conditions: Sequence[str]) -> tuple[list[Revision], list[Gate]]:
    """Read revisions and gates.

    Raises:
        click.UsageError: a gate is malformed or names no metric.
        ValueError: a revision cannot be read.
    """
    try:
        gates = [parse_gate(condition) for condition in conditions]
        revisions = load_revisions(root, names)
        check_names(gates, revisions)
    except GateError as error:
        raise click.UsageError(str(error)) from None
    return revisions, gates


def report_on(
    root: Path, revisions: Sequence[Revision], rows: Sequence[str], every: bool, gates: Sequence[Gate]
) -> ComparisonReport:
    """Compare, check the gates and look up the runs in MLflow.

    Raises:
        ValueError: no such row, or items that do not agree with the metrics.
    """
    comparison = compare(revisions, rows, every)
    return ComparisonReport(comparison, check_gates(gates, comparison, rows), _links(root, comparison))


def _links(root: Path, comparison: Comparison) -> Links:
    urls = run_urls(root)
    if not urls:
        return {}
    shown = [
        (revision, key)
        for row in comparison.rows
        for revision, key in zip(comparison.revisions, row.subject.keys, strict=True)
        if key
    ]
    return {
        (revision.name, key): urls[published]
        for revision, key in shown
        for published in row_keys(revision.stages, key, revision.summary[key])
        if published in urls
    }


def write(report: ComparisonReport, form: str) -> None:
    """Print a report to stdout as `text`, `md`, `json` or `html`."""
    if form == "text":
        from rich.console import Console

        print_report(report, Console())
        return
    forms = {"md": to_markdown, "html": to_html, "json": _to_json}
    sys.stdout.write(forms[form](report))


def _to_json(report: ComparisonReport) -> str:
    return json.dumps(document(report), indent=2, ensure_ascii=False, default=str, allow_nan=False) + "\n"
