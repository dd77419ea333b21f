"""Where a personal value in an answer comes from: the prompt, the training dialogues, or nowhere."""

from collections.abc import Collection

from tightlip.pii.lookup import ValueIndex
from tightlip.pii.matching import ValueMatch, find_values
from tightlip.pii.spans import Span, resolve_overlaps
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

    def origin(each: ValueMatch | Span) -> Provenance:
        if isinstance(each, Span):
            return "invented"
        if each not in own:
            return "prompt" if find_values(prompt, [each.value]) else "training"
        if each.value in in_prompt:
            return "prompt"
        return "training" if each.value in training else "guessed"

    # Where they overlap, the dialogue's own values come first, then those of training dialogues.
    values: list[ValueMatch | Span] = resolve_overlaps([*own, *training.find(answer), *spans])
    return [(each.label if isinstance(each, Span) else each.value.type, origin(each)) for each in values]
