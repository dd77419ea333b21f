"""Usefulness by generated answers, prompted as in the paper, scored by the option they name or by a judge."""

import re
from collections.abc import Sequence
from typing import Any

from tightlip.evaluation.answer_matching import named_option
from tightlip.guidance.completion import Completion, complete
from tightlip.guidance.prompt_setup import PromptSetup
from tightlip.prompts import DEFAULT_SYSTEM, QUESTION, with_options
from tightlip.records import Message, Question, ScoredAnswer

ANSWER_TOKENS = 24


def question_messages(question: Question, *, numbered: bool) -> tuple[Message, Message]:
    """Ask a question in one user message, with its numbered options (as the paper does) or alone."""
    text = with_options(question) if numbered else question.question
    return (
        Message(role="system", content=DEFAULT_SYSTEM),
        Message(role="user", content=QUESTION.format(question=text)),
    )


def generate_answers(
    model: Any,
    tokenizer: Any,
    questions: Sequence[Question],
    setup: PromptSetup,
    *,
    max_prompt_tokens: int,
    max_new_tokens: int = ANSWER_TOKENS,
    batch_size: int = 16,
    numbered: bool,
    progress: str | None = None,
) -> list[Completion]:
    """Let a model answer every question greedily, in the order given.

    Args:
        model, tokenizer, setup, max_prompt_tokens, max_new_tokens, batch_size, progress: see `completion.complete`.
        questions: one answer is generated for each.
        numbered: whether the question is shown with its numbered options, as in the paper.

    Raises:
        ValueError: a question is over the limit.
    """
    return complete(
        model, tokenizer, [(question_messages(each, numbered=numbered), "") for each in questions], setup,
        max_prompt_tokens=max_prompt_tokens, max_new_tokens=max_new_tokens, batch_size=batch_size, progress=progress,
    )  # fmt: skip


def match_answers(
    completions: Sequence[Completion], questions: Sequence[Question], *, numbered: bool
) -> list[ScoredAnswer]:
    """Score answers by the option they name; one that names none, or several, is unscored.

    Args:
        completions: the answers. If one was cut, its last word does not count: "10" may be the beginning of "100".
        questions: what they answer.
        numbered: whether the options were shown with their numbers; if not, numbers and letters name none.
    """
    scored = []
    for completion, question in zip(completions, questions, strict=True):
        whole = completion.text if completion.finish == "stop" else re.sub(r"\S*\w\Z", "", completion.text)
        named = named_option(whole, question, numbered=numbered)
        right = named is not None and question.options[named] == question.options[question.answer_index]
        scored.append(
            ScoredAnswer(
                question_id=question.question_id,
                category=question.category,
                answer=completion.text,
                verdict=None if named is None else "correct" if right else "incorrect",
            )
        )
    return scored


def answer_metrics(outcomes: Sequence[ScoredAnswer], scorer: str, suffix: str = "") -> dict[str, float | int]:
    """Aggregate scored answers; what is unscored is not right and is counted apart.

    Args:
        outcomes: one per question.
        scorer: `match` or `judge`, with which the names begin.
        suffix: `_deployed` names those under the row's sentence and guidance.

    Raises:
        ValueError: there are none.
    """
    if not outcomes:
        raise ValueError(f"{scorer}: no answers to score; eval.questions names a split without questions")
    correct = sum(outcome.verdict == "correct" for outcome in outcomes)
    return {
        "n_questions": len(outcomes),
        f"{scorer}{suffix}_n_correct": correct,
        f"{scorer}{suffix}_n_unscored": sum(outcome.verdict is None for outcome in outcomes),
        f"{scorer}{suffix}_pct": round(100 * correct / len(outcomes), 2),
    }
