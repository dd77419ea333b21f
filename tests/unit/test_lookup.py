from hypothesis import given
from hypothesis import strategies as st

from tightlip.dialogues.synthesis import synthesise
from tightlip.pii.lookup import ValueIndex
from tightlip.pii.matching import find_values
from tightlip.records import Value

DIALOGUES = synthesise(60, 0.1, 0.1, seed=3)
VALUES = [value for dialogue in DIALOGUES for value in dialogue.values]
INDEX = ValueIndex(VALUES)


def test_values_of_other_dialogues_are_found_as_if_each_was_tried() -> None:
    for dialogue in DIALOGUES[:12]:
        for turn in dialogue.turns:
            assert INDEX.find(turn.content) == find_values(turn.content, VALUES)


@given(
    value=st.sampled_from(VALUES),
    before=st.sampled_from(["", "(", "to ", "é, "]),
    after=st.sampled_from(["", ")", "'s", "."]),
)
def test_every_value_is_among_those_near_a_text_that_holds_it(value: Value, before: str, after: str) -> None:
    assert value in INDEX.near(f"{before}{value.value}{after}")
    assert value in INDEX.near(f"{before}{value.value.upper()}{after}")


def test_a_text_is_compared_with_few_values() -> None:
    streets = [Value(type="ADDRESS", value=f"{number} Elm{number} Street") for number in range(2000)]
    names = [Value(type="NAME", value=f"Dr. Ana Ruiz{number}") for number in range(50)]
    index = ValueIndex([*streets, *names])
    assert index.near("12 Elm12 Street") == [streets[12]]
    assert index.near("Dr. Ruiz7 of Elm Street") == [names[7]]


def test_a_part_of_a_name_and_a_number_in_other_groups_are_looked_up() -> None:
    ana, phone = Value(type="NAME", value="Dr. Ana Ruiz"), Value(type="PHONE", value="(318) 555-0160")
    index = ValueIndex([ana, phone])
    assert index.near("Ana called 3185550160.") == [ana, phone]
    assert index.near("Mr. Ruiz") == [ana]
    assert index.near("Dr. Smith") == []


def test_a_value_in_a_script_without_spaces_is_looked_up_wherever_it_stands() -> None:
    index = ValueIndex([Value(type="NAME", value="王小明"), Value(type="LOC", value="上海")])
    assert [found.value.value for found in index.find("我叫王小明住在北京。")] == ["王小明"]
