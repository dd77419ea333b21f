"""The bundled utility questions are well formed and cannot be answered by position."""

from collections import Counter

import pytest

from tightlip.evaluation.question_sets import load_questions
from tightlip.records import Question

CATEGORIES = {
    "biology",
    "business",
    "chemistry",
    "computer science",
    "economics",
    "engineering",
    "health",
    "history",
    "law",
    "math",
    "other",
    "philosophy",
    "physics",
    "psychology",
}


@pytest.fixture(scope="module", params=["validation", "test"])
def questions(request) -> list[Question]:
    return load_questions("bundled", request.param)


def test_the_splits_share_no_question():
    validation, test = (
        {" ".join(row.question.casefold().split()) for row in load_questions("bundled", split)}
        for split in ("validation", "test")
    )

    assert validation.isdisjoint(test)


def test_every_category_of_mmlu_pro_has_at_least_ten_questions(questions):
    counts = Counter(question.category for question in questions)

    assert set(counts) == CATEGORIES
    assert min(counts.values()) >= 10
    assert len(questions) >= 140


def test_ids_count_from_one(questions):
    assert [question.question_id for question in questions] == list(range(1, len(questions) + 1))


def test_no_question_is_asked_twice(questions):
    texts = [" ".join(question.question.casefold().split()) for question in questions]

    assert [text for text, count in Counter(texts).items() if count > 1] == []


def test_options_are_six_to_ten_and_differ_in_more_than_case(questions):
    for question in questions:
        assert len(question.options) >= 6, question.question  # the schema already ends at ten
        assert len({option.casefold() for option in question.options}) == len(question.options), question.question


def test_texts_carry_no_surrounding_white_space(questions):
    for question in questions:
        for text in (question.question, *question.options):
            assert text, question.question_id
            assert text == text.strip(), text


def test_a_fixed_position_is_not_a_strategy(questions):
    positions = Counter(question.answer_index for question in questions)

    assert set(positions) == set(range(10))
    assert max(positions.values()) / len(questions) < 0.25


def test_rows_say_that_they_are_ours(questions):
    assert {question.src for question in questions} == {"tightlip"}
