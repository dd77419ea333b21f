"""The bundled utility questions are well formed and cannot be answered by position."""

from collections import Counter
from pathlib import Path

import pytest

from tightlip.evaluation.question_sets import load_questions
from tightlip.params import Questions
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
    return load_questions(Questions(), request.param)


def test_the_splits_share_no_question():
    validation, test = (
        {" ".join(row.question.casefold().split()) for row in load_questions(Questions(), split)}
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


MMLU_PRO = {  # as in the hub's files, a field that we do not know and stray spaces included
    "question_id": 70, "question": "Which colour?", "options": ["red", " blue", "green "], "answer": "B",
    "answer_index": 1, "cot_content": "", "category": "other", "src": "x", "more": 1,
}  # fmt: skip


@pytest.fixture
def parquet(tmp_path: Path) -> Path:
    from datasets import Dataset

    (tmp_path / "data").mkdir()
    path = tmp_path / "data/validation-00000-of-00001.parquet"
    Dataset.from_list([MMLU_PRO, MMLU_PRO | {"question_id": 71, "options": ["a", "a", "b"]}]).to_parquet(path)
    return path


def test_questions_are_read_from_parquet_without_the_spaces_that_give_answers_away(parquet: Path):
    name = str(parquet).replace("validation", "{split}")
    first, second = load_questions(Questions(source="path", name=name), "validation")
    assert first.options == ("red", "blue", "green")
    assert second.options == ("a", "a", "b")


def test_questions_are_read_from_a_data_set_as_the_hub_has_it(parquet: Path):
    found = load_questions(
        Questions.model_construct(source="hub", name=str(parquet.parents[1]), revision=None), "validation[:1]"
    )
    assert [question.question_id for question in found] == [70]


@pytest.mark.parametrize(
    ("row", "problem"),
    [({"answer": "C"}, "row 1: .*answer must be the letter"), ({"options": ["a", " "]}, "row 1: options")],
)
def test_a_row_that_is_no_question_is_named(row: dict[str, object], problem: str, tmp_path: Path):
    from datasets import Dataset

    Dataset.from_list([MMLU_PRO | row]).to_parquet(tmp_path / "q.parquet")
    with pytest.raises(ValueError, match=problem):
        load_questions(Questions(source="path", name=str(tmp_path / "q.parquet")), "test")


@pytest.mark.parametrize(("source", "name"), [("path", "missing.parquet"), ("hub", "/missing")])
def test_a_missing_set_is_named_with_what_to_correct(source, name: str):
    with pytest.raises(ValueError, match=f"eval.questions: cannot read {name}.*correct name, revision and splits"):
        load_questions(Questions.model_construct(source=source, name=name, revision=None), "test")
