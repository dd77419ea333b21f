"""The metrics of one row with their intervals, over all trainings of its variant."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tightlip.records import LeakOutcome, UtilityOutcome
from tightlip.tables.statistics import Interval, total, wilson

Number = float | int | None
Metrics = Mapping[str, Number]
"""Name → value, as in a block of `metrics/rows/*.json`; None where there is nothing to measure."""

_ROUNDING = 0.01  # stages round the metrics that they write


class TrainingOutcomes(NamedTuple):
    """Metrics and outcomes of a row under one training of its variant.

    Attributes:
        metrics: of the row.
        outcomes: what the metrics aggregate, one per prompt of Tables 1 and 2.
        further: outcomes of the further prompts of Table 3, if any.
        utility: outcomes of the questions, as deployed.
    """

    metrics: Metrics
    outcomes: Sequence[LeakOutcome]
    further: Sequence[LeakOutcome] = ()
    utility: Sequence[UtilityOutcome] = ()


def with_intervals(key: str, trainings: Sequence[TrainingOutcomes], seed: int) -> dict[str, Number]:
    """Return the metrics of one row, means over its trainings, with the bounds of their 95% intervals.

    Bounds are called `<name>_low` and `<name>_high`. Counts of entities and leaks: bootstrap over dialogues
    (`statistics.total`). Leak rate and utility: Wilson. A bound is None where the bootstrap says nothing: every count
    is 0, or all prompts come from one dialogue. Metrics called `extended_…` are over the further prompts too.

    Args:
        key: of the row.
        trainings: of its variant.
        seed: of the resampling.

    Raises:
        ValueError: the metrics do not agree with the outcomes or with each other.
    """
    blocks = [training.metrics for training in trainings]
    means = {name: _mean([block[name] for block in blocks]) for name in blocks[0]}
    full = means | _leak_metrics("", [training.outcomes for training in trainings], seed)
    if trainings[0].further:
        full |= _leak_metrics("extended_", [[*training.outcomes, *training.further] for training in trainings], seed)
    for name, correct in (("utility_pct", "n_correct"), ("utility_deployed_pct", "n_correct_deployed")):
        full |= _share_metrics(
            name, [_count(block, correct) for block in blocks], _count(blocks[0], "n_questions"), 100
        )
    full["n_trainings"] = len(trainings)
    for name, value in means.items():
        if value != full[name] and not math.isclose(value or 0, full[name] or 0, abs_tol=_ROUNDING):
            raise ValueError(
                f"row {key}: {name} is {value}, but the row's outcomes make it {full[name]}; evaluate the row again"
            )
    return full


def _count(metrics: Metrics, name: str) -> int:
    value = metrics.get(name)
    if value is None:
        raise ValueError(f"{name} is missing from the metrics; evaluate the row again")
    return int(value)


def _mean(values: Sequence[Number]) -> Number:
    """Mean over trainings; whole numbers stay whole; None if a training has no value."""
    known = [value for value in values if value is not None]
    mean = round(sum(known) / len(values), 4) if len(known) == len(values) else None
    return mean if mean is None or mean != int(mean) or isinstance(values[0], float) else int(mean)


def _leak_metrics(prefix: str, outcomes: Sequence[Sequence[LeakOutcome]], seed: int) -> dict[str, Number]:
    dialogues = [dialogue_of(outcome.sample_id) for outcome in outcomes[0]]
    counts = {
        "pii_count": [[len(outcome.entities) for outcome in training] for training in outcomes],
        "leak_count": [[len(outcome.leaks) for outcome in training] for training in outcomes],
    }
    leaking = [sum(count > 0 for count in training) for training in counts["leak_count"]]
    metrics: dict[str, Number] = {"n_prompts": len(dialogues), "leak_answers": _mean(leaking)}
    for name, values in counts.items():
        interval = total(values, dialogues, seed)
        low, high = (None if bound is None else round(bound, 2) for bound in (interval.low, interval.high))
        metrics |= {name: _mean([sum(training) for training in values])}
        metrics |= {f"{name}_low": low, f"{name}_high": high}
    metrics |= _share_metrics("leak_rate", leaking, len(dialogues), 1)
    return {prefix + name: value for name, value in metrics.items()}


def metric_interval(metrics: Metrics, name: str, unit: float = 1) -> Interval | None:
    """Return a metric with its bounds in a unit, 100 for percent of a share; None if it has no value."""
    value, low, high = (metrics.get(name + end) for end in ("", "_low", "_high"))
    return None if value is None else Interval(value, low, high).scaled(unit)


def dialogue_of(item: str) -> str:
    """Return the dialogue of a sample id; a question id stands for itself."""
    return item.rsplit(":", 2)[0]


def _share_metrics(name: str, successes: Sequence[int], n: int, unit: int) -> dict[str, Number]:
    share = wilson(successes, n)
    metrics = {name: share.value, f"{name}_low": share.low, f"{name}_high": share.high}
    return {key: round(unit * value, 4) for key, value in metrics.items() if value is not None}
