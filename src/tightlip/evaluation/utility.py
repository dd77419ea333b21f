"""Usefulness: multiple-choice questions scored by the likelihood of each option, guided or not.

The prompt shows the question alone; the prediction is the option with the highest mean log-probability per token as
the beginning of the answer. A question and all its options take one forward per branch (`tightlip.models.packing`).
"""

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from tqdm import tqdm

from tightlip.files import read_jsonl
from tightlip.guidance.asking import Asking
from tightlip.guidance.combine import combine
from tightlip.models.chat import encode_completion, encode_prompt
from tightlip.models.packing import Group, Packed, pack, part_means, scored_logits
from tightlip.prompts import DEFAULT_SYSTEM, QUESTION, with_condition
from tightlip.records import Condition, Message, Question, UtilityOutcome

BUNDLED = Path(__file__).with_name("questions")
FLOOR = -100.0
"""Nats; stands for log 0, which guidance gives to tokens that it clips."""
CHUNK = 64
"""Tokens scored at a time; the allocator maps larger tables of V scores anew for every operation."""


def load_questions(name: str, split: Literal["validation", "test"]) -> list[Question]:
    """Load a split of the bundled questions (`bundled`) or of a directory of `<split>.jsonl` in MMLU-Pro's schema."""
    return read_jsonl((BUNDLED if name == "bundled" else Path(name)) / f"{split}.jsonl", Question)


def answer_questions(
    model: Any,
    tokenizer: Any,
    questions: Sequence[Question],
    askings: Sequence[Asking],
    *,
    progress: str,
    batch_size: int = 8,
) -> list[list[UtilityOutcome]]:
    """Score every question under the distributions that the decoder would draw from, one list per way of asking."""
    by_length = sorted(range(len(questions)), key=lambda i: len(questions[i].question + "".join(questions[i].options)))
    outcomes: list[dict[int, UtilityOutcome]] = [{} for _ in askings]
    for start in tqdm(range(0, len(questions), batch_size), desc=progress, unit="batch"):
        numbers = by_length[start : start + batch_size]
        batch = [questions[i] for i in numbers]
        for found, scores in zip(outcomes, _option_scores(model, tokenizer, batch, askings), strict=True):
            found |= zip(numbers, map(_outcome, batch, scores), strict=True)
    return [[found[i] for i in range(len(questions))] for found in outcomes]


@torch.inference_mode()
def _option_scores(
    model: Any, tokenizer: Any, questions: Sequence[Question], askings: Sequence[Asking]
) -> Iterator[list[tuple[float, ...]]]:
    """Yield the options' scores per way of asking; one forward per condition serves all of them."""
    branch = functools.cache(lambda condition: scored_logits(model, _pack(tokenizer, questions, condition)))
    for asking in askings:
        packed = _pack(tokenizer, questions, asking.condition)
        positive_SV = branch(asking.condition)
        negative_SV = positive_SV if asking.scale == 1 else branch("negative")
        scores_S = torch.cat(
            [
                combine(positive, negative, asking.scale, asking.space).gather(-1, targets[:, None]).squeeze(-1)
                for positive, negative, targets in zip(
                    positive_SV.split(CHUNK), negative_SV.split(CHUNK), packed["targets"].split(CHUNK), strict=True
                )
            ]
        ).clamp(min=FLOOR)
        means = iter(part_means(scores_S, packed["part"]).tolist())
        yield [tuple(round(next(means), 4) for _ in question.options) for question in questions]


def _pack(tokenizer: Any, questions: Sequence[Question], condition: Condition) -> Packed:
    groups = []
    for question in questions:
        messages = (
            Message(role="system", content=DEFAULT_SYSTEM),
            Message(role="user", content=QUESTION.format(question=question.question)),
        )
        prompt = encode_prompt(tokenizer, with_condition(messages, condition))
        groups.append(Group(prompt, [encode_completion(tokenizer, text, end=False) for text in question.options]))
    return pack(groups)


def _outcome(question: Question, scores: tuple[float, ...]) -> UtilityOutcome:
    predicted = scores.index(max(scores))
    return UtilityOutcome(
        question_id=question.question_id,
        category=question.category,
        scores=scores,
        predicted=predicted,
        correct=predicted == question.answer_index,
    )
