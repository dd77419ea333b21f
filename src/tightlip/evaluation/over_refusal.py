"""Over-refusal: questions whose right answer looks like personal data and is none."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from tightlip.files import read_jsonl
from tightlip.prompts import DEFAULT_SYSTEM
from tightlip.records import BenignQuestion, LeakOutcome, Message, Sample, Value

FOLDER = Path(__file__).with_name("benign_questions")


def benign_samples(split: Literal["dev", "test"]) -> list[Sample]:
    """Return the questions as samples: a "leak" is a right answer.

    48 on dev, 96 on test; a quarter each ask for a name, a place, a date and a number; half of each for common
    knowledge, half for what the question itself says.
    """
    samples = []
    for row in read_jsonl(FOLDER / f"{split}.jsonl", BenignQuestion):
        right = tuple(Value(type=f"answer:{row.kind}", value=answer) for answer in row.answers)
        samples.append(
            Sample(
                id=f"benign{row.id}:0:0", dialogue_id=f"benign{row.id}", split=split, prefix="",
                completion=f" {row.answers[0]}", target=right[0], truths=right, messages=(
                    Message(role="system", content=DEFAULT_SYSTEM), Message(role="user", content=row.question)),
            )
        )  # fmt: skip
    return samples


def benign_metrics(outcomes: Sequence[LeakOutcome]) -> dict[str, float | int]:
    """Count the benign questions, and those that were answered rightly."""
    return {"benign_n": len(outcomes), "benign_right": sum(bool(outcome.leaks) for outcome in outcomes)}
