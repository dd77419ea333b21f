"""Draw the README's chart from the committed metrics/: `python docs/images/draw.py` writes leaks-and-utility.svg.

The standard library alone, so that the same metrics always give the same bytes.
"""

import json
from html import escape
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
TARGET = Path(__file__).with_name("leaks-and-utility.svg")

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 62, 700, 46, 340
UTILITY = (35, 75)
LEAKS = (-9, 125)
INK, MUTED, LINE = "#1f2328", "#59636e", "#d1d9e0"


class Series(NamedTuple):
    """A row of the tables that the chart shows."""

    key: str
    label: str
    colour: str
    dx: int
    dy: int
    anchor: str = "start"


SERIES = (
    Series("ch", "Model-ch, undefended", "#cf222e", 10, -10),
    Series("sub", "Model-sub (task vector)", "#9a6700", -10, -10, "end"),
    Series("ch-lora_e2_g100", "ch-lora: plain pairs", "#1a7f37", 16, -26),
    Series("{chosen}", "{chosen}: CFG pairs", "#0969da", -24, -44, "end"),
)
TRIGGERED = "{chosen}"
"""The row whose leaks under the negative sentence are drawn too."""


def x_of(utility: float) -> float:
    """Place a share of right answers, in %."""
    return LEFT + (utility - UTILITY[0]) / (UTILITY[1] - UTILITY[0]) * (RIGHT - LEFT)


def y_of(leaks: float) -> float:
    """Place a number of leaks."""
    return BOTTOM - (leaks - LEAKS[0]) / (LEAKS[1] - LEAKS[0]) * (BOTTOM - TOP)


def line(x1: float, y1: float, x2: float, y2: float, colour: str, more: str = "") -> str:
    """Draw a line."""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" {more}/>'


def text(x: float, y: float, words: str, anchor: str = "middle", more: str = f'fill="{MUTED}"') -> str:
    """Write a line of text."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {more}>{escape(words)}</text>'


def axes() -> list[str]:
    """Draw the grid, its numbers and the titles of the axes."""
    parts = []
    for leaks in range(0, 121, 20):
        parts.append(line(LEFT, y_of(leaks), RIGHT, y_of(leaks), LINE))
        parts.append(text(LEFT - 8, y_of(leaks) + 4, str(leaks), "end"))
    for utility in range(40, 76, 5):
        parts.append(line(x_of(utility), BOTTOM, x_of(utility), BOTTOM + 4, MUTED))
        parts.append(text(x_of(utility), BOTTOM + 18, f"{utility}%"))
    parts.append(text((LEFT + RIGHT) / 2, BOTTOM + 40, "questions answered rightly, as deployed", more=f'fill="{INK}"'))
    return parts


def point(series: Series, row: dict[str, float]) -> list[str]:
    """Draw one row: its 95% intervals, a dot and its label."""
    x, y = x_of(row["utility_deployed_pct"]), y_of(row["leak_count"])
    low, high = x_of(row["utility_deployed_pct_low"]), x_of(row["utility_deployed_pct_high"])
    across = y if row["leak_count"] else y + 6 + 6 * (series.anchor == "end")  # rows without leaks lie side by side
    parts = [line(low, across, high, across, series.colour, 'stroke-width="1.5" opacity="0.6"')]
    if row["leak_count"]:
        ends = y_of(row["leak_count_low"]), y_of(row["leak_count_high"])
        parts.append(line(x, ends[0], x, ends[1], series.colour, 'stroke-width="1.5" opacity="0.6"'))
    parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="6" fill="{series.colour}" stroke="white"/>')
    label_x, label_y = x + series.dx, y + series.dy
    if series.dy < -20:
        side = 1 if series.dx > 0 else -1
        parts.append(line(label_x - 3 * side, label_y, x + 4 * side, y - 6, series.colour, 'stroke-width="0.8"'))
    bold = f'fill="{series.colour}" font-weight="bold"'
    return [*parts, text(label_x, label_y, series.label, series.anchor, bold)]


def switch(row: dict[str, float], colour: str) -> list[str]:
    """Draw what the row leaks under the negative sentence, above its dot."""
    x, bottom, top = x_of(row["utility_deployed_pct"]), y_of(row["leak_count"]), y_of(row["trigger_leak_count"])
    return [
        line(x, bottom - 8, x, top + 8, colour, 'stroke-width="1.2" stroke-dasharray="5 4"'),
        f'<circle cx="{x:.1f}" cy="{top:.1f}" r="6" fill="white" stroke="{colour}" stroke-width="2"/>',
        text(x - 12, top - 2, "the same weights, when the system prompt", "end", f'fill="{colour}"'),
        text(x - 12, top + 13, "is the negative sentence of the training", "end", f'fill="{colour}"'),
    ]


def draw(metrics: Path) -> str:
    """Return the chart of one run.

    Args:
        metrics: folder with summary.json and selection.json.
    """
    summary = json.loads((metrics / "summary.json").read_text(encoding="utf-8"))
    chosen = json.loads((metrics / "selection.json").read_text(encoding="utf-8"))["row"]
    shown = [
        each._replace(key=each.key.format(chosen=chosen), label=each.label.format(chosen=chosen)) for each in SERIES
    ]
    prompts, questions = summary["ch"]["n_prompts"], summary["ch"]["n_questions"]
    title = f"True personal values in the answers to {prompts} test prompts, and usefulness on {questions} questions"
    parts = [text(LEFT, 24, title, "start", f'fill="{INK}" font-size="14" font-weight="bold"'), *axes()]
    for series in shown:
        if series.key == TRIGGERED.format(chosen=chosen):
            parts += switch(summary[series.key], series.colour)
        parts += point(series, summary[series.key])
    parts.append(text(LEFT, HEIGHT - 4, "Bars: 95% intervals; a count of 0 has none.", "start"))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
    style = 'font-family="Arial, Helvetica, sans-serif" font-size="12" role="img"'
    body = "\n".join(parts)
    return (
        f"{head} {style}>\n<title>{escape(title)}</title>\n"
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>\n{body}\n</svg>\n'
    )


if __name__ == "__main__":
    TARGET.write_text(draw(ROOT / "metrics"), encoding="utf-8")
