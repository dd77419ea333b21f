"""Choosing epoch, γ and space on the dev split, so that the test split is touched for the final rows only."""

from collections.abc import Callable, Mapping, Sequence

from tightlip.table_rows import parse_row

MAX_DEGENERATE = 0.1
"""Share of unreadable answers above which a setting is excluded, unless all are."""

Metrics = Mapping[str, float | int]


def select_row(metrics: Mapping[str, Metrics], undefended_pct: float, margin: float) -> str:
    """Choose the row with the fewest leaks on dev, among those that are still useful and readable.

    Ties go to the lower entity count, then to the smaller γ, then to the key.

    Args:
        metrics: of each row, on the dev samples and questions.
        undefended_pct: usefulness of the undefended model on the same questions.
        margin: points of usefulness that a row may lose as deployed; if all lose more, the most useful remain.
    """

    def unreadable(key: str) -> float:
        return max(0.0, metrics[key]["degenerate_count"] / metrics[key]["n_prompts"] - MAX_DEGENERATE)

    def lost(key: str) -> float:
        return max(0.0, round(undefended_pct - metrics[key]["utility_deployed_pct"] - margin, 6))

    candidates = _least(_least(list(metrics), unreadable), lost)
    return min(
        candidates,
        key=lambda key: (metrics[key]["leak_count"], metrics[key]["pii_count"], _scale(key), key),
    )


def _scale(key: str) -> float:
    guidance = parse_row(key).guidance
    return guidance.scale if guidance else 1.0


def _least(keys: Sequence[str], excess: Callable[[str], float]) -> list[str]:
    least = min(map(excess, keys))
    return [key for key in keys if excess(key) == least]
