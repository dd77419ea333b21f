"""Charts as SVG, drawn when the page is made; colours are the page's CSS variables, so that they follow its scheme."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

import pandas as pd

Spec = dict[str, Any]

# Drawn in this order for the series of a chart; colour, shape and dash each tell neighbours apart.
SHAPES = {
    "circle": "M5,0A5,5,0,1,1,-5,0A5,5,0,1,1,5,0",
    "square": "M-4.4,-4.4h8.8v8.8h-8.8Z",
    "triangle-up": "M0,-5L5.4,4.4H-5.4Z",
    "diamond": "M0,-6L6,0L0,6L-6,0Z",
    "triangle-down": "M0,5L5.4,-4.4H-5.4Z",
    "cross": "M-5,-1.7H-1.7V-5H1.7V-1.7H5V1.7H1.7V5H-1.7V1.7H-5Z",
    "triangle-right": "M5,0L-4.4,5.4V-5.4Z",
    "triangle-left": "M-5,0L4.4,5.4V-5.4Z",
}
DASHES: tuple[list[int], ...] = ([], [6, 3], [2, 2], [8, 3, 2, 3])
COLOURS = 8

_SCHEMA = "https://vega.github.io/schema/vega-lite/v5.json"
_CONFIG = {
    "aria": False, "background": None, "font": "Arial, Helvetica, sans-serif", "padding": 4,
    "autosize": {"type": "fit", "contains": "padding"},
    "view": {"stroke": "var(--line)"},
    "axis": {
        "domainColor": "var(--muted)", "tickColor": "var(--muted)", "gridColor": "var(--line)", "tickSize": 4,
        "labelColor": "var(--muted)", "titleColor": "var(--ink)", "labelFontSize": 12, "titleFontSize": 12,
        "titleFontWeight": "normal", "titlePadding": 6, "labelOverlap": False,
    },
    "text": {"fontSize": 12, "fill": "var(--ink)"},
    "line": {"strokeWidth": 1.8},
}  # fmt: skip


class Style(NamedTuple):
    """How a series is drawn."""

    name: str
    colour: str
    shape: str
    dash: list[int]

    @property
    def path(self) -> str:
        """Outline of the shape, for legends."""
        return SHAPES[self.shape]


def styles(names: Iterable[str]) -> list[Style]:
    """Give each series a colour, a shape and a dash, in order."""
    shapes = list(SHAPES)
    return [
        Style(
            name,
            f"var(--c{number % COLOURS + 1})",
            shapes[(number + number // COLOURS) % len(shapes)],
            DASHES[number % len(DASHES)],
        )
        for number, name in enumerate(dict.fromkeys(names))
    ]


def draw(spec: Spec, title: str) -> str:
    """Render a Vega-Lite spec as SVG that scales down with the page and has a title for screen readers."""
    from vl_convert import vegalite_to_svg

    svg = str(vegalite_to_svg({"$schema": _SCHEMA, "config": _CONFIG, **spec}))
    tag, rest = svg.split(">", 1)
    width = float(tag.split('width="')[1].split('"')[0])
    box = tag.split('viewBox="')[1].split('"')[0]
    return (
        f'<svg role="img" viewBox="{box}" style="max-width:{1.25 * width:.0f}px" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title>{rest}"
    )


def frontier(points: pd.DataFrame, series: Sequence[Style], width: int, height: int, title: str) -> str:
    """Draw leaks against usefulness with both intervals.

    Args:
        points: columns `series`, `label` (of highlighted points, else empty), `x`, `y` and their `_low` and `_high`.
        series: styles of the series.
        width, height: of the whole chart in pixels.
        title: for screen readers.
    """
    x = _axis("x", "usefulness as deployed, % of questions right", {"zero": False, "padding": 12})
    y = _axis("y", "answers that leak, %", {"domain": [-4, 108], "nice": False}, values=[0, 20, 40, 60, 80, 100])
    colour = _by(series, "color", "colour")
    bar = {"color": colour, "opacity": _if_named(1, 0.35), "strokeWidth": _if_named(2.2, 1)}
    place = {"x": x, "y": y}
    upright = {**place, "y": {**y, "field": "y_low"}, "y2": {"field": "y_high"}}
    across = {**place, "x": {**x, "field": "x_low"}, "x2": {"field": "x_high"}}
    dot = {"type": "point", "filled": True, "opacity": 1, "stroke": "var(--paper)", "strokeWidth": 0.8}
    looks = {"color": colour, "shape": _by(series, "shape", "shape"), "size": _if_named(170, 70)}
    text = {"type": "text", "fontWeight": "bold", "dy": -9, "align": {"expr": "datum.align"}}
    layers: list[Spec] = [
        {"mark": "rule", "encoding": upright | bar},
        {"mark": "rule", "encoding": across | bar},
        {"mark": dot, "encoding": place | looks},
        {"mark": text, "encoding": {"x": x, "y": {**y, "field": "y_high"}, "text": {"field": "label"}}},
    ]
    return draw({"width": width, "height": height, "data": _data(points), "layer": layers}, title)


def _if_named(then: float, otherwise: float) -> Spec:
    return {"condition": {"test": "datum.label != ''", "value": then}, "value": otherwise}


def lines(
    points: pd.DataFrame, series: Sequence[Style], x_title: str, y_title: str, title: str, *,
    width: int, height: int, x_values: Sequence[float] | None = None,
    y_scale: Mapping[str, Any] | None = None, dots: bool = True,
) -> str:  # fmt: skip
    """Draw a line per `line` of a series, with whiskers where the points have bounds.

    Args:
        points: columns `series`, `line`, `x`, `y`, `y_low`, `y_high`; points without bounds have none of the last two.
        series: styles of the series.
        x_title, y_title: of the axes, with units.
        title: for screen readers.
        width, height: of the whole chart in pixels.
        x_values: ticks of the x axis.
        y_scale: of the y axis.
        dots: whether points are marked.
    """
    x = _axis("x", x_title, {"zero": False, "padding": 10}, values=x_values)
    y = _axis("y", y_title, {"zero": False} if y_scale is None else y_scale)
    colour = _by(series, "color", "colour")
    detail = {"field": "line", "type": "nominal"}
    drawn = {"x": x, "y": y, "color": colour, "detail": detail, "strokeDash": _by(series, "strokeDash", "dash")}
    layers: list[Spec] = [{"mark": {"type": "line"}, "encoding": drawn}]
    if "y_low" in points:
        bounds = {"x": x, "y": {**y, "field": "y_low"}, "y2": {"field": "y_high"}, "color": colour}
        layers.insert(0, {"mark": {"type": "rule", "opacity": 0.6}, "encoding": bounds})
    if dots:
        shape = _by(series, "shape", "shape")
        mark = {"type": "point", "filled": True, "opacity": 1, "size": 55}
        layers.append({"mark": mark, "encoding": {"x": x, "y": y, "color": colour, "shape": shape}})
    return draw({"width": width, "height": height, "data": _data(points), "layer": layers}, title)


def _axis(field: str, title: str, scale: Mapping[str, Any], values: Sequence[float] | None = None) -> Spec:
    axis: Spec = {"title": title, "labelExpr": "replace(format(datum.value, '.6~g'), '-', '−')"}
    axis |= {"tickCount": 5} if values is None else {"values": list(values)}
    return {"field": field, "type": "quantitative", "scale": dict(scale), "axis": axis}


def _by(series: Sequence[Style], channel: str, attribute: str) -> Spec:
    drawn = [getattr(style, attribute) for style in series]
    if channel == "strokeDash":
        drawn = [dash or [1, 0] for dash in drawn]
    scale = {"domain": [style.name for style in series], "range": drawn}
    return {"field": "series", "type": "nominal", "scale": scale, "legend": None}


def _data(points: pd.DataFrame) -> Spec:
    cleaned = points.astype(object).where(points.notna(), None)
    return {"values": cleaned.to_dict(orient="records")}
