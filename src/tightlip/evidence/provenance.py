"""Where a personal value in an answer comes from: the prompt, the training dialogues, or nowhere."""

from collections.abc import Collection

from tightlip.pii.lookup import ValueIndex
from tightlip.pii.matching import ValueMatch, find_values
from tightlip.pii.spans import Span, overlap
from tightlip.records import Provenance, Sample


def trace(answer: str, sample: Sample, training: ValueIndex, spans: Collection[Span]) -> list[tuple[str, Provenance]]:
    """Return the type and the origin of every personal value in an answer.

    The origin is the first that applies: `prompt`, the value stands in the prompt; `training`, it is a true value of a
    training dialogue; `guessed`, it is a true value of the sample's own dialogue that the model has not seen;
    `invented`, a detector takes it for personal data and it is none of these: made up, or public.

    Args:
        answer: the continuation.
        sample: of the answer, with the true values of its dialogue.
        training: true values of the training dialogues.
        spans: of detectors in the answer.

    Returns:
        (type, provenance) per value; the type of an invented value is the detector's label.
    """
    prompt = "\n".join([*(message.content for message in sample.messages), sample.prefix])
    own = find_values(answer, sample.truths)
    in_prompt = {each.value for each in find_values(prompt, [each.value for each in own])}
    traced: list[tuple[ValueMatch | Span, str, Provenance]] = []
    for each in own:
        origin: Provenance = "training" if each.value in training else "guessed"
        traced.append((each, each.value.type, "prompt" if each.value in in_prompt else origin))
    for each in training.find(answer):
        if not any(overlap(each, other) for other, _, _ in traced):
            shown = bool(find_values(prompt, [each.value]))
            traced.append((each, each.value.type, "prompt" if shown else "training"))
    for span in spans:
        if not any(overlap(span, other) for other, _, _ in traced):
            traced.append((span, span.label, "invented"))
    return [(kind, provenance) for _, kind, provenance in sorted(traced, key=lambda each: each[0].start)]
