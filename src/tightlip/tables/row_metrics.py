"""The figures of one row with their intervals, over all trainings of its variant."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tightlip.records import LeakOutcome, UtilityOutcome
from tightlip.tables.statistics import total, wilson

Number = float | int | None
Block = Mapping[str, Number]

_ROUNDING = 0.01  # the stage rounds what it writes


class Training(NamedTuple):
    """What one training of a row's variant came to.

    Attributes:
        figures: of the row.
        outcomes: those that the figures come from, one per prompt of Tables 1 and 2.
        more: outcomes of further test prompts, if any.
        utility: answered questions, as deployed.
    """

    figures: Block
    outcomes: Sequence[LeakOutcome]
    more: Sequence[LeakOutcome] = ()
    utility: Sequence[UtilityOutcome] = ()


def with_intervals(key: str, trainings: Sequence[Training], seed: int) -> dict[str, Number]:
    """Return the figures of one row, means over its trainings, with the bounds of their 95% intervals.

    Bounds are called `<name>_low` and `<name>_high`. Counts of entities and leaks: bootstrap over dialogues
    (`statistics.total`). Leak rate and utility: Wilson. A bound is None where the bootstrap says nothing: every count
    is 0, or all prompts come from one dialogue. `extended_` figures are over the further test prompts too.

    Args:
        key: of the row.
        trainings: of its variant.
        seed: of the resampling.

    Raises:
        ValueError: the figures do not agree with the outcomes or with each other.
    """
    blocks = [training.figures for training in trainings]
    block = {name: _mean([each[name] for each in blocks]) for name in blocks[0]}
    full = block | _leaks("", [training.outcomes for training in trainings], seed)
    if trainings[0].more:
        full |= _leaks("extended_", [[*training.outcomes, *training.more] for training in trainings], seed)
    for name, correct in (("utility_pct", "n_correct"), ("utility_deployed_pct", "n_correct_deployed")):
        full |= _share(name, [_count(each, correct) for each in blocks], _count(blocks[0], "n_questions"), 100)
    full["n_trainings"] = len(trainings)
    for name, value in block.items():
        if value != full[name] and not math.isclose(value or 0, full[name] or 0, abs_tol=_ROUNDING):
            raise ValueError(
                f"row {key}: {name} is {value}, but the row's records make it {full[name]}; evaluate the row again"
            )
    return full


def _count(block: Block, name: str) -> int:
    value = block.get(name)
    if value is None:
        raise ValueError(f"{name} is missing from the figures; evaluate the row again")
    return int(value)


def _mean(values: Sequence[Number]) -> Number:
    """Mean over trainings; whole numbers stay whole."""
    known = [value for value in values if value is not None]
    mean = round(sum(known) / len(values), 4) if len(known) == len(values) else None
    return mean if mean is None or mean != int(mean) or isinstance(values[0], float) else int(mean)


def _leaks(prefix: str, outcomes: Sequence[Sequence[LeakOutcome]], seed: int) -> dict[str, Number]:
    dialogues = [dialogue_of(outcome.sample_id) for outcome in outcomes[0]]
    counts = {
        "pii_count": [[len(outcome.entities) for outcome in of_training] for of_training in outcomes],
        "leak_count": [[len(outcome.leaks) for outcome in of_training] for of_training in outcomes],
    }
    leaking = [sum(count > 0 for count in of_training) for of_training in counts["leak_count"]]
    figures: dict[str, Number] = {"n_prompts": len(dialogues), "leak_answers": _mean(leaking)}
    for name, values in counts.items():
        interval = total(values, dialogues, seed)
        low, high = (None if bound is None else round(bound, 2) for bound in (interval.low, interval.high))
        figures |= {name: _mean([sum(of_training) for of_training in values])}
        figures |= {f"{name}_low": low, f"{name}_high": high}
    figures |= _share("leak_rate", leaking, len(dialogues), 1)
    return {prefix + name: figure for name, figure in figures.items()}


def dialogue_of(sample_id: str) -> str:
    """Name the dialogue of a sample, or of a question itself."""
    return sample_id.rsplit(":", 2)[0]


def _share(name: str, successes: Sequence[int], n: int, unit: int) -> dict[str, Number]:
    share = wilson(successes, n)
    figures = {name: share.value, f"{name}_low": share.low, f"{name}_high": share.high}
    return {key: round(unit * figure, 4) for key, figure in figures.items() if figure is not None}
