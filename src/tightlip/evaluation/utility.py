"""Usefulness: multiple-choice questions scored by the likelihood of each option, guided or not.

The prompt shows the question alone; the prediction is the option with the highest mean log-probability per token as
the beginning of the answer. A question and all its options take one forward per branch (`tightlip.models.packing`),
after the system prompt, which all questions share.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from tqdm import tqdm

from tightlip.guidance.combine import combine
from tightlip.guidance.prompt_setup import PromptSetup
from tightlip.models.encoding import encode_completion, encode_prompt
from tightlip.models.packing import Group, Shared, pack, part_means, read_shared, run, to_device
from tightlip.models.scoring import head_logits
from tightlip.prompts import DEFAULT_SYSTEM, QUESTION
from tightlip.records import Condition, Message, Question, UtilityOutcome
from tightlip.secret import with_condition

CHUNK = 32
"""Scored tokens whose logits are held and combined at a time: the tables stay in the caches."""

FLOOR = -100.0
"""Nats; stands for log 0, which guidance gives to tokens that it clips."""


def score_options(
    model: Any,
    tokenizer: Any,
    questions: Sequence[Question],
    setups: Sequence[PromptSetup],
    *,
    progress: str,
    batch_size: int = 8,
) -> list[list[tuple[float, ...]]]:
    """Score the options of every question under the distributions that the decoder would draw from.

    Returns:
        Per setup, per question, the mean log-probability per token of every option, in nats.
    """
    conditions: dict[Condition, None] = dict.fromkeys(setup.condition for setup in setups)
    conditions |= dict.fromkeys(setup.negative for setup in setups if setup.guidance.needs_negative)
    options = [[encode_completion(tokenizer, text, end=False) for text in each.options] for each in questions]
    encoded = {}
    for condition in conditions:
        prompts = [encode_prompt(tokenizer, with_condition(_messages(each), condition)) for each in questions]
        encoded[condition] = _encode(model, prompts, options)
    groups = next(iter(encoded.values())).groups  # under other conditions they are longer, but in the same order
    by_length = sorted(range(len(questions)), key=lambda i: groups[i].length)
    scores: list[dict[int, tuple[float, ...]]] = [{} for _ in setups]
    for start in tqdm(range(0, len(questions), batch_size), desc=progress, unit="batch"):
        numbers = by_length[start : start + batch_size]
        batch = [questions[i] for i in numbers]
        for setup_scores, batch_scores in zip(
            scores, _batch_scores(model, encoded, numbers, batch, setups), strict=True
        ):
            setup_scores |= zip(numbers, batch_scores, strict=True)
    return [[setup_scores[i] for i in range(len(questions))] for setup_scores in scores]


def utility_outcomes(questions: Sequence[Question], scores: Sequence[Sequence[float]]) -> list[UtilityOutcome]:
    """Predict the option with the highest score; an option of the same text as the right one is right."""
    outcomes = []
    for question, option_scores in zip(questions, map(tuple, scores), strict=True):
        predicted = option_scores.index(max(option_scores))
        outcomes.append(
            UtilityOutcome(
                question_id=question.question_id,
                category=question.category,
                scores=option_scores,
                predicted=predicted,
                correct=question.options[predicted] == question.options[question.answer_index],
            )
        )
    return outcomes


class _Encoded(NamedTuple):
    """All questions under one condition: the beginning that all prompts share, already read, and what follows it."""

    shared: Shared
    groups: list[Group]


def _encode(model: Any, prompts: Sequence[Sequence[int]], options: Sequence[Sequence[Sequence[int]]]) -> _Encoded:
    # At least one token of each prompt is left: the first token of an option is scored from its state.
    columns = zip(*(prompt[:-1] for prompt in prompts), strict=False)
    common = sum(1 for _ in itertools.takewhile(lambda tokens: len(set(tokens)) == 1, columns))
    shared = read_shared(model, prompts[0][:common])
    start = common if shared else 0
    return _Encoded(shared, [Group(prompt[start:], texts) for prompt, texts in zip(prompts, options, strict=True)])


@torch.inference_mode()
def _batch_scores(
    model: Any,
    encoded: dict[Condition, _Encoded],
    numbers: Sequence[int],
    questions: Sequence[Question],
    setups: Sequence[PromptSetup],
) -> Iterator[list[tuple[float, ...]]]:
    """Yield the options' scores per prompt setup; one forward per condition serves all of them."""
    batches = {name: to_device(pack([each.groups[i] for i in numbers]), model.device) for name, each in encoded.items()}
    hidden_SD = {
        name: run(model, batch, encoded[name].shared).flatten(0, 1)[batch["scored"]] for name, batch in batches.items()
    }
    packed = next(iter(batches.values()))  # the options are the same under every condition
    scores = [torch.empty(len(packed["targets"]), device=model.device) for _ in setups]
    for start in range(0, len(packed["targets"]), CHUNK):
        chunk = slice(start, start + CHUNK)
        logits_CV = {name: head_logits(model, hidden[chunk]) for name, hidden in hidden_SD.items()}
        for setup, scores_S in zip(setups, scores, strict=True):
            positive_CV = logits_CV[setup.condition]
            negative_CV = logits_CV[setup.negative] if setup.guidance.needs_negative else positive_CV
            combined_CV = combine(positive_CV, negative_CV, setup.guidance)
            scores_S[chunk] = combined_CV.gather(-1, packed["targets"][chunk, None]).squeeze(-1)
    for scores_S in scores:
        means = iter(part_means(scores_S.clamp(min=FLOOR), packed["part"]).tolist())
        yield [tuple(round(next(means), 4) for _ in question.options) for question in questions]


def _messages(question: Question) -> tuple[Message, Message]:
    return (
        Message(role="system", content=DEFAULT_SYSTEM),
        Message(role="user", content=QUESTION.format(question=question.question)),
    )
