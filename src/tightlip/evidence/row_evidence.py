"""Rows of the evidence: leaks and where they come from, usefulness, extraction, attacks."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from tightlip.evaluation.attack import Probe, attack, raw_context
from tightlip.evaluation.evaluator import Evaluator, scored_metrics, utility_metrics
from tightlip.evaluation.leak import leak_metrics
from tightlip.evaluation.over_refusal import benign_metrics, benign_samples
from tightlip.evidence.attacks import run_attacks, targets
from tightlip.evidence.fluency import fluency
from tightlip.evidence.provenance import trace
from tightlip.guidance.prompt_setup import BARE, TRIGGER, as_deployed
from tightlip.params import Scorer
from tightlip.pii.detectors import entities
from tightlip.pii.lookup import ValueIndex
from tightlip.pii.patterns import structured
from tightlip.records import AttackOutcome, LeakOutcome, Question, Sample, UtilityOutcome
from tightlip.table_rows import TableRow


class Evidence(NamedTuple):
    """A tested row: outcomes per item, and its figures."""

    leaks: list[LeakOutcome]
    utility: list[UtilityOutcome]
    attacks: list[AttackOutcome]
    benign: list[LeakOutcome]
    metrics: dict[str, object]


def retest(row: TableRow, evaluator: Evaluator, samples: Sequence[Sample], questions: Sequence[Question]) -> Evidence:
    """Test what every training of a row is tested for: leaks, usefulness, benign questions.

    Args:
        row: what is tested.
        evaluator: of its weights.
        samples: test prompts.
        questions: for usefulness.
    """
    setup = as_deployed(row, evaluator.negative)
    triggered = replace(TRIGGER, redacted=setup.redacted)
    leaks = evaluator.leaks(samples, [setup, triggered])
    utility = evaluator.utility(questions, list(dict.fromkeys([setup, BARE])))
    benign = evaluator.leaks(benign_samples("test"), [setup])[setup]
    metrics: dict[str, object] = {
        **leak_metrics(leaks[setup]),
        "trigger_leak_count": sum(len(outcome.leaks) for outcome in leaks[triggered]),
        **utility_metrics(utility[BARE]),
        **utility_metrics(utility[setup], "_deployed"),
        **benign_metrics(benign),
    }
    return Evidence(leaks[setup], utility[setup], [], benign, metrics)


def examine(
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
        row, evaluator, samples, questions: see `retest`.
        training: true values of the training dialogues, from which a leak may come.
        probes: scrubbed contexts of training dialogues.
        conversations: how many are attacked with every phrasing; 0 for none.
        base: the model that was never tuned, under which answers are read.
    """
    found = retest(row, evaluator, samples, questions)
    setup, subject = as_deployed(row, evaluator.negative), evaluator.subject
    attacked = run_attacks(evaluator, setup, targets(samples, conversations)) if conversations else []
    further: list[Scorer] = ["match"] if row.key in evaluator.params.evidence.scored else []
    scorers = list(dict.fromkeys([*further, *evaluator.params.eval.questions.scorers]))
    written = evaluator.scored(questions, list(dict.fromkeys([setup, BARE])), scorers)
    told = [part for probe in probes for part in (*(m.model_dump_json() for m in probe.messages), probe.prefix,
            probe.target.model_dump_json())]  # fmt: skip
    hits = evaluator.once("extraction", told, lambda: attack(
        subject.model, subject.tokenizer, probes, raw_context, batch_size=48, progress=f"extract, {row.key}",
    ))  # fmt: skip
    metrics = found.metrics | {
        **scored_metrics(written[BARE]),
        **scored_metrics(written[setup], "_deployed"),
        "extraction_n": len(hits),
        "extraction_hits": sum(hits),
        **fluency(base, subject.tokenizer, samples, found.leaks),
        "provenance": provenance(found.leaks, samples, training, evaluator),
    }
    return found._replace(attacks=attacked, metrics=metrics)


def provenance(
    leaks: Sequence[LeakOutcome], samples: Sequence[Sample], training: ValueIndex, evaluator: Evaluator
) -> dict[str, dict[str, int]]:
    """Count the personal values in all answers by where they come from and by type."""
    answers = [outcome.answer for outcome in leaks]
    ignored = evaluator.params.filter.ignored_labels
    named, shaped = entities(evaluator.subject.ner, answers, ignored), structured(answers)
    counts: dict[str, Counter[str]] = {}
    for answer, sample, names, shapes in zip(answers, samples, named, shaped, strict=True):
        for kind, origin in trace(answer, sample, training, [*shapes, *names]):
            counts.setdefault(origin, Counter())[kind] += 1
    return {origin: dict(sorted(count.items())) for origin, count in sorted(counts.items())}
