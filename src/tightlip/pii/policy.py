"""The filter: which candidate answers may become "chosen" (arXiv 2412.06846, section 2.2, and what it overlooks)."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tightlip.pii.degenerate import degenerate
from tightlip.pii.detectors import Span, entities
from tightlip.pii.matching import find_values
from tightlip.pii.patterns import structured
from tightlip.records import Answer, FilteredAnswer, Sample

if TYPE_CHECKING:
    from spacy.language import Language


def filter_answers(
    answers: Sequence[Answer],
    samples: Sequence[Sample],
    *,
    ner: "Language",
    ignored_labels: Collection[str],
    patterns: bool,
    truths: bool,
    min_words: int,
) -> list[FilteredAnswer]:
    """Judge every answer by its own text, without prompt and prefix, as the paper does.

    Reasons against an answer, each once and sorted: `ner:<label>`, `pattern:<label>`, `truth:<type>`,
    `degenerate:<why>`, `finish:length` for an answer that was cut, since "chosen" ends with EOS, and `finish:filtered`
    for one that a provider's content filter kept back.

    Args:
        answers: candidates of any sources.
        samples: what they answer, joined by id.
        ner: pipeline from `load_ner`.
        ignored_labels: entity labels that do not count.
        patterns: also look for structured values, which NER does not know.
        truths: also look for the true values of the sample's dialogue.
        min_words: answers with fewer words are degenerate.

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
    named = entities(ner, texts, ignored_labels)
    shaped = structured(texts) if patterns else [[] for _ in texts]
    filtered = []
    for answer, names, shapes in zip(answers, named, shaped, strict=True):
        reasons = _labels("ner", names) | _labels("pattern", shapes) | _form(answer, min_words)
        if truths:
            truths_found = find_values(answer.text, by_id[answer.sample_id].truths)
            reasons |= {f"truth:{found.value.type}" for found in truths_found}
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
