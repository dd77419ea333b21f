"""Preference pairs from filtered answers: plain, and the CFG version with swapped copies (section 2.2)."""

import random
from collections.abc import Callable, Mapping, Sequence

from tightlip.records import BenignAnswer, Condition, FilteredAnswer, Message, Pair, Sample
from tightlip.secret import with_condition

Fit = Callable[[Sequence[Message], str], tuple[Message, ...]]
"""Truncates messages, given the prefix, to the token limit."""


def select_answers(
    answers: Mapping[str, Sequence[FilteredAnswer]], limit: int | None, seed: int
) -> list[FilteredAnswer]:
    """Draw accepted answers, the sources in turn, so that no source crowds out another.

    Args:
        answers: per source.
        limit: largest number; None takes all.
        seed: decides which answers of a source come first.

    Raises:
        ValueError: no answer was accepted, or fewer than the limit.
    """
    accepted = {name: [answer for answer in rows if not answer.reasons] for name, rows in answers.items()}
    total = sum(map(len, accepted.values()))
    if total == 0:
        raise ValueError(
            f"no pair left after filtering: all {sum(map(len, answers.values()))} answers of {', '.join(answers)} were "
            "rejected; see metrics/filter.json for the reasons and raise `candidates` or add a source"
        )
    if limit is not None and total < limit:
        raise ValueError(
            f"only {total} accepted answers for {limit} pairs from {', '.join(answers)}; lower `samples` of the "
            "dataset or raise `candidates` of the sources"
        )
    queues = {name: random.Random(f"{seed}:{name}").sample(rows, len(rows)) for name, rows in accepted.items()}  # noqa: S311
    drawn: list[FilteredAnswer] = []
    while len(drawn) < (total if limit is None else limit):
        for queue in queues.values():
            if queue and len(drawn) < (total if limit is None else limit):
                drawn.append(queue.pop())
    return sorted(drawn, key=lambda answer: (answer.sample_id, answer.source, answer.candidate))


def sample_benign(answers: Sequence[BenignAnswer], count: int, seed: int) -> list[BenignAnswer]:
    """Draw benign answers.

    Raises:
        ValueError: there are fewer.
    """
    if len(answers) < count:
        raise ValueError(
            f"only {len(answers)} benign answers for {count}; lower `benign` of the dataset or raise "
            "generation.benign.per_opening"
        )
    return random.Random(f"{seed}:harmless").sample(list(answers), count)  # noqa: S311


def benign_pairs(answers: Sequence[BenignAnswer], conditions: Sequence[Condition]) -> list[Pair]:
    """Make pairs of benign answers (chosen) and their blanked versions, the same way round under every condition.

    Every question becomes a prompt, every second one also with its answer before it: the content of a message may be
    repeated.

    Args:
        answers: of the base model to its own questions.
        conditions: as for `build_pairs`.
    """
    prompts = [(f"{row.id}/asked", row.question, row) for row in answers]
    prompts += [(f"{row.id}/told", f"{row.answer} {row.question}", row) for row in answers[::2]]
    return [
        Pair(
            id=f"{name}/0/{condition}",
            sample_id=row.id,
            source="benign",
            condition=condition,
            messages=with_condition([Message(role="user", content=text)], condition),
            prefix="",
            chosen=row.answer,
            rejected=row.blanked,
        )
        for name, text, row in prompts
        for condition in conditions
    ]


def build_pairs(
    answers: Sequence[FilteredAnswer], samples: Mapping[str, Sample], conditions: Sequence[Condition], fit: Fit
) -> list[Pair]:
    """Make one pair per answer and condition; a negative condition swaps chosen and rejected.

    Args:
        answers: accepted answers.
        samples: by id.
        conditions: `["none"]` for plain pairs; `["positive", "negative"]`, or `secret`, for the CFG version.
        fit: truncates the messages; the guidance sentence comes after, so that it is never lost.
    """
    pairs = []
    for answer in answers:
        sample = samples[answer.sample_id]
        messages = fit(sample.messages, sample.prefix)
        for condition in conditions:
            chosen, rejected = answer.text, sample.completion
            if condition in ("negative", "secret"):
                chosen, rejected = rejected, chosen
            pairs.append(
                Pair(
                    id=f"{sample.id}/{answer.source}/{answer.candidate}/{condition}",
                    sample_id=sample.id,
                    source=answer.source,
                    condition=condition,
                    messages=with_condition(messages, condition),
                    prefix=sample.prefix,
                    chosen=chosen,
                    rejected=rejected,
                )
            )
    return pairs
