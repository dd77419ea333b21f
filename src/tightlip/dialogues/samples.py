"""Samples: every personal value in an assistant's turn becomes a prompt that ends just before it."""

import random
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, chain, islice

from tightlip.records import Dialogue, Entity, Message, Sample, Split, Value


def extract_samples(dialogues: Iterable[Dialogue]) -> Iterator[Sample]:
    """Cut one sample per personal value in the assistant's turns, in the order of the dialogues."""
    for dialogue in dialogues:
        yield from _cut_dialogue(dialogue)


def count_samples(dialogues: Iterable[Dialogue]) -> dict[Split, list[int]]:
    """Return per split the number of samples of each dialogue that has any, in order.

    Raises:
        ValueError: no assistant turn holds a personal value, in all or in a split.
    """
    sizes: dict[Split, list[int]] = {"train": [], "dev": [], "test": []}
    count = 0
    for dialogue in dialogues:
        count += 1
        size = sum(len(turn.entities) for turn in dialogue.turns if turn.role == "assistant")
        sizes[dialogue.split] += [size] if size else []
    if not any(sizes.values()):
        raise ValueError(
            f"no personal value in any assistant turn of {count} dialogues; "
            "annotate the assistant's turns or take other dialogues"
        )
    for split, split_sizes in sizes.items():
        if not split_sizes:
            raise ValueError(f"data/dialogues.jsonl: no sample in the {split} split; add dialogues or raise its share")
    return sizes


def sample_evenly(sizes: Sequence[int], limit: int | None, seed: int) -> Sequence[int]:
    """Draw samples evenly over dialogues: one at random from each in turn, the dialogues in random order.

    Args:
        sizes: number of samples of each dialogue.
        limit: largest number; None takes all.
        seed: decides the draw.

    Returns:
        The numbers of the drawn samples, from 0 over all dialogues, in ascending order.
    """
    ends = array("q", accumulate(sizes))  # and no lists: there are as many as dialogues
    if limit is None:
        return range(ends[-1])
    rng = random.Random(seed)  # noqa: S311  (not for secrets)
    order = array("q", range(len(sizes)))
    rng.shuffle(order)
    rounds: list[list[int]] = [[] for _ in range(max(sizes, default=0))]
    for number in order:
        turns = list(range(ends[number] - sizes[number], ends[number]))
        rng.shuffle(turns)
        for taken, sample in zip(rounds, turns, strict=False):
            if len(taken) < limit:
                taken.append(sample)
    return sorted(islice(chain.from_iterable(rounds), limit))


def take(samples: Iterable[Sample], numbers: Sequence[int]) -> Iterator[Sample]:
    """Yield the samples of these numbers."""
    remaining = iter(numbers)
    following = next(remaining, None)
    for number, sample in enumerate(samples):
        if number == following:
            yield sample
            following = next(remaining, None)


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
