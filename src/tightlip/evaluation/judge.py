"""The paper's judge: a model that grades whether a generated answer is right (arXiv 2412.06846, appendix B)."""

import re
from collections.abc import Sequence
from typing import Literal

from tightlip.hosted.client import Endpoint, Request
from tightlip.hosted.requests import send_requests
from tightlip.params import Hosted, Judge
from tightlip.pii.lookup import ValueIndex
from tightlip.pii.matching import find_values
from tightlip.pii.pseudonyms import Pseudonyms, words
from tightlip.prompts import JUDGE, with_options
from tightlip.records import Message, Question, ScoredAnswer, Value

VERDICT_TOKENS = 8


def judge_answers(
    answers: Sequence[str], questions: Sequence[Question], judge: Judge, hosted: Hosted, private: Sequence[Value]
) -> list[ScoredAnswer]:
    """Let a model grade every answer, in the order given; only its "Correct" counts.

    "Can't tell" and what is no verdict are unscored, and so is an empty answer, which is not sent.

    Args:
        answers: of the model under test.
        questions: one per answer.
        judge: the model that grades.
        hosted: how requests to it are sent.
        private: true values of all dialogues; the judge gets surrogates for those in an answer, unless the question
            contains them too.

    Raises:
        ValueError: see `requests.send_requests`.
    """
    known = ValueIndex(private)
    texts = [
        disguise(answer, question, known) if hosted.pseudonymise else answer
        for answer, question in zip(answers, questions, strict=True)
    ]
    requests = {
        number: _request(judge.model, judge_prompt(text, question))
        for number, (text, question) in enumerate(zip(texts, questions, strict=True))
        if text.strip()
    }
    replies = send_requests(
        list(requests.values()), Endpoint(judge.provider, judge.base_url, judge.key_env), hosted, purpose="judge"
    )
    verdicts = {number: read_verdict(reply.text) for number, reply in zip(requests, replies, strict=True)}
    return [
        ScoredAnswer(
            question_id=question.question_id,
            category=question.category,
            answer=answer,
            verdict=verdicts.get(number),
        )
        for number, (answer, question) in enumerate(zip(answers, questions, strict=True))
    ]


def judge_prompt(answer: str, question: Question) -> str:
    """Return what the judge reads: the question with its options, the right option's text and the answer."""
    right = question.options[question.answer_index]
    return JUDGE.format(question=with_options(question), correct_answer=right, answer=answer)


def disguise(answer: str, question: Question, known: ValueIndex) -> str:
    """Replace the personal values in an answer, except those in the question.

    Args:
        answer: of the model under test.
        question: of the answer.
        known: true values of all dialogues.
    """
    shown = with_options(question)
    values = [value for value in known.near(answer) if find_values(answer, [value]) and not find_values(shown, [value])]
    return Pseudonyms([answer], values, words(shown), "judge").mask(answer)


def read_verdict(reply: str) -> Literal["correct", "incorrect"] | None:
    """Read the judge's word, whatever its case, quotes and full stop; None for "Can't tell" and all else."""
    word = re.sub(r"^\W+|\W+$", "", reply).casefold()
    return "correct" if word == "correct" else "incorrect" if word == "incorrect" else None


def _request(model: str, prompt: str) -> Request:
    return Request(model, (Message(role="user", content=prompt),), temperature=0, max_tokens=VERDICT_TOKENS)
