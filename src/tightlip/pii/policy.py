"""The filter: which candidate answers may become "chosen" (arXiv 2412.06846, section 2.2, and what it overlooks)."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tightlip.params import Filter
from tightlip.pii.degenerate import degenerate
from tightlip.pii.detector import Detector
from tightlip.pii.matching import find_values
from tightlip.pii.patterns import structured
from tightlip.pii.spans import Span
from tightlip.records import Answer, FilteredAnswer, Sample


def filter_answers(
    answers: Sequence[Answer], samples: Sequence[Sample], detector: Detector, settings: Filter
) -> list[FilteredAnswer]:
    """Accept or reject every answer by its own text, without prompt and prefix, as the paper does.

    Reasons against an answer, each once and sorted: `ner:<label>`, `pattern:<label>`, `truth:<type>`,
    `degenerate:<why>`, `finish:length` for an answer that was cut, since "chosen" ends with EOS, and `finish:filtered`
    for one that a provider's content filter withheld.

    Args:
        answers: candidates of any sources.
        samples: of the answers, joined by id.
        detector: finds entities with the labels that count.
        settings: whether structured values and true values are reasons too, and how many words an answer needs.

    Returns:
        One row per answer, in the same order.

    Raises:
        ValueError: an answer to a sample that is not there.
    """
    by_id = {sample.id: sample for sample in samples}
    unknown = next((answer.sample_id for answer in answers if answer.sample_id not in by_id), None)
    if unknown is not None:
        raise ValueError(f"answer to unknown sample {unknown!r}; generate the answers again from these samples")
    texts = [answer.text for answer in answers]
    named = detector.entities(texts)
    shaped = structured(texts) if settings.patterns else [[] for _ in texts]
    filtered = []
    for answer, names, shapes in zip(answers, named, shaped, strict=True):
        reasons = _labels("ner", names) | _labels("pattern", shapes) | _form(answer, settings.min_words)
        if settings.truths:
            matches = find_values(answer.text, by_id[answer.sample_id].truths)
            reasons |= {f"truth:{match.value.type}" for match in matches}
        filtered.append(FilteredAnswer(**answer.model_dump(), reasons=tuple(sorted(reasons))))
    return filtered


def _labels(detector: str, spans: Iterable[Span]) -> set[str]:
    return {f"{detector}:{span.label}" for span in spans}


def _form(answer: Answer, min_words: int) -> set[str]:
    cut = {f"finish:{answer.finish}"} if answer.finish != "stop" else set()
    why = degenerate(answer.text, answer.finish, min_words)
    return cut | {f"degenerate:{why}"} if why else cut


def count_reasons(filtered: Mapping[str, Sequence[FilteredAnswer]]) -> dict[str, dict[str, Any]]:
    """Count verdicts per source.

    Returns:
        Per source `answers`, `accepted` and `rejected` (answers per reason, sorted by name). An answer counts under
        each of its reasons, so these may add up to more than were rejected.
    """
    return {source: _count(answers) for source, answers in filtered.items()}


def _count(answers: Sequence[FilteredAnswer]) -> dict[str, Any]:
    reasons = Counter(reason for answer in answers for reason in answer.reasons)
    return {
        "answers": len(answers),
        "accepted": sum(not answer.reasons for answer in answers),
        "rejected": dict(sorted(reasons.items())),
    }
