"""A comparison as one HTML page: no network, no script, light and dark."""

from collections.abc import Iterable
from html import escape

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
from tightlip.comparison.compare import Block
from tightlip.comparison.paired import METRICS

STYLE = """
:root { color-scheme: light dark; --line: #d0d7de; --dim: #57606a; --good: #116329; --bad: #a40e26; --head: #f6f8fa;
  --page: #fff; }
@media (prefers-color-scheme: dark) {
  :root { --line: #3d444d; --dim: #9198a1; --good: #56d364; --bad: #ff7b72; --head: #151b23; --page: #0d1117; }
}
body { background: var(--page); }
body { font: 15px/1.45 system-ui, sans-serif; margin: 24px auto; max-width: 1240px; padding: 0 16px; }
h1 { font-size: 22px; overflow-wrap: anywhere; }
h2 { font-size: 17px; margin-top: 28px; }
.wide { overflow-x: auto; }
table { border-collapse: separate; border-spacing: 0; font-variant-numeric: tabular-nums; width: 100%; }
th, td { border-bottom: 1px solid var(--line); padding: 6px 10px; text-align: right; vertical-align: top; }
th:first-child { background: var(--page); font-weight: normal; left: 0; position: sticky; text-align: left; }
thead th, thead th:first-child { background: var(--head); font-weight: 600; }
tbody th.subject { font-weight: 600; padding-top: 18px; }
small { color: var(--dim); display: block; white-space: nowrap; }
.legend { color: var(--dim); font-size: 13px; }
.better { color: var(--good); font-weight: 600; }
.worse, .failed { color: var(--bad); font-weight: 600; }
li, p { overflow-wrap: anywhere; }
a { color: inherit; }
"""
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<h1>{title}</h1>
{body}
</body>
</html>
"""


def to_html(report: Report) -> str:
    """Render a comparison as a page of its own."""
    names = [escape(revision.name) for revision in report.comparison.revisions]
    gates = [(str(each), "" if each.passed else "failed") for each in report.outcomes]
    body = [
        _list("Gates", gates),
        _table(report),
        f'<p class="legend">{escape(legend(report.comparison))}</p>',
        _list("Changed parameters", _plain(param_lines(report.comparison))),
        _list("Changed inputs", _plain(input_lines(report.comparison))),
        _list("Notes", _plain(remarks(report.comparison))),
    ]
    title = f"{', '.join(names[1:])} against {names[0]}"
    return _PAGE.format(title=title, style=STYLE, body="\n".join(body))


def _plain(lines: Iterable[str]) -> list[tuple[str, str]]:
    return [(line, "") for line in lines]


def _list(title: str, lines: list[tuple[str, str]]) -> str:
    """A titled list of lines with their classes; nothing if there are none."""
    items = "\n".join(f'<li class="{name}">{escape(line)}</li>' for line, name in lines)
    return f"<h2>{title}</h2>\n<ul>\n{items}\n</ul>" if items else ""


def _table(report: Report) -> str:
    head = "".join(
        f'<th scope="col">{metric.name.replace("_", "_<wbr>")}&nbsp;{metric.arrow}</th>' for metric in METRICS
    )
    rows = "\n".join(_block(report, block) for block in report.comparison.blocks)
    columns = f'<tr><th scope="col">revision</th>{head}</tr>'
    table = f"<table>\n<thead>{columns}</thead>\n<tbody>\n{rows}\n</tbody>\n</table>"
    return f'<div class="wide" tabindex="0">\n{table}\n</div>'


def _block(report: Report, block: Block) -> str:
    title = (
        f'<tr><th class="subject" scope="rowgroup" colspan="{len(METRICS) + 1}">{escape(block.subject.title)}</th></tr>'
    )
    lines = []
    for number, line in enumerate(block.lines):
        cells = "".join(_cell(text(line[metric.name], metric)) for metric in METRICS)
        lines.append(f'<tr><th scope="row">{_label(report, block, number)}</th>{cells}</tr>')
    return "\n".join([title, *lines])


def _label(report: Report, block: Block, number: int) -> str:
    name, *row = map(escape, label(report.comparison, block, number))
    url = run_of(report, block, number)
    linked = f'<a href="{escape(url)}" title="Run in MLflow">{name}</a>' if url else name
    return linked + "".join(f"<small>{each}</small>" for each in row)


def _cell(told: Text) -> str:
    verdict = f" *{told.verdict}" if told.verdict else ""
    delta = f'<small class="{told.verdict}">{escape(told.delta)}{verdict}</small>' if told.delta else ""
    interval = f"<small>{escape(told.interval)}</small>" if told.interval else ""
    return f"<td>{escape(told.value)}{delta}{interval}</td>"
