"""Samples: every personal value in an assistant's turn becomes a prompt that ends just before it."""

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence

from tightlip.records import Dialogue, Entity, Message, Sample, Value


def extract_samples(dialogues: Sequence[Dialogue]) -> list[Sample]:
    """Cut one sample per personal value in the assistant's turns, in the order of the dialogues.

    Raises:
        ValueError: no assistant turn holds a personal value.
    """
    samples = [sample for dialogue in dialogues for sample in _cut_dialogue(dialogue)]
    if not samples:
        raise ValueError(
            f"no personal value in any assistant turn of {len(dialogues)} dialogues; "
            "annotate the assistant's turns or take other dialogues"
        )
    return samples


def draw(samples: Sequence[Sample], limit: int | None, seed: int) -> list[Sample]:
    """Draw samples evenly over dialogues: one at random from each in turn, the dialogues in random order.

    Args:
        samples: what to draw from.
        limit: how many to draw at most; None takes all.
        seed: decides the draw.

    Returns:
        The drawn samples in their original order.
    """
    if limit is None:
        return list(samples)
    rng = random.Random(seed)  # noqa: S311  (not for secrets)
    groups: dict[str, list[int]] = defaultdict(list)
    for index, sample in enumerate(samples):
        groups[sample.dialogue_id].append(index)
    queues = list(groups.values())
    rng.shuffle(queues)
    for queue in queues:
        rng.shuffle(queue)
    rounds = [queue[turn] for turn in range(max(map(len, queues), default=0)) for queue in queues if turn < len(queue)]
    return [samples[index] for index in sorted(rounds[:limit])]


def _cut_dialogue(dialogue: Dialogue) -> Iterator[Sample]:
    messages = tuple(Message(role=turn.role, content=turn.content) for turn in dialogue.turns)
    truths = dialogue.values
    for number, turn in enumerate(dialogue.turns):
        if turn.role != "assistant":
            continue
        for entity in turn.entities:
            cut = _cut_before(turn.content, entity)
            yield Sample(
                id=f"{dialogue.id}:{number}:{entity.start}",
                dialogue_id=dialogue.id,
                split=dialogue.split,
                messages=messages[:number],
                prefix=turn.content[:cut],
                completion=turn.content[cut:],
                target=Value(type=entity.type, value=entity.value),
                truths=truths,
            )


def _cut_before(content: str, entity: Entity) -> int:
    """Offset of the white space before the word that holds the value, so `(Maria` or `#123` keeps natural tokens."""
    word = entity.start
    while word and not content[word - 1].isspace():
        word -= 1
    return len(content[:word].rstrip())
