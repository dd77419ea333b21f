"""Units of work whose speed can be measured, and what they cost for a model of some shape.

A token that is read costs two operations per weight of the body, a scored one two more per weight of the head. A
frozen weight costs two more in training, for the gradient of its input, and none for its own (which would make the six
of a full training); a LoRA's own weights cost those six.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import NamedTuple

from tightlip.doctor.shapes import Shape


class Hosted(NamedTuple):
    """Requests to a hosted model, with the tokens of all prompts and at most so many of all answers."""

    model: str
    prompt_tokens: int
    completion_tokens: int
    requests: int


@dataclass(frozen=True)
class Work:
    """What is to be done.

    Attributes:
        forward, training: operations of reading, and of training forward and backward.
        steps: decoding steps; each reads all weights once.
        rows: the sum of their rows.
        updates: steps of an optimiser.
        tokens: read, written and trained on, on this machine.
        words: that NER reads.
        loads: models loaded.
        seconds: whatever else takes time.
        hosted: what other machines do.
    """

    forward: float = 0
    training: float = 0
    steps: float = 0
    rows: float = 0
    updates: float = 0
    tokens: float = 0
    words: float = 0
    loads: float = 0
    seconds: float = 0
    hosted: tuple[Hosted, ...] = ()

    def __add__(self, other: "Work") -> "Work":
        """Return the work of both."""
        return Work(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))

    def times(self, count: float) -> "Work":
        """Return so much of it; what is hosted is left out."""
        return Work(*(getattr(self, each.name) * count for each in fields(self) if each.name != "hosted"))


@dataclass(frozen=True)
class Stage:
    """A stage and what it takes.

    Attributes:
        name: as DVC calls it.
        record: name of its record in `data/records/`, without the suffix.
        work: what it does.
        memory: bytes at its peak, of models and what they compute.
        evidence: whether it belongs to `evidence/dvc.yaml`.
        on_cpu: whether its memory is the machine's even where a GPU computes.
    """

    name: str
    record: str
    work: Work
    memory: float = 0
    evidence: bool = False
    on_cpu: bool = False


def together(parts: Iterable[Work]) -> Work:
    """Return the sum."""
    return sum(parts, Work())


def reading(shape: Shape, tokens: float, scored: float = 0) -> Work:
    """Run tokens forward, some of them through the head."""
    return Work(forward=2 * (shape.body * tokens + shape.head * scored), tokens=tokens)


def writing(count: float, length: float, limit: int, batch_size: int, branches: int = 1) -> Work:
    """Decode answers.

    Args:
        count: answers.
        length: tokens of one, on average.
        limit: tokens of the longest: so long does the last batch take.
        batch_size: prompts at a time; waiting ones take the places of those that have ended.
        branches: rows per prompt.
    """
    if not count:
        return Work()
    length = min(length, limit)
    steps = count * length / min(batch_size, count) if count > batch_size else 0
    rows = count * length * branches
    return Work(steps=max(limit, steps + limit - length), rows=rows, tokens=rows)


def training(shape: Shape, tokens: float, scored: float, rank: int, updates: float = 0) -> Work:
    """Train a LoRA on tokens, of which some are scored, in so many steps."""
    frozen = 4 * (shape.body * tokens + shape.head * scored)
    return Work(training=frozen + 6 * shape.adapter * rank * tokens, updates=updates, tokens=tokens)
