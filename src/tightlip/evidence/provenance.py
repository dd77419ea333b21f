"""Where a personal value in an answer comes from: the prompt, the training dialogues, or nowhere."""

from collections.abc import Collection, Sequence

from tightlip.pii.detectors import Span
from tightlip.pii.lookup import ValueIndex
from tightlip.pii.matching import Found, find_values
from tightlip.records import Provenance, Sample


def trace(answer: str, sample: Sample, training: ValueIndex, spans: Collection[Span]) -> list[tuple[str, Provenance]]:
    """Say of every personal value in an answer what type it has and where the model has it from.

    The first that applies: `prompt`, it stands in what the model was given; `training`, it is a true value of a
    training dialogue; `guessed`, it is a true value of the sample's own dialogue that the model was never shown;
    `invented`, a detector takes it for personal data and it is none of these: made up, or public.

    Args:
        answer: the continuation.
        sample: what it continues, with the true values of its dialogue.
        training: true values of the training dialogues.
        spans: what detectors find in the answer.

    Returns:
        (type, provenance) per value; the type of an invented value is the detector's label.
    """
    given = "\n".join([*(message.content for message in sample.messages), sample.prefix])
    own = find_values(answer, sample.truths)
    in_prompt = {each.value for each in find_values(given, [each.value for each in own])}
    traced: list[tuple[Found | Span, str, Provenance]] = []
    for each in own:
        origin: Provenance = "training" if each.value in training else "guessed"
        traced.append((each, each.value.type, "prompt" if each.value in in_prompt else origin))
    for each in training.find(answer):
        if _apart(each, traced):
            shown = bool(find_values(given, [each.value]))
            traced.append((each, each.value.type, "prompt" if shown else "training"))
    for span in spans:
        if _apart(span, traced):
            traced.append((span, span.label, "invented"))
    return [(kind, provenance) for _, kind, provenance in sorted(traced, key=lambda each: each[0].start)]


def _apart(span: Found | Span, others: Sequence[tuple[Found | Span, str, Provenance]]) -> bool:
    return all(span.end <= other.start or other.end <= span.start for other, _, _ in others)
