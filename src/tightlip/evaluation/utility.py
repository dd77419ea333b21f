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
from tightlip.models.chat import encode_completion, encode_prompt
from tightlip.models.llama_training import Shared
from tightlip.models.packing import Group, pack, part_means, read_shared, run, to_device
from tightlip.models.scoring import head_logits
from tightlip.prompts import DEFAULT_SYSTEM, QUESTION, with_condition
from tightlip.records import Condition, Message, Question, UtilityOutcome

CHUNK = 32
"""Scored tokens whose logits are held and combined at a time: the tables stay in the caches."""

FLOOR = -100.0
"""Nats; stands for log 0, which guidance gives to tokens that it clips."""


def answer_questions(
    model: Any,
    tokenizer: Any,
    questions: Sequence[Question],
    setups: Sequence[PromptSetup],
    *,
    progress: str,
    batch_size: int = 8,
) -> list[list[UtilityOutcome]]:
    """Score every question under the distributions that the decoder would draw from, one list per prompt setup."""
    conditions: dict[Condition, None] = dict.fromkeys(setup.condition for setup in setups)
    conditions |= dict.fromkeys(setup.negative for setup in setups if setup.scale != 1)
    options = [[encode_completion(tokenizer, text, end=False) for text in each.options] for each in questions]
    asked = {}
    for condition in conditions:
        prompts = [encode_prompt(tokenizer, with_condition(_messages(each), condition)) for each in questions]
        asked[condition] = _ask(model, prompts, options)
    groups = next(iter(asked.values())).groups  # under other conditions they are longer, but in the same order
    by_length = sorted(range(len(questions)), key=lambda i: groups[i].length)
    outcomes: list[dict[int, UtilityOutcome]] = [{} for _ in setups]
    for start in tqdm(range(0, len(questions), batch_size), desc=progress, unit="batch"):
        numbers = by_length[start : start + batch_size]
        batch = [questions[i] for i in numbers]
        for found, scores in zip(outcomes, _option_scores(model, asked, numbers, batch, setups), strict=True):
            found |= zip(numbers, map(_outcome, batch, scores), strict=True)
    return [[found[i] for i in range(len(questions))] for found in outcomes]


class _Asked(NamedTuple):
    """All questions under one condition: what their prompts begin with alike, read, and what follows it."""

    shared: Shared
    groups: list[Group]


def _ask(model: Any, prompts: Sequence[Sequence[int]], options: Sequence[Sequence[Sequence[int]]]) -> _Asked:
    # At least one token of each prompt is left: the first token of an option is scored from its state.
    columns = zip(*(prompt[:-1] for prompt in prompts), strict=False)
    common = sum(1 for _ in itertools.takewhile(lambda tokens: len(set(tokens)) == 1, columns))
    shared = read_shared(model, prompts[0][:common])
    start = common if shared else 0
    return _Asked(shared, [Group(prompt[start:], texts) for prompt, texts in zip(prompts, options, strict=True)])


@torch.inference_mode()
def _option_scores(
    model: Any,
    asked: dict[Condition, _Asked],
    numbers: Sequence[int],
    questions: Sequence[Question],
    setups: Sequence[PromptSetup],
) -> Iterator[list[tuple[float, ...]]]:
    """Yield the options' scores per prompt setup; one forward per condition serves all of them."""
    batches = {name: to_device(pack([of.groups[i] for i in numbers]), model.device) for name, of in asked.items()}
    hidden_SD = {
        name: run(model, batch, asked[name].shared).flatten(0, 1)[batch["scored"]] for name, batch in batches.items()
    }
    packed = next(iter(batches.values()))  # the options are the same under every condition
    scores = [torch.empty(len(packed["targets"]), device=model.device) for _ in setups]
    for start in range(0, len(packed["targets"]), CHUNK):
        chunk = slice(start, start + CHUNK)
        logits_CV = {name: head_logits(model, hidden[chunk]) for name, hidden in hidden_SD.items()}
        for setup, scores_S in zip(setups, scores, strict=True):
            positive_CV = logits_CV[setup.condition]
            negative_CV = positive_CV if setup.scale == 1 else logits_CV[setup.negative]
            combined_CV = combine(positive_CV, negative_CV, setup.scale, setup.space)
            scores_S[chunk] = combined_CV.gather(-1, packed["targets"][chunk, None]).squeeze(-1)
    for scores_S in scores:
        means = iter(part_means(scores_S.clamp(min=FLOOR), packed["part"]).tolist())
        yield [tuple(round(next(means), 4) for _ in question.options) for question in questions]


def _messages(question: Question) -> tuple[Message, Message]:
    return (
        Message(role="system", content=DEFAULT_SYSTEM),
        Message(role="user", content=QUESTION.format(question=question.question)),
    )


def _outcome(question: Question, scores: tuple[float, ...]) -> UtilityOutcome:
    predicted = scores.index(max(scores))
    return UtilityOutcome(
        question_id=question.question_id,
        category=question.category,
        scores=scores,
        predicted=predicted,
        correct=question.options[predicted] == question.options[question.answer_index],
    )
