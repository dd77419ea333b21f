"""The paper's judge: a model says whether a generated answer is right (arXiv 2412.06846, appendix B)."""

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

from tqdm import tqdm

from tightlip.files import digest, read_json, write_json
from tightlip.models.hosted import chat, connect
from tightlip.prompts import JUDGE, with_options
from tightlip.records import Message, Question, ScoredAnswer

VERDICT_TOKENS = 8
WORKERS = 8


def judge_answers(
    answers: Sequence[str],
    questions: Sequence[Question],
    *,
    model: str,
    base_url: str | None,
    key_env: str,
    scratch: Path,
    progress: str,
) -> list[ScoredAnswer]:
    """Let a model judge every answer, in the order given; only its "Correct" counts.

    "Can't tell" and what is no verdict are unscored, and so is an empty answer, which is not sent. A reply is kept in
    `scratch` as soon as it is there, under the hash of what was asked: nothing is paid for twice.

    Args:
        answers: what the model under test said.
        questions: what they answer.
        model, base_url, key_env: of the judge (`params.Judge`).
        scratch: directory of the replies.
        progress: what is shown.

    Raises:
        ValueError: there is no key, or the endpoint does not answer; replies so far are kept.
    """
    prompts = [
        judge_prompt(answer, question) if answer.strip() else None
        for answer, question in zip(answers, questions, strict=True)
    ]
    paths = {
        prompt: scratch / f"{digest('judge', base_url or '', model, prompt)}.json"
        for prompt in prompts
        if prompt is not None
    }
    _ask(paths, model, base_url, key_env, progress)
    verdicts = {prompt: read_verdict(read_json(path)) for prompt, path in paths.items()}
    return [
        ScoredAnswer(
            question_id=question.question_id,
            category=question.category,
            answer=answer,
            verdict=None if prompt is None else verdicts[prompt],
        )
        for answer, question, prompt in zip(answers, questions, prompts, strict=True)
    ]


def judge_prompt(answer: str, question: Question) -> str:
    """Return what the judge reads: the question with its options, the right option's text and the answer."""
    right = question.options[question.answer_index]
    return JUDGE.format(question=with_options(question), correct_answer=right, answer=answer)


def read_verdict(reply: str) -> Literal["correct", "incorrect"] | None:
    """Read the judge's word, whatever its case, quotes and full stop; None for "Can't tell" and all else."""
    word = re.sub(r"^\W+|\W+$", "", reply).casefold()
    return "correct" if word == "correct" else "incorrect" if word == "incorrect" else None


def _ask(paths: dict[str, Path], model: str, base_url: str | None, key_env: str, progress: str) -> None:
    """Ask for every reply that is not kept yet, and keep it."""
    missing = [prompt for prompt, path in paths.items() if not path.is_file()]
    if not missing:
        return
    client = connect(key_env, base_url)

    def ask(prompt: str) -> None:
        messages = [Message(role="user", content=prompt)]
        write_json(paths[prompt], chat(client, model, messages, temperature=0, max_tokens=VERDICT_TOKENS))

    with client, ThreadPoolExecutor(WORKERS) as pool:
        for _ in tqdm(pool.map(ask, missing), total=len(missing), desc=progress, unit="answer"):
            pass
