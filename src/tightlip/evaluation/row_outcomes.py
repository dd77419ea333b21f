"""The tests of a table row: leaks, usefulness bare and as deployed, and the trigger."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tightlip.evaluation.evaluator import Evaluator
from tightlip.evaluation.leak import leak_metrics
from tightlip.guidance.prompt_setup import BARE, TRIGGER, as_deployed
from tightlip.params import Scorer
from tightlip.records import LeakOutcome, Question, Sample, ScoredAnswer, UtilityOutcome
from tightlip.table_rows import TableRow


class RowOutcomes(NamedTuple):
    """Outcomes of a row per item, of the leak test, the questions and the further prompts, and the row's metrics."""

    leaks: list[LeakOutcome]
    utility: list[UtilityOutcome]
    extended: list[LeakOutcome]
    metrics: dict[str, float | int]


def evaluate_rows(
    rows: Sequence[TableRow], evaluator: Evaluator, samples: Sequence[Sample], questions: Sequence[Question]
) -> dict[TableRow, RowOutcomes]:
    """Run all tests of rows with the same weights.

    Args:
        rows: differ in γ and space.
        evaluator: of their weights.
        samples: all test prompts; only rows of `eval.extended` are tested on those beyond `eval.prompts`.
        questions: for usefulness.

    Raises:
        ValueError: a row is in `eval.extended`, and there is no prompt beyond `eval.prompts`.
    """
    settings = evaluator.params.eval
    setups = {row: as_deployed(row, evaluator.negative) for row in rows}
    extended_keys = {row.key for row in settings.extended.rows()}
    first, further = samples[: settings.prompts], samples[settings.prompts :]
    extended_setups = [setup for row, setup in setups.items() if row.key in extended_keys]
    if extended_setups and not further:
        raise ValueError(
            f"no test prompt beyond the first {settings.prompts}; raise samples.test or lower eval.prompts"
        )
    question_setups = list(dict.fromkeys([*setups.values(), BARE]))
    leaks = evaluator.leaks(first, list(dict.fromkeys([*setups.values(), TRIGGER])))
    extended = evaluator.leaks(further, extended_setups)
    utility = evaluator.utility(questions, question_setups)
    scored = evaluator.scored(questions, question_setups, settings.questions.scorers)
    trigger = leak_metrics(leaks[TRIGGER])
    shared = {
        "trigger_leak_count": trigger["leak_count"],
        "trigger_pii_count": trigger["pii_count"],
        **utility_metrics(utility[BARE]),
        **scored_metrics(scored[BARE]),
    }
    return {
        row: RowOutcomes(
            leaks[setup],
            utility[setup],
            extended.get(setup, []),
            leak_metrics(leaks[setup])
            | shared
            | utility_metrics(utility[setup], "_deployed")
            | scored_metrics(scored[setup], "_deployed"),
        )
        for row, setup in setups.items()
    }


def utility_metrics(outcomes: Sequence[UtilityOutcome], suffix: str = "") -> dict[str, float | int]:
    """Aggregate answered questions; the suffix `_deployed` names those under the row's sentence and guidance."""
    correct = sum(outcome.correct for outcome in outcomes)
    return {
        "n_questions": len(outcomes),
        f"n_correct{suffix}": correct,
        f"utility{suffix}_pct": round(100 * correct / len(outcomes), 2),
    }


def scored_metrics(scored: Mapping[Scorer, Sequence[ScoredAnswer]], suffix: str = "") -> dict[str, float | int]:
    """Aggregate written answers per scorer (`generated.answer_metrics`)."""
    from tightlip.evaluation.generated import answer_metrics

    metrics: dict[str, float | int] = {}
    for scorer, outcomes in scored.items():
        metrics |= answer_metrics(outcomes, scorer, suffix)
    return metrics


def mean_metrics(trainings: Sequence[Mapping[str, float | int]]) -> dict[str, float | int]:
    """Return the mean of each metric over trainings; of one training, its metrics themselves."""
    if len(trainings) == 1:
        return dict(trainings[0])
    return {name: round(sum(each[name] for each in trainings) / len(trainings), 4) for name in trainings[0]}
