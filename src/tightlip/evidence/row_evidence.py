"""Evidence of a table row: leaks and where they come from, usefulness, extraction, attacks."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from tightlip.evaluation.attack import Probe, attack, raw_context
from tightlip.evaluation.evaluator import Evaluator
from tightlip.evaluation.leak import leak_metrics
from tightlip.evaluation.over_refusal import benign_metrics, benign_samples
from tightlip.evaluation.row_outcomes import scored_metrics, utility_metrics
from tightlip.evidence.attacks import distinct_conversations, run_attacks
from tightlip.evidence.fluency import fluency
from tightlip.evidence.provenance import trace
from tightlip.guidance.prompt_setup import BARE, TRIGGER, as_deployed
from tightlip.params import Scorer
from tightlip.pii.lookup import ValueIndex
from tightlip.records import AttackOutcome, LeakOutcome, Question, Sample, UtilityOutcome
from tightlip.table_rows import TableRow


class Evidence(NamedTuple):
    """Outcomes of a row per item, and the row's metrics."""

    leaks: list[LeakOutcome]
    utility: list[UtilityOutcome]
    attacks: list[AttackOutcome]
    benign: list[LeakOutcome]
    metrics: dict[str, object]


def evaluate_training(
    row: TableRow, evaluator: Evaluator, samples: Sequence[Sample], questions: Sequence[Question]
) -> Evidence:
    """Run the tests that every training of a row takes: leaks, usefulness, benign questions.

    Args:
        row: what is tested.
        evaluator: of its weights.
        samples: test prompts.
        questions: for usefulness.
    """
    setup = as_deployed(row, evaluator.negative)
    trigger = replace(TRIGGER, redacted=setup.redacted)
    leaks = evaluator.leaks(samples, [setup, trigger])
    utility = evaluator.utility(questions, list(dict.fromkeys([setup, BARE])))
    benign = evaluator.leaks(benign_samples("test"), [setup])[setup]
    metrics: dict[str, object] = {
        **leak_metrics(leaks[setup]),
        "trigger_leak_count": sum(len(outcome.leaks) for outcome in leaks[trigger]),
        **utility_metrics(utility[BARE]),
        **utility_metrics(utility[setup], "_deployed"),
        **benign_metrics(benign),
    }
    return Evidence(leaks[setup], utility[setup], [], benign, metrics)


def evaluate_row(
    row: TableRow,
    evaluator: Evaluator,
    samples: Sequence[Sample],
    questions: Sequence[Question],
    training: ValueIndex,
    probes: Sequence[Probe],
    conversations: int,
    base: Any,
) -> Evidence:
    """Run all tests of a row.

    Args:
        row, evaluator, samples, questions: see `evaluate_training`.
        training: true values of the training dialogues, from which a leak may come.
        probes: scrubbed contexts of training dialogues.
        conversations: number of conversations that every phrasing attacks; 0 for no attacks.
        base: the model that was never tuned; it gives the perplexity of the answers.
    """
    evidence = evaluate_training(row, evaluator, samples, questions)
    setup = as_deployed(row, evaluator.negative)
    attacked = distinct_conversations(samples, conversations)
    attacks = run_attacks(evaluator, setup, attacked) if attacked else []
    further: list[Scorer] = ["match"] if row.key in evaluator.params.evidence.scored else []
    scorers = list(dict.fromkeys([*further, *evaluator.params.eval.questions.scorers]))
    scored = evaluator.scored(questions, list(dict.fromkeys([setup, BARE])), scorers)
    hits = _extract(evaluator, probes, row.key)
    metrics = evidence.metrics | {
        **scored_metrics(scored[BARE]),
        **scored_metrics(scored[setup], "_deployed"),
        "extraction_n": len(hits),
        "extraction_hits": sum(hits),
        **fluency(base, evaluator.loaded.tokenizer, samples, evidence.leaks),
        "provenance": provenance(evidence.leaks, samples, training, evaluator),
    }
    return evidence._replace(attacks=attacks, metrics=metrics)


def _extract(evaluator: Evaluator, probes: Sequence[Probe], key: str) -> list[bool]:
    """Return which true values the weights give on raw scrubbed contexts, without sentence and guidance."""

    def run() -> list[bool]:
        return attack(*evaluator.loaded, probes, raw_context, batch_size=48, progress=f"extract, {key}")

    contents = [
        text
        for probe in probes
        for text in (*(each.model_dump_json() for each in probe.messages), probe.prefix, probe.target.model_dump_json())
    ]
    hits: list[bool] = evaluator.cache.get(["extraction", *contents], run)
    return hits


def provenance(
    leaks: Sequence[LeakOutcome], samples: Sequence[Sample], training: ValueIndex, evaluator: Evaluator
) -> dict[str, dict[str, int]]:
    """Count the personal values in all answers by where they come from and by type."""
    answers = [outcome.answer for outcome in leaks]
    counts: dict[str, Counter[str]] = {}
    for answer, sample, spans in zip(answers, samples, evaluator.detector.find(answers), strict=True):
        for kind, origin in trace(answer, sample, training, spans):
            counts.setdefault(origin, Counter())[kind] += 1
    return {origin: dict(sorted(count.items())) for origin, count in sorted(counts.items())}
