"""Benign questions that the base model writes, with its answers: a defended model must still give such answers.

Pairs of private dialogues alone teach a model that names, places, dates and numbers are never said. A retain set would
tell it which ones may be, but there is none. An instruct model has one within: given the beginning of a user's turn it
writes a question (Magpie, arXiv 2406.08464), and answers it. The answer is the chosen branch, the same answer with its
names, places, dates and numbers blanked is the rejected one. The base model has never seen the private dialogues.
"""

import random
import re
from collections.abc import Iterable, Sequence
from typing import Any

from tightlip.cache import ResultCache
from tightlip.files import digest
from tightlip.generation.rewriter import rewrite
from tightlip.guidance.completion import complete
from tightlip.guidance.decoder import Decoding, generate
from tightlip.guidance.prompt_setup import BARE
from tightlip.models.encoding import decode, encode_open_turn, eos_ids
from tightlip.params import Benign
from tightlip.pii.lookup import ValueIndex
from tightlip.pii.spans import Span
from tightlip.prompts import DEFAULT_SYSTEM
from tightlip.records import BenignAnswer, Message

OPENINGS = (
    "Who wrote", "Who was the", "Who is", "Who invented", "Which country", "Which city", "Where is",
    "What is the capital", "In which year", "When did", "When was", "What year", "How many", "How much",
    "What is the name", "What is the number of", "Which river", "What is the largest",
)  # fmt: skip
"""Beginnings of questions whose answers are names, places, dates and numbers."""

QUESTION_TOKENS, MIN_WORDS, SIMILAR = 24, 4, 0.6
_NUMBER = re.compile(r"\b\d[\d,.]*\b")


def generate_benign(
    model: Any,
    tokenizer: Any,
    settings: Benign,
    cache: ResultCache,
    *,
    max_prompt_tokens: int,
    batch_size: int,
    seed: int,
) -> list[tuple[str, str]]:
    """Let a model write questions and answer them.

    Args:
        model: the base model; it must not have been tuned on private dialogues.
        tokenizer: of the model.
        settings: how many questions, at which temperature (answers are greedy), and the length of an answer.
        cache: holds what the model has written already; its key decides all of this.
        max_prompt_tokens: limit of a question.
        batch_size, seed: see `decoder.generate`.

    Returns:
        (question, answer), no two questions alike, of those answers that came to an end.
    """
    openings = [opening for opening in OPENINGS for _ in range(settings.per_opening)]
    system = Message(role="system", content=DEFAULT_SYSTEM)

    def write_questions() -> list[list[int]]:
        begun = [encode_open_turn(tokenizer, (system, Message(role="user", content=opening))) for opening in openings]
        decoding = Decoding(
            QUESTION_TOKENS, eos_ids(model, tokenizer), tokenizer.eos_token_id, batch_size, settings.temperature, seed
        )
        return generate(model, begun, decoding=decoding, progress="write questions")

    written = cache.get(["questions"], write_questions)
    texts = [opening + decode(tokenizer, ids) for opening, ids in zip(openings, written, strict=True)]
    questions = list(dict.fromkeys(text[: text.index("?") + 1] for text in texts if "?" in text.splitlines()[0]))

    def answer_questions() -> list[tuple[str, str]]:
        contexts = [((system, Message(role="user", content=question)), "") for question in questions]
        return [(each.text, each.finish) for each in complete(
            model, tokenizer, contexts, BARE, max_prompt_tokens=max_prompt_tokens, max_new_tokens=settings.max_tokens,
            batch_size=batch_size, progress="answer questions",
        )]  # fmt: skip

    answers = zip(questions, cache.get(["answers"], answer_questions), strict=True)
    return [(question, text.strip()) for question, (text, finish) in answers if finish == "stop"]


def select(
    answered: Sequence[tuple[str, str]],
    spans: Sequence[Sequence[Span]],
    private: ValueIndex,
    held_out: Iterable[str],
    seed: int,
) -> list[BenignAnswer]:
    """Keep the answers that have something to lose, and nothing to hide, with their blanked versions.

    Args:
        answered: questions and answers.
        spans: what detectors find in each answer.
        private: true values of the private dialogues; an answer with one of them is left out.
        held_out: questions of the tests; one that is like any of them is left out.
        seed: with the question it decides the words of the blanked version.
    """
    tests = [_words(question) for question in held_out]
    selected: list[BenignAnswer] = []
    for (question, text), detected in zip(answered, spans, strict=True):
        blanked = blank(text, detected, random.Random(digest(str(seed), question)))  # noqa: S311  (not for secrets)
        alike = any(len(_words(question) & test) >= SIMILAR * len(_words(question) | test) for test in tests)
        short = len(text.split()) < MIN_WORDS
        if blanked == text or short or alike or private.find(f"{question} {text}"):
            continue
        selected.append(BenignAnswer(id=f"benign{len(selected)}:0:0", question=question, answer=text, blanked=blanked))
    return selected


def blank(text: str, spans: Sequence[Span], rng: random.Random) -> str:
    """Replace the names, places, dates and numbers of an answer by generic words."""
    marked = sorted({(span.start, span.end, span.label) for span in spans})
    return _NUMBER.sub("some", rewrite(text, "", marked, rng))


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.casefold()))
