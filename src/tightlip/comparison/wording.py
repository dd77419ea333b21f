"""Texts of a comparison, for every form that it is written in."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from tightlip.comparison.changed_inputs import Change
from tightlip.comparison.compare import ALPHA, CHOSEN, Cell, ComparedRow, Comparison
from tightlip.comparison.gates import GateResult
from tightlip.comparison.paired_metrics import Metric
from tightlip.tables.formatting import MISSING, bounds_text

Links = Mapping[tuple[str, str], str]
"""Addresses of runs in MLflow: (revision, row key) → URL."""


class ComparisonReport(NamedTuple):
    """A comparison, the results of the gates, and the addresses of its rows in MLflow."""

    comparison: Comparison
    gates: list[GateResult]
    links: Links


class CellText(NamedTuple):
    """A cell as text; what there is none of is empty.

    Attributes:
        value: the metric.
        delta: difference to the first revision, with `*better` or `*worse` where it is significant.
        bounds: the difference's 95% interval.
        verdict: `better`, `worse` or empty.
    """

    value: str
    delta: str = ""
    bounds: str = ""
    verdict: str = ""


def cell_text(cell: Cell, metric: Metric) -> CellText:
    """Write a cell as text."""
    if cell.value is None:
        return CellText(MISSING)
    value = f"{cell.value:.{metric.digits}f}"
    if cell.delta is None:
        return CellText(value)
    same = cell.delta == 0 and cell.p is None and (cell.paired or not metric.items)
    delta = "same" if same else f"{cell.delta:+.{metric.digits}f}"
    if cell.delta_low is None or cell.delta_high is None:
        return CellText(value, delta)
    digits = max(metric.digits, 1) if metric.share else metric.digits
    bounds = bounds_text(cell.delta_low, cell.delta_high, f".{digits}f")
    return CellText(value, f"{delta} *{cell.verdict}" if cell.verdict else delta, bounds, cell.verdict or "")


def line_names(comparison: Comparison, row: ComparedRow, number: int) -> list[str]:
    """Name a line by its revision, and by its row where the title does not name it."""
    key, name = row.subject.keys[number], comparison.revisions[number].name
    several = len(set(row.subject.keys)) > 1 and row.subject.name == CHOSEN
    return [name, key or MISSING] if several else [name]


def run_url(report: ComparisonReport, row: ComparedRow, number: int) -> str | None:
    """Return the address of a line's run in MLflow, if it was published."""
    name, key = report.comparison.revisions[number].name, row.subject.keys[number]
    return report.links.get((name, key)) if key else None


def legend(comparison: Comparison) -> str:
    """Explain what stands in a cell."""
    return (
        f"Under a metric: its difference to {comparison.revisions[0].name} and, where items can be compared one by "
        "one, the difference's 95% interval. Arrows show which way is better; *better and *worse: significant at "
        f"{ALPHA:.0%} by a permutation test over dialogues, p-values (here {comparison.tests}) adjusted by Holm. "
        "Differences without an interval are not tested."
    )


def lists(comparison: Comparison) -> dict[str, list[str]]:
    """Return the lists below the rows by title."""
    return {
        "Changed parameters": _param_lines(comparison),
        "Changed inputs": _input_lines(comparison),
        "Notes": _remarks(comparison),
    }


def _param_lines(comparison: Comparison) -> list[str]:
    """Return a line per changed parameter, with its value in every revision."""
    return [f"{change.name}: {_arrows(comparison, change)}" for change in comparison.params]


def _arrows(comparison: Comparison, change: Change) -> str:
    values = [
        json.dumps(change.values[each.name], ensure_ascii=False, default=str) if each.name in change.values else MISSING
        for each in comparison.revisions
    ]
    return " → ".join(values)


def _input_lines(comparison: Comparison) -> list[str]:
    """Return a line per revision and kind of change, with the paths; paths below a listed one are left out."""
    lines = []
    first = comparison.revisions[0].name
    for revision in comparison.revisions[1:]:
        kinds: dict[str, list[str]] = {"changed": [], "added": [], "gone": []}
        for path, values in comparison.inputs:
            old, new = values.get(first), values.get(revision.name)
            if old != new:
                kinds["added" if old is None else "gone" if new is None else "changed"].append(path)
        for kind, paths in kinds.items():
            shown = [path for path in paths if not any(path.startswith(f"{other}/") for other in paths)]
            if shown:
                lines.append(f"{revision.name}: {kind}: {', '.join(shown)}")
    return lines


def _remarks(comparison: Comparison) -> list[str]:
    """Return a line for everything that could not be compared or is not shown."""
    hidden = len(comparison.hidden)
    rows = "1 row with the same metrics everywhere is not shown; --all shows it"
    if hidden > 1:
        rows = f"{hidden} rows with the same metrics everywhere are not shown; --all shows them"
    return [*comparison.remarks, *([rows] if hidden else [])]


def document(report: ComparisonReport) -> dict[str, Any]:
    """Return the whole report as JSON can hold it; docs/compare.md explains the fields."""
    comparison = report.comparison
    return {
        "revisions": [{"name": each.name, "commit": each.commit, "chosen_row": each.chosen}
                      for each in comparison.revisions],
        "rows": [_row_document(report, row) for row in comparison.rows],
        "same_rows": list(comparison.hidden),
        "changed_params": [change._asdict() for change in comparison.params],
        "changed_inputs": [change._asdict() for change in comparison.inputs],
        "tests": comparison.tests,
        "notes": list(comparison.remarks),
        "gates": [
            {"gate": each.gate.text, "revision": each.revision, "row": each.row, "value": each.value,
             "passed": each.passed}
            for each in report.gates
        ],
    }  # fmt: skip


def _row_document(report: ComparisonReport, row: ComparedRow) -> dict[str, Any]:
    lines = [
        {
            "revision": revision.name, "row": row.subject.keys[number], "mlflow": run_url(report, row, number),
            "metrics": {name: cell._asdict() for name, cell in row.lines[number].items()},
        }
        for number, revision in enumerate(report.comparison.revisions)
    ]  # fmt: skip
    return {"subject": row.subject.name, "lines": lines}
