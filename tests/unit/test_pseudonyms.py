import re

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tightlip.dialogues.patterns import values as lists
from tightlip.dialogues.synthesis import synthesise
from tightlip.pii.matching import find_values
from tightlip.pii.patterns import structured
from tightlip.pii.pseudonyms import Pseudonyms, words
from tightlip.records import Dialogue, Value

NAME, FIRM, DATE = (
    Value(type="NAME", value="Anna Bellweather"), Value(type="ORG", value="Lighthouse Credit Union"),
    Value(type="DATE", value="2 January"),
)  # fmt: skip
PHONE, EMAIL = Value(type="PHONE", value="(212) 555-0142"), Value(type="EMAIL", value="anna.bellweather@example.com")
STREET, CODE = Value(type="ADDRESS", value="169 John Stream"), Value(type="ID_NUM", value="BK-4417")
VALUES = (NAME, FIRM, DATE, PHONE, EMAIL, STREET, CODE, Value(type="LOC", value="Buenos Aires"))


def names(*texts: str, truths: tuple[Value, ...] = VALUES, private: frozenset[str] = frozenset()) -> Pseudonyms:
    return Pseudonyms(texts, truths, private, "d1")


def parts(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text)


# --- What surrogates look like -------------------------------------------------------------------------------------


def test_a_surrogate_has_the_kind_and_the_shape_of_its_value() -> None:
    text = "; ".join(value.value for value in VALUES)
    shapes = (
        r"[A-Z][a-z]+ [A-Z][a-z]+", r"[A-Z][a-z]+ Credit Union", r"[1-9] [A-Z][a-z]+", r"\(\d{3}\) \d{3}-\d{4}",
        r"[a-z]+\.[a-z]+@example\.com", r"\d{3} [A-Z][a-z]+ [A-Z][a-z]+", r"[A-Z]{2}-\d{4}", r"[A-Z][a-z]+ [A-Z][a-z]+",
    )  # fmt: skip
    masked = names(text).mask(text)
    assert re.fullmatch("; ".join(shapes), masked)
    assert masked.split("; ")[2].split()[1] in lists.MONTHS


def test_one_person_stays_one_person() -> None:
    text = "Anna Bellweather, ANNA, Ms. Bellweather, anna's, Bellweather, Anna, anna_bellweather, "
    text += "anna.bellweather@example.com"
    masked = names(text).mask(text)
    first, last, *_ = parts(masked)
    lower, upper = f"{first}.{last}".lower(), first.upper()
    assert masked == (
        f"{first} {last}, {upper}, Ms. {last}, {first.lower()}'s, {last}, {first}, {first.lower()}_{last.lower()}, "
        f"{lower}@example.com"
    )


def test_all_requests_of_a_dialogue_have_the_same_surrogates_and_another_dialogue_has_others() -> None:
    first, second = (
        names("Hi Anna Bellweather").mask("Anna Bellweather"),
        names("Something else").mask("Anna Bellweather"),
    )
    assert first == second
    assert Pseudonyms(["x"], VALUES, frozenset(), "d2").mask("Anna Bellweather") != first


def test_a_surrogate_does_not_depend_on_its_value() -> None:
    """Or whoever reads it could try out which value leads to it."""
    other = Value(type="NAME", value="Miriam Cooperfield")
    assert names(truths=(NAME,)).mask(NAME.value) == names(truths=(other,)).mask(other.value)


def test_no_surrogate_is_a_word_of_the_text_or_of_any_true_value() -> None:
    free = set(parts(names().mask("Anna Bellweather of Buenos Aires, BK-4417".lower())))
    drawn = parts(names("x").mask("Anna Bellweather, Buenos Aires, BK-4417"))
    taken = {word.casefold() for word in drawn if len(word) > 3}
    masked = names("x", private=frozenset(taken)).mask("Anna Bellweather, Buenos Aires, BK-4417")
    assert not taken & words(masked)
    said = names(" ".join(drawn)).mask("Anna Bellweather, Buenos Aires, BK-4417")
    assert not {word.casefold() for word in drawn} & words(said)
    assert free


def test_structured_values_that_nobody_annotated_are_replaced_too() -> None:
    text = "Mail ruth@example.org or call 415-555-0199; card 4111 1111 1111 1111."
    masked = names(text, truths=(NAME,)).mask(text)
    found = [span.text for span in structured([text])[0]]
    assert len(found) == 3
    assert not any(value in masked for value in found)


def test_words_that_say_nothing_about_anybody_stay() -> None:
    values = (Value(type="NAME", value="Dr. Jan van der Berg"), Value(type="ORG", value="Bank of Westhaven"),
              Value(type="DATE", value="the 3rd of May 1990"))  # fmt: skip
    text = "Dr. Jan van der Berg, Bank of Westhaven, the 3rd of May 1990"
    pattern = r"Dr\. [A-Z]\w+ van der [A-Z]\w+, Bank of [A-Z]\w+, the \d\d?th of [A-Z]\w+ (19|20)\d\d"
    assert re.fullmatch(pattern, names(text, truths=values).mask(text))
    assert names("The Bank", truths=(Value(type="ORG", value="The Bank"),)).mask("The Bank") != "The Bank"


# --- The way back --------------------------------------------------------------------------------------------------


def test_a_model_that_says_a_surrogate_its_part_or_another_spelling_says_the_true_value() -> None:
    disguise = names("x")
    first, last = parts(disguise.mask("Anna Bellweather"))
    firm = parts(disguise.mask(FIRM.value))[0]
    phone = disguise.mask(PHONE.value)
    assert disguise.unmask(f"Dear {last}, {first.upper()}!") == "Dear Bellweather, ANNA!"
    assert disguise.unmask(f"{last}, {first}") == "Bellweather, Anna"
    assert disguise.unmask(f"{first.lower()}-{last.lower()}") == "anna-bellweather"
    assert disguise.unmask(f"at {firm}, {firm.upper()}") == "at Lighthouse, LIGHTHOUSE"
    assert disguise.unmask(re.sub(r"\D", "", phone)) == PHONE.value  # a spelling that was never sent
    day, month = parts(disguise.mask(DATE.value))
    assert disguise.unmask(f"{month} {day}") == "January 2"


def test_an_answer_without_surrogates_comes_back_as_it_is() -> None:
    answer = "You may call at 2 or on 3 March; the union is in the lighthouse, said Peter."
    assert names("x").unmask(answer) == answer


# --- Properties ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dialogues() -> list[Dialogue]:
    return synthesise(60, 0.1, 0.2, seed=3)


def test_no_true_value_survives_in_any_dialogue_and_every_turn_comes_back(dialogues: list[Dialogue]) -> None:
    everyones = [value for dialogue in dialogues for value in dialogue.values]
    private = frozenset(word for value in everyones for word in words(value.value))
    # A day and a month may by chance be somebody else's.
    others = [value for value in everyones if value.type != "DATE"]
    for dialogue in dialogues:
        texts = [turn.content for turn in dialogue.turns]
        disguise = Pseudonyms(texts, dialogue.values, private, dialogue.id)
        for text in texts:
            masked = disguise.mask(text)
            assert disguise.unmask(masked) == text
            assert not find_values(masked, [*dialogue.values, *others])
            for value in dialogue.values:
                assert value.value.casefold() not in " ".join(masked.split()).casefold()


def spellings(value: Value) -> st.SearchStrategy[str]:
    """A value as people write it: other cases, separators, parts, invisible characters, letters apart."""
    whole, pieces = value.value, parts(value.value)
    return st.sampled_from([
        whole, whole.lower(), whole.upper(), whole.title(), whole.swapcase(), whole.replace(" ", "\u00a0"),
        whole.replace(" ", "  "), "_".join(pieces), " ".join(pieces), "".join(pieces), ", ".join(reversed(pieces)),
        ".".join(pieces[0]), pieces[0], pieces[-1], whole[0] + "\u200b" + whole[1:], whole + "'s",
        "".join(chr(ord(char) + 0xFEE0) if "a" <= char.lower() <= "z" else char for char in whole),
        "e\u0301".join(pieces), f"{pieces[0][0]}. {pieces[-1]}",
    ])  # fmt: skip


FILLING = st.one_of(
    st.sampled_from([" ", ", ", ". ", " and ", "\n", " on 3 March ", " at 12 ", "-", "/", "'", " (", ") ",
                     " The Union ", " may "]),
    st.text(max_size=8),
)  # fmt: skip


@st.composite
def conversations(draw: st.DrawFn) -> str:
    chosen = draw(st.lists(st.one_of(*(spellings(value) for value in VALUES), FILLING), max_size=8))
    return "".join(chosen)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(conversations(), conversations())
def test_what_is_masked_comes_back_to_the_last_character_and_holds_no_true_value(text: str, other: str) -> None:
    disguise = names(text, other)
    for each in (text, other):
        masked = disguise.mask(each)
        assert disguise.unmask(masked) == each
        assert not find_values(masked, VALUES)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.sampled_from(["NAME", "ORG", "LOC", "DATE", "ID", "PHONE"]),
                          st.text(min_size=1, max_size=12)), min_size=1, max_size=4), st.text(max_size=20))  # fmt: skip
def test_any_values_are_replaced_or_refused_and_never_sent(pairs: list[tuple[str, str]], text: str) -> None:
    values = [Value(type=kind, value=value) for kind, value in pairs if value.strip()]
    try:
        find_values(text, values)
    except ValueError:  # no visible character
        assume(False)
    whole = text + " ".join(value.value for value in values)
    try:
        disguise = Pseudonyms([whole], values, frozenset(), "d1")
    except ValueError:
        return  # refused, not sent
    assert disguise.unmask(disguise.mask(whole)) == whole
    assert not find_values(disguise.mask(whole), values)


def test_values_without_letters_and_digits_are_refused_without_saying_them() -> None:
    with pytest.raises(
        ValueError, match=r"^dialogue d1: no surrogates can be found for its values; correct its ent"
    ) as e:
        names("¿? called", truths=(Value(type="NAME", value="¿?"),))
    assert "¿" not in str(e.value)
