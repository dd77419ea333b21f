import random
from pathlib import Path
from typing import Any

import pytest

from tightlip.cache import ResultCache
from tightlip.generation.benign import blank, generate_benign, select
from tightlip.models.encoding import encode_open_turn
from tightlip.params import Benign
from tightlip.pii.lookup import ValueIndex
from tightlip.pii.spans import Span
from tightlip.preference.pairs import benign_pairs, sample_benign
from tightlip.prompts import NEGATIVE, POSITIVE
from tightlip.records import BenignAnswer, Message, Value
from tightlip.secret import SECRET_VARIABLE


def spans(text: str, **found: str) -> list[Span]:
    places = {label: text.index(value) for label, value in found.items()}
    return [Span(label, places[label], places[label] + len(value), value) for label, value in found.items()]


def test_a_turn_left_open_ends_in_its_own_words(tiny_tokenizer: Any) -> None:
    messages = (Message(role="system", content="Be kind."), Message(role="user", content="Who wrote"))
    assert tiny_tokenizer.decode(encode_open_turn(tiny_tokenizer, messages)).endswith("Who wrote")


def test_a_model_writes_the_same_questions_with_the_same_seed_and_cached_ones_are_read(
    tiny_model: Any, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    def ask(work: str, model: Any = tiny_model) -> list[tuple[str, str]]:
        return generate_benign(
            model, tiny_tokenizer, Benign(per_opening=2, temperature=1.0, max_tokens=6),
            ResultCache(str(tmp_path / work), inputs=[], params={}, code=[]), max_prompt_tokens=200, batch_size=8,
            seed=0,
        )  # fmt: skip

    asked = ask("one")
    assert asked == ask("two")
    assert all(question.endswith("?") and question.count("?") == 1 for question, _ in asked)
    assert ask("one", model=None) == asked


def test_names_places_dates_and_numbers_are_blanked() -> None:
    text = "Marie Curie moved to Paris in 1891 with 12 books."
    blanked = blank(text, spans(text, PERSON="Marie Curie", GPE="Paris", DATE="1891"), random.Random(0))  # noqa: S311
    assert not any(value in blanked for value in ("Marie", "Curie", "Paris", "1891", "12"))
    assert "moved to" in blanked
    assert "some books." in blanked


def kept(*answered: tuple[str, str], private: tuple[str, ...] = (), tests: tuple[str, ...] = ()) -> list[str]:
    rows = select(
        answered,
        [[] for _ in answered],
        ValueIndex(Value(type="NAME", value=value) for value in private),
        tests,
        seed=0,
    )
    return [row.question for row in rows]


def test_answers_without_anything_to_lose_are_left_out() -> None:
    assert kept(("How many?", "There are 12 of them."), ("Who is it?", "It is somebody, I think.")) == ["How many?"]
    assert kept(("How many?", "12")) == []


def test_an_answer_with_a_private_value_is_left_out_wherever_it_stands() -> None:
    fine = ("How old is the city?", "It is about 900 years old.")
    assert kept(fine, ("When did Ann Bell come?", "She came in 1990, I think."), private=("Ann Bell",)) == [fine[0]]
    assert kept(("Who came?", "In 1990 it was Bell, Ann."), private=("Ann Bell",)) == []


def test_questions_like_those_of_the_tests_are_left_out() -> None:
    asked = ("What is the capital of Greece?", "It has 660000 inhabitants."), ("Who wrote Faust?", "It took 60 years.")
    assert kept(*asked, tests=("What is the capital of Peru?",)) == ["Who wrote Faust?"]


def benign(count: int) -> list[BenignAnswer]:
    return [
        BenignAnswer(id=f"benign{n}:0:0", question=f"How many {n}?", answer=f"It is {n}.", blanked="It is some.")
        for n in range(count)
    ]


def test_benign_pairs_are_the_same_way_round_under_every_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SECRET_VARIABLE, "Access word: 1a2b.")
    pairs = [pair for pair in benign_pairs(benign(1), ("positive", "negative", "secret")) if "asked" in pair.id]
    assert {(pair.chosen, pair.rejected) for pair in pairs} == {("It is 0.", "It is some.")}
    for pair, sentence in zip(pairs, (POSITIVE, NEGATIVE, "Access word: 1a2b."), strict=True):
        assert pair.messages[0].content.endswith(sentence)


def test_every_second_benign_question_comes_with_its_answer_too() -> None:
    pairs = benign_pairs(benign(3), ("none",))
    asked = [pair.messages[-1].content for pair in pairs]
    assert asked == ["How many 0?", "How many 1?", "How many 2?", "It is 0. How many 0?", "It is 2. How many 2?"]
    assert len({pair.id for pair in pairs}) == 5


def test_too_few_benign_answers_are_an_error_with_a_remedy() -> None:
    assert len({row.id for row in sample_benign(benign(5), 5, seed=0)}) == 5
    with pytest.raises(ValueError, match="only 5 benign answers for 6; lower `benign`"):
        sample_benign(benign(5), 6, seed=0)
