"""Turns the metrics of a run into the data of charts and bars."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import pandas as pd

from tightlip.html_report import charts
from tightlip.records import FilteredAnswer, LeakOutcome
from tightlip.table_rows import TableRow, parse_row
from tightlip.tables.main_tables import Summary
from tightlip.tables.row_metrics import Metrics, metric_interval
from tightlip.tables.statistics import Interval, wilson

# Parts of the filter in order: names of the reasons that it records, and a label of the answers that are left.
FILTER_STEPS = (
    (("finish", "degenerate"), "finished and worth reading"),
    (("truth",), "and without a true value"),
    (("pattern",), "and without a structured value (e-mail, phone, …)"),
    (("ner",), "and without a named entity"),
)
CURVE_TITLES = {
    "loss": "loss", "nll_loss": "likelihood term (NLL)", "log_odds_ratio": "log σ of the log odds ratio",
    "rewards/chosen": "reward of chosen", "rewards/rejected": "reward of rejected", "rewards/margins": "reward margin",
    "rewards/accuracies": "chosen above rejected, share",
}  # fmt: skip
PANELS = (
    ("log", "leak_rate", 100, "answers that leak, %"),
    ("prob", "leak_rate", 100, "answers that leak, %"),
    ("log", "utility_deployed_pct", 1, "usefulness as deployed, %"),
    ("prob", "utility_deployed_pct", 1, "usefulness as deployed, %"),
)
SPACES = {"log": "log space", "prob": "probability space"}


class Bar(NamedTuple):
    """A bar of a table.

    Attributes:
        label: text beside the bar.
        parts: value and CSS class of its stacked segments.
        total: value that fills the whole width.
    """

    label: str
    parts: tuple[tuple[int, str], ...]
    total: int

    @property
    def value(self) -> int:
        """Sum of the segments."""
        return sum(value for value, _ in self.parts)


class Panel(NamedTuple):
    """A chart of a group of small ones."""

    heading: str
    svg: str


def series_name(row: TableRow) -> str:
    """Name the series that a row belongs to."""
    return row.variant or f"{row.model}, no adapter"


def axis_values(metrics: Metrics, name: str, unit: float, axis: str) -> dict[str, float]:
    """Return a metric and its bounds for one axis; without bounds both are the value itself."""
    return _axis_values(metric_interval(metrics, name) or Interval(0.0), unit, axis)


def _axis_values(interval: Interval, unit: float, axis: str) -> dict[str, float]:
    value, low, high = interval
    ends = {f"{axis}_low": value if low is None else low, f"{axis}_high": value if high is None else high}
    return {key: round(unit * bound, 4) for key, bound in ({axis: value} | ends).items()}


def frontier(summary: Summary, named: Mapping[str, str]) -> pd.DataFrame:
    """Return the points of the frontier.

    Args:
        summary: metrics of all rows.
        named: row key → label of the points that are named in the chart.
    """
    rows = sorted(map(parse_row, summary), key=lambda row: row.key in named)  # named points are drawn on top
    points = pd.DataFrame([
        {
            "series": series_name(row), "label": named.get(row.key, ""),
            **axis_values(summary[row.key], "utility_deployed_pct", 1, "x"),
            **axis_values(summary[row.key], "leak_rate", 100, "y"),
        }
        for row in rows
    ])  # fmt: skip
    low, high = points["x_low"].min(), points["x_high"].max()
    points["align"] = [_alignment((x - low) / ((high - low) or 1)) for x in points["x"]]
    return points


def _alignment(place: float) -> str:
    """Align a label so that it stays inside the chart; its place lies between 0 (left) and 1 (right)."""
    return "left" if place < 0.15 else "right" if place > 0.85 else "center"


def guidance(summary: Summary, series: Sequence[charts.Style]) -> list[Panel]:
    """Draw leaks and usefulness over γ in both spaces; γ = 1 belongs to both."""
    rows = [(row, row.guidance) for row in map(parse_row, summary) if row.guidance is not None]
    ticks = sorted({guidance.scale for _, guidance in rows})
    panels = []
    for space, name, unit, title in PANELS:
        in_space = [(row, each.scale) for row, each in rows if each.space == space or not each.needs_negative]
        points = pd.DataFrame([
            {
                "series": series_name(row), "line": row.checkpoint,
                "x": scale + _offset(series_name(row), series, ticks),
                **axis_values(summary[row.key], name, unit, "y"),
            }
            for row, scale in sorted(in_space, key=lambda each: each[1])
        ])  # fmt: skip
        description = f"{title} over the guidance scale γ in {SPACES[space]}, with 95% intervals"
        svg = charts.lines(
            points, series, "guidance scale γ", title, description, width=280, height=250, x_values=ticks,
            y_scale={"domain": [0, 100]},
        )  # fmt: skip
        panels.append(Panel(f"{'Leaks' if name == 'leak_rate' else 'Usefulness'}, {SPACES[space]}", svg))
    return panels


def _offset(name: str, series: Sequence[charts.Style], ticks: Sequence[float]) -> float:
    """Return how far a series is moved along the x axis, so that whiskers at the same γ do not hide each other."""
    number = [style.name for style in series].index(name)
    step = min((b - a for a, b in pairwise(ticks)), default=1.0)
    return 0.06 * step * (number - (len(series) - 1) / 2)


def training(curves: pd.DataFrame, series: Sequence[charts.Style], split: str) -> list[Panel]:
    """Draw the curves of all trainings, a chart per column of `CURVE_TITLES`.

    Args:
        curves: columns `epoch`, `split`, `variant` and those of `CURVE_TITLES`.
        series: styles of the variants.
        split: `train` (the paper's Figure 3) or `eval` (Figure 4).
    """
    split_curves = curves[curves["split"] == split]
    epochs = range(math.ceil(split_curves["epoch"].max()) + 1) if len(split_curves) else []
    panels = []
    for name, title in _curve_titles(curves).items():
        points = pd.DataFrame({
            "series": split_curves["variant"], "line": split_curves["variant"], "x": split_curves["epoch"].round(3),
            "y": split_curves[name].round(4),
        }).dropna()  # fmt: skip
        if len(points):
            svg = charts.lines(
                points, series, "epoch", "", f"{title} over epochs, {split}", width=280, height=185,
                x_values=list(epochs) if split == "eval" else None, dots=split == "eval",
            )  # fmt: skip
            panels.append(Panel(title, svg))
    return panels


def _curve_titles(curves: pd.DataFrame) -> dict[str, str]:
    return {name: title for name, title in CURVE_TITLES.items() if name in curves}


def last_points(curves: pd.DataFrame) -> pd.DataFrame:
    """Return the last point of every training's curves on the dev split."""
    ends = curves[curves["split"] == "eval"].groupby("variant", sort=False).last().reset_index()
    named = ends[["variant", "epoch", *_curve_titles(curves)]].rename(columns=CURVE_TITLES)
    return named.map(lambda cell: f"{cell:.3g}" if isinstance(cell, float) else str(cell))


def relearning(counts: pd.DataFrame, names: Mapping[str, str]) -> tuple[list[charts.Style], str]:
    """Draw the share of answers that leak over the steps of relearning.

    Args:
        counts: columns row, steps, n_prompts, leak_answers.
        names: row key → name of the series.
    """
    points = []
    for line in counts.itertuples():
        share = wilson(int(line.leak_answers), int(line.n_prompts))  # type: ignore[arg-type]
        name = names[str(line.row)]
        points.append({"series": name, "line": name, "x": line.steps, **_axis_values(share, 100, "y")})
    series = charts.styles(names[str(key)] for key in counts["row"])
    svg = charts.lines(
        pd.DataFrame(points), series, "steps of relearning", "answers that leak, %",
        "Answers that leak over steps of relearning, with 95% intervals", width=400, height=290,
        x_values=sorted(set(counts["steps"])), y_scale={"domain": [0, 100]},
    )  # fmt: skip
    return series, svg


def funnel(answers: Sequence[FilteredAnswer]) -> list[Bar]:
    """Count the answers of a source that are left after each part of the filter."""
    n, applied = len(answers), set[str]()
    bars = [Bar("answers", ((n, "accepted"),), n)]
    for kinds, label in FILTER_STEPS:
        applied |= set(kinds)
        left = sum(not applied & {reason.split(":")[0] for reason in answer.reasons} for answer in answers)
        bars.append(Bar(label, ((left, "accepted"),), n))
    return bars


def reasons(answers: Sequence[FilteredAnswer]) -> list[tuple[str, int]]:
    """Count the answers that were rejected for each reason, the most frequent reason first."""
    counted = Counter(reason for answer in answers for reason in set(answer.reasons))
    return sorted(counted.items(), key=lambda item: (-item[1], item[0]))


def leaked_types(outcomes: Mapping[str, Iterable[LeakOutcome]]) -> pd.DataFrame:
    """Count leaks by type, a column per heading, the most frequent type first."""
    columns = {
        heading: Counter(leak.type for outcome in row_outcomes for leak in outcome.leaks)
        for heading, row_outcomes in outcomes.items()
    }
    table = pd.DataFrame(columns).fillna(0).astype(int)
    return table.loc[sorted(table.index, key=lambda kind: (-table.loc[kind].sum(), kind))]


def by_origin(provenance: Mapping[str, Mapping[str, int]], origins: Sequence[str]) -> list[Bar]:
    """Stack the values of each type by their origin."""
    kinds = Counter[str]()
    for counts in provenance.values():
        kinds.update(counts)
    most = max(kinds.values(), default=1)
    return [
        Bar(kind, tuple((provenance.get(origin, {}).get(kind, 0), origin) for origin in origins), most)
        for kind, _ in sorted(kinds.items(), key=lambda item: (-item[1], item[0]))
    ]
