"""Metrics and their 95% intervals as text: one form for tables, comparisons and pages."""

from tightlip.tables.statistics import Interval

MISSING = "–"


def interval_text(interval: Interval, form: str = ".0f") -> str:
    """Write a value with its bounds, `12 [8, 15]`; without bounds the value alone."""
    value = f"{interval.value:{form}}"
    if interval.low is None or interval.high is None:
        return value
    return f"{value} {bounds_text(interval.low, interval.high, form)}"


def bounds_text(low: float, high: float, form: str) -> str:
    """Write the bounds of an interval: `[8, 15]`."""
    return f"[{low:{form}}, {high:{form}}]"


def split_interval(text: str) -> tuple[str, str]:
    """Split what `interval_text` wrote into the value and its bounds, which are empty if there are none."""
    value, bracket, bounds = text.partition(" [")
    return value, bracket.strip() + bounds


def percent_text(percent: Interval) -> str:
    """Write a percentage for a sentence: `92.0%, 95% CI 81.2–96.9%`."""
    text = f"{percent.value:.1f}%"
    if percent.low is None or percent.high is None:
        return text
    return f"{text}, 95% CI {percent.low:.1f}–{percent.high:.1f}%"


def signed_text(points: float) -> str:
    """Write a difference for a sentence, with its sign: `+1.5`, `−1.5`, `±0.0`."""
    return f"{points:+.1f}".replace("-", "−").replace("+0.0", "±0.0").replace("−0.0", "±0.0")


def p_text(p: float) -> str:
    """Write a p-value: `0.012`, `< 0.001`."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
