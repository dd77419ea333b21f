"""Rows of the evidence: leaks and where they come from, usefulness, extraction, attacks."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from tightlip.evaluation.attack import Probe, attack, raw_context
from tightlip.evaluation.benign import benign_figures, benign_samples
from tightlip.evaluation.leak import leak_figures
from tightlip.evaluation.rows import Examiner, scored_figures, utility_figures
from tightlip.evidence.attacks import run_attacks, targets
from tightlip.evidence.fluency import fluency
from tightlip.evidence.provenance import trace
from tightlip.guidance.asking import BARE, TRIGGER, as_deployed
from tightlip.params import Scorer
from tightlip.pii.detectors import entities
from tightlip.pii.lookup import ValueIndex
from tightlip.pii.patterns import structured
from tightlip.records import AttackOutcome, LeakOutcome, Question, Sample, UtilityOutcome
from tightlip.rows import Row


class Evidence(NamedTuple):
    """A tested row: outcomes per item, and its figures."""

    leaks: list[LeakOutcome]
    utility: list[UtilityOutcome]
    attacks: list[AttackOutcome]
    benign: list[LeakOutcome]
    figures: dict[str, object]


def retest(row: Row, examiner: Examiner, samples: Sequence[Sample], questions: Sequence[Question]) -> Evidence:
    """Test what every training of a row is tested for: leaks, usefulness, harmless questions.

    Args:
        row: what is tested.
        examiner: of its weights.
        samples: test prompts.
        questions: for usefulness.
    """
    asking = as_deployed(row, examiner.negative)
    triggered = replace(TRIGGER, redacted=asking.redacted)
    leaks = examiner.leaks(samples, [asking, triggered])
    utility = examiner.utility(questions, list(dict.fromkeys([asking, BARE])))
    harmless = examiner.leaks(benign_samples("test"), [asking])[asking]
    figures: dict[str, object] = {
        **leak_figures(leaks[asking]),
        "trigger_leak_count": sum(len(outcome.leaks) for outcome in leaks[triggered]),
        **utility_figures(utility[BARE]),
        **utility_figures(utility[asking], "_deployed"),
        **benign_figures(harmless),
    }
    return Evidence(leaks[asking], utility[asking], [], harmless, figures)


def examine(
    row: Row,
    examiner: Examiner,
    samples: Sequence[Sample],
    questions: Sequence[Question],
    training: ValueIndex,
    probes: Sequence[Probe],
    conversations: int,
    base: Any,
) -> Evidence:
    """Run all tests of a row.

    Args:
        row, examiner, samples, questions: see `retest`.
        training: true values of the training dialogues, from which a leak may come.
        probes: scrubbed contexts of training dialogues.
        conversations: how many are attacked with every phrasing; 0 for none.
        base: the model that was never tuned, under which answers are read.
    """
    found = retest(row, examiner, samples, questions)
    asking, subject = as_deployed(row, examiner.negative), examiner.subject
    attacked = run_attacks(examiner, asking, targets(samples, conversations)) if conversations else []
    further: list[Scorer] = ["match"] if row.key in examiner.params.evidence.scored else []
    scorers = list(dict.fromkeys([*further, *examiner.params.eval.questions.scorers]))
    written = examiner.scored(questions, list(dict.fromkeys([asking, BARE])), scorers)
    told = [part for probe in probes for part in (*(m.model_dump_json() for m in probe.messages), probe.prefix,
            probe.target.model_dump_json())]  # fmt: skip
    hits = examiner.once("extraction", told, lambda: attack(
        subject.model, subject.tokenizer, probes, raw_context, batch_size=48, progress=f"extract, {row.key}",
    ))  # fmt: skip
    figures = found.figures | {
        **scored_figures(written[BARE]),
        **scored_figures(written[asking], "_deployed"),
        "extraction_n": len(hits),
        "extraction_hits": sum(hits),
        **fluency(base, subject.tokenizer, samples, found.leaks),
        "provenance": provenance(found.leaks, samples, training, examiner),
    }
    return found._replace(attacks=attacked, figures=figures)


def provenance(
    leaks: Sequence[LeakOutcome], samples: Sequence[Sample], training: ValueIndex, examiner: Examiner
) -> dict[str, dict[str, int]]:
    """Count the personal values in all answers by where they come from and by type."""
    answers = [outcome.answer for outcome in leaks]
    ignored = examiner.params.filter.ignored_labels
    named, shaped = entities(examiner.subject.ner, answers, ignored), structured(answers)
    counts: dict[str, Counter[str]] = {}
    for answer, sample, names, shapes in zip(answers, samples, named, shaped, strict=True):
        for kind, origin in trace(answer, sample, training, [*shapes, *names]):
            counts.setdefault(origin, Counter())[kind] += 1
    return {origin: dict(sorted(count.items())) for origin, count in sorted(counts.items())}
