from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from tightlip.records import Answer, Dialogue, Entity, FilteredAnswer, Message, Pair, Question, Sample, Turn, Value

SECRET = "Marigold"


def dialogue(*roles: str) -> Dialogue:
    return Dialogue(
        id="d1", domain="travel", split="train", turns=tuple(Turn(role=role, content="x") for role in roles)
    )


def question(**changes: Any) -> Question:
    fields = {
        "question_id": 1, "question": "2 + 2?", "options": ("3", "4", "5"), "answer": "B", "answer_index": 1,
        "category": "math", "src": "ours",
    }  # fmt: skip
    return Question.model_validate(fields | changes)


@pytest.mark.parametrize(
    "roles", [("user", "assistant"), ("system", "user", "assistant"), ("user", "assistant", "user", "assistant")]
)
def test_user_and_assistant_take_turns_after_an_optional_system_turn(roles: tuple[str, ...]) -> None:
    assert [turn.role for turn in dialogue(*roles).turns] == list(roles)


@pytest.mark.parametrize(
    "roles",
    [
        ("user", "user"),
        ("assistant", "user"),
        ("user", "assistant", "user"),
        ("user", "system", "assistant"),
        ("system", "system", "user", "assistant"),
        ("system", "user"),
        ("user",),
        (),
    ],
)
def test_turns_in_another_order_are_errors(roles: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError, match="turns"):
        dialogue(*roles)


def test_an_entity_holds_the_characters_of_its_span() -> None:
    turn = Turn(role="user", content="I am Ana.", entities=(Entity(type="NAME", value="Ana", start=5, end=8),))
    assert turn.entities[0].value == "Ana"
    with pytest.raises(ValidationError, match="span 4:7 does not hold the entity's value"):
        Turn(role="user", content="I am Ana.", entities=(Entity(type="NAME", value="Ana", start=4, end=7),))


def test_a_message_takes_no_entities() -> None:
    with pytest.raises(ValidationError, match="entities"):
        Message.model_validate({"role": "user", "content": "x", "entities": ()})


@pytest.mark.parametrize(
    "changes",
    [
        {"answer": "C"},
        {"answer_index": 3, "answer": "D"},
        {"options": ("4", " ", "5")},
        {"options": ("3", "4")},
        {"answer_index": -1},
    ],
    ids=["letter", "beyond the options", "empty option", "two options", "negative"],
)
def test_a_question_that_has_no_single_right_option_is_an_error(changes: dict[str, Any]) -> None:
    assert question().options[1] == "4"
    with pytest.raises(ValidationError):
        question(**changes)


@pytest.mark.parametrize(
    ("row", "fields"),
    [
        (Answer, {"sample_id": "s", "source": "base", "candidate": -1, "text": "", "finish": "stop"}),
        (Answer, {"sample_id": "s", "source": "base", "candidate": 0, "text": "", "finish": "eos"}),
        (Value, {"type": "NAME", "value": "x", "note": "y"}),
        (Message, {"role": "tool", "content": "x"}),
        (Pair, {"id": "p"}),
        (Sample, {"id": "s", "dialogue_id": "d", "split": "train", "messages": (), "prefix": "", "completion": "x",
                  "target": {"type": "NAME", "value": "x"}, "truths": ({"type": "NAME", "value": "x"},)}),
    ],
    ids=["negative candidate", "unknown finish", "unknown field", "unknown role", "missing fields", "no message"],
)  # fmt: skip
def test_rows_that_do_not_fit_are_errors(row: type[BaseModel], fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        row.model_validate(fields)


def test_rows_are_immutable_and_hashable() -> None:
    value = Value(type="NAME", value="Ana")
    with pytest.raises(ValidationError, match="frozen"):
        value.value = "Eva"  # type: ignore[misc]
    assert len({value, Value(type="NAME", value="Ana")}) == 1


def test_an_answer_is_accepted_unless_there_is_a_reason() -> None:
    assert FilteredAnswer(sample_id="s", source="base", candidate=0, text="x", finish="stop").reasons == ()


def test_the_error_of_a_row_does_not_repeat_its_personal_values() -> None:
    with pytest.raises(ValidationError) as caught:
        Value.model_validate({"type": "NAME", "value": {"nested": SECRET}})
    assert SECRET not in str(caught.value)
    with pytest.raises(ValidationError) as caught:
        Turn(role="user", content=SECRET, entities=(Entity(type="NAME", value=SECRET, start=0, end=3),))
    assert SECRET not in str(caught.value)
