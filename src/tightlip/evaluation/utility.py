"""Usefulness: multiple-choice questions scored by the likelihood of each option, guided or not.

The prompt shows the question alone; the prediction is the option with the highest mean log-probability per token as
the beginning of the answer. A question and all its options take one forward per branch (`tightlip.models.packing`).
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from tqdm import tqdm

from tightlip.guidance.asking import Asking
from tightlip.guidance.combine import combine
from tightlip.models.chat import encode_completion, encode_prompt
from tightlip.models.packing import Group, Packed, pack, part_means, run, to_device
from tightlip.models.scoring import CHUNK, head_logits
from tightlip.prompts import DEFAULT_SYSTEM, QUESTION, with_condition
from tightlip.records import Condition, Message, Question, UtilityOutcome

FLOOR = -100.0
"""Nats; stands for log 0, which guidance gives to tokens that it clips."""


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
    conditions: dict[Condition, None] = dict.fromkeys(asking.condition for asking in askings)
    if any(asking.scale != 1 for asking in askings):
        conditions["negative"] = None
    batches = {condition: _pack(tokenizer, questions, condition, model.device) for condition in conditions}
    hidden_SD = {name: run(model, batch).flatten(0, 1)[batch["scored"]] for name, batch in batches.items()}
    packed = next(iter(batches.values()))  # the options are the same under every condition
    scores = [torch.empty(len(packed["targets"]), device=model.device) for _ in askings]
    for start in range(0, len(packed["targets"]), CHUNK):
        chunk = slice(start, start + CHUNK)
        logits_CV = {name: head_logits(model, hidden[chunk]) for name, hidden in hidden_SD.items()}
        for asking, scores_S in zip(askings, scores, strict=True):
            positive_CV = logits_CV[asking.condition]
            negative_CV = positive_CV if asking.scale == 1 else logits_CV["negative"]
            combined_CV = combine(positive_CV, negative_CV, asking.scale, asking.space)
            scores_S[chunk] = combined_CV.gather(-1, packed["targets"][chunk, None]).squeeze(-1)
    for scores_S in scores:
        means = iter(part_means(scores_S.clamp(min=FLOOR), packed["part"]).tolist())
        yield [tuple(round(next(means), 4) for _ in question.options) for question in questions]


def _pack(tokenizer: Any, questions: Sequence[Question], condition: Condition, device: torch.device) -> Packed:
    groups = []
    for question in questions:
        messages = (
            Message(role="system", content=DEFAULT_SYSTEM),
            Message(role="user", content=QUESTION.format(question=question.question)),
        )
        prompt = encode_prompt(tokenizer, with_condition(messages, condition))
        groups.append(Group(prompt, [encode_completion(tokenizer, text, end=False) for text in question.options]))
    return to_device(pack(groups), device)


def _outcome(question: Question, scores: tuple[float, ...]) -> UtilityOutcome:
    predicted = scores.index(max(scores))
    return UtilityOutcome(
        question_id=question.question_id,
        category=question.category,
        scores=scores,
        predicted=predicted,
        correct=predicted == question.answer_index,
    )
