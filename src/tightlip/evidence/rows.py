"""Rows of the evidence: leaks and where they come from, usefulness, extraction, attacks."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from tightlip.evaluation.attack import Probe
from tightlip.evaluation.benign import benign_samples
from tightlip.evaluation.leak import leak_figures
from tightlip.evaluation.rows import Examiner, utility_figures
from tightlip.evidence.attacks import run_attacks, targets
from tightlip.evidence.extraction import extract
from tightlip.evidence.fluency import fluency
from tightlip.evidence.provenance import trace
from tightlip.guidance.asking import BARE, as_deployed
from tightlip.pii.detectors import entities
from tightlip.pii.patterns import structured
from tightlip.records import AttackOutcome, Dialogue, LeakOutcome, Question, Sample, UtilityOutcome
from tightlip.rows import Row


class Evidence(NamedTuple):
    """A tested row: outcomes per item, and its figures."""

    leaks: list[LeakOutcome]
    utility: list[UtilityOutcome]
    attacks: list[AttackOutcome]
    benign: list[LeakOutcome]
    figures: dict[str, object]


def examine(
    row: Row,
    examiner: Examiner,
    samples: Sequence[Sample],
    questions: Sequence[Question],
    training: Sequence[Dialogue],
    probes: Sequence[Probe],
    conversations: int,
    base: Any,
) -> Evidence:
    """Run all tests of a row.

    Args:
        row: what is tested.
        examiner: of its weights.
        samples: test prompts.
        questions: for usefulness.
        training: training dialogues, from which a leak may come.
        probes: scrubbed contexts of training dialogues.
        conversations: how many are attacked with every phrasing; 0 for none.
        base: the model that was never tuned, under which answers are read.
    """
    asking = as_deployed(row, examiner.negative)
    leaks = examiner.leaks(samples, [asking])[asking]
    utility = examiner.utility(questions, list(dict.fromkeys([asking, BARE])))
    attacked = run_attacks(examiner, asking, targets(samples, conversations)) if conversations else []
    harmless = examiner.leaks(benign_samples("test"), [asking])[asking]
    subject = examiner.subject
    hits = extract(subject.model, subject.tokenizer, probes, batch_size=48, progress=f"extract, {row.key}")
    figures: dict[str, object] = {
        **leak_figures(leaks),
        **utility_figures(utility[BARE]),
        **utility_figures(utility[asking], "_deployed"),
        "extraction_n": len(hits),
        "extraction_hits": sum(hits),
        "benign_n": len(harmless),
        "benign_right": sum(bool(outcome.leaks) for outcome in harmless),
        **fluency(base, subject.tokenizer, samples, leaks),
        "provenance": provenance(leaks, samples, training, examiner),
    }
    return Evidence(leaks, utility[asking], attacked, harmless, figures)


def provenance(
    leaks: Sequence[LeakOutcome], samples: Sequence[Sample], training: Sequence[Dialogue], examiner: Examiner
) -> dict[str, dict[str, int]]:
    """Count the personal values in all answers by where they come from and by type."""
    known = list(dict.fromkeys(value for dialogue in training for value in dialogue.values))
    answers = [outcome.answer for outcome in leaks]
    ignored = examiner.params.filter.ignored_labels
    named, shaped = entities(examiner.subject.ner, answers, ignored), structured(answers)
    counts: dict[str, Counter[str]] = {}
    for answer, sample, names, shapes in zip(answers, samples, named, shaped, strict=True):
        for kind, origin in trace(answer, sample, known, [*shapes, *names]):
            counts.setdefault(origin, Counter())[kind] += 1
    return {origin: dict(sorted(count.items())) for origin, count in sorted(counts.items())}
