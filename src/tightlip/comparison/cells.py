"""How a comparison reads, whatever it is printed on."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from tightlip.comparison.changes import Change
from tightlip.comparison.compare import ALPHA, CHOSEN, Block, Cell, Comparison
from tightlip.comparison.gates import Outcome
from tightlip.comparison.paired import Metric

Links = Mapping[tuple[str, str], str]
"""Address of the run in MLflow: (revision, row key) → URL."""

NOTHING = "–"


class Report(NamedTuple):
    """What is printed: a comparison, what the gates said of it, and where its rows are in MLflow."""

    comparison: Comparison
    outcomes: list[Outcome]
    links: Links


class Text(NamedTuple):
    """A cell in words: figure, difference to the first revision and the difference's interval, empty if there is none.

    `verdict` is empty, `better` or `worse`.
    """

    value: str
    delta: str = ""
    interval: str = ""
    verdict: str = ""


def text(cell: Cell, metric: Metric) -> Text:
    """Put a cell into words."""
    if cell.value is None:
        return Text(NOTHING)
    value = f"{cell.value:.{metric.digits}f}"
    if cell.delta is None:
        return Text(value)
    same = cell.delta == 0 and cell.p is None and (cell.paired or not metric.items)
    delta = "same" if same else f"{cell.delta:+.{metric.digits}f}"
    if cell.delta_low is None or cell.delta_high is None:
        return Text(value, delta)
    digits = max(metric.digits, 1) if metric.share else metric.digits
    return Text(value, delta, f"[{cell.delta_low:.{digits}f}, {cell.delta_high:.{digits}f}]", cell.verdict or "")


def label(comparison: Comparison, block: Block, number: int) -> list[str]:
    """Name a line: the revision, and its row where that is not the title of the block."""
    key = block.subject.keys[number]
    name = comparison.revisions[number].name
    named = len(set(block.subject.keys)) > 1 and block.subject.name == CHOSEN
    return [name, key or NOTHING] if named else [name]


def run_of(report: Report, block: Block, number: int) -> str | None:
    """Address of a line's run in MLflow."""
    name, key = report.comparison.revisions[number].name, block.subject.keys[number]
    return report.links.get((name, key)) if key else None


def legend(comparison: Comparison) -> str:
    """Say what the figures under each other are."""
    return (
        f"Under a figure: its difference to {comparison.revisions[0].name} and, where items can be compared one by "
        "one, the difference's 95% interval. Arrows say which way is better; *better and *worse: significant at "
        f"{ALPHA:.0%} by a permutation test over dialogues, p-values (here {comparison.tests}) adjusted by Holm. "
        "Differences without an interval are not tested."
    )


def param_lines(comparison: Comparison) -> list[str]:
    """One line per parameter and value."""
    return [f"{change.name}: {_arrows(comparison, change)}" for change in comparison.params]


def _arrows(comparison: Comparison, change: Change) -> str:
    values = [
        json.dumps(change.values[each.name], ensure_ascii=False, default=str) if each.name in change.values else NOTHING
        for each in comparison.revisions
    ]
    return " → ".join(values)


def input_lines(comparison: Comparison) -> list[str]:
    """One line per revision and way of changing: the paths, without those below a path that is listed."""
    lines = []
    first = comparison.revisions[0].name
    for revision in comparison.revisions[1:]:
        ways: dict[str, list[str]] = {"changed": [], "added": [], "gone": []}
        for path, values in comparison.inputs:
            old, new = values.get(first), values.get(revision.name)
            if old != new:
                ways["added" if old is None else "gone" if new is None else "changed"].append(path)
        for way, paths in ways.items():
            shown = [path for path in paths if not any(path.startswith(f"{other}/") for other in paths)]
            if shown:
                lines.append(f"{revision.name}: {way}: {', '.join(shown)}")
    return lines


def remarks(comparison: Comparison) -> list[str]:
    """What is not shown or could not be compared."""
    hidden = len(comparison.hidden)
    rows = "1 row with the same figures everywhere is not shown; --all shows it"
    if hidden > 1:
        rows = f"{hidden} rows with the same figures everywhere are not shown; --all shows them"
    return [*comparison.notes, *([rows] if hidden else [])]


def document(report: Report) -> dict[str, Any]:
    """Everything as JSON can hold it; docs/compare.md explains the fields."""
    comparison = report.comparison
    return {
        "revisions": [{"name": each.name, "commit": each.commit, "chosen_row": each.chosen}
                      for each in comparison.revisions],
        "rows": [_block(report, block) for block in comparison.blocks],
        "same_rows": list(comparison.hidden),
        "changed_params": [change._asdict() for change in comparison.params],
        "changed_inputs": [change._asdict() for change in comparison.inputs],
        "tests": comparison.tests,
        "notes": list(comparison.notes),
        "gates": [
            {"gate": each.gate.text, "revision": each.revision, "row": each.row, "value": each.value,
             "passed": each.passed}
            for each in report.outcomes
        ],
    }  # fmt: skip


def _block(report: Report, block: Block) -> dict[str, Any]:
    lines = [
        {
            "revision": revision.name, "row": block.subject.keys[number], "mlflow": run_of(report, block, number),
            "figures": {name: cell._asdict() for name, cell in block.lines[number].items()},
        }
        for number, revision in enumerate(report.comparison.revisions)
    ]  # fmt: skip
    return {"subject": block.subject.name, "lines": lines}
