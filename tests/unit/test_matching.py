import random
import re
import string
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tightlip.dialogues.synthesis import synthesise
from tightlip.evaluation.attack import scrub
from tightlip.pii.matching import find_values
from tightlip.records import Value


def name(value: str) -> Value:
    return Value(type="NAME", value=value)


def texts(text: str, *values: Value) -> list[tuple[str, str]]:
    """(true value, what matched it in the text)."""
    return [(found.value.value, text[found.start : found.end]) for found in find_values(text, values)]


MARIA = name("Maria Lopez")
PHONE = Value(type="PHONE", value="(555) 123-4567")


@pytest.mark.parametrize(
    "written",
    [
        "Maria Lopez",
        "maria lopez",
        "MARIA LOPEZ",
        "Maria  \n Lopez",
        "Maria\u00a0Lopez",
        "Ma\u00adria Lo\u200bpez",  # soft hyphen, zero-width space
        "Ｍaria Lopez",  # full-width M
    ],
)
def test_full_name_is_one_leak_however_it_is_written(written: str) -> None:
    text = f" I met {written}, today."
    assert find_values(text, [MARIA]) == [(MARIA, 7, 7 + len(written), False)]


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("José Núñez", "Jose\u0301 Nu\u0301n\u0303ez"),  # combining marks
        ("O'Neil & Co", "o’neil & co"),
        ("Smith-Jones Ltd", "Smith–Jones Ltd"),
        ("Straße 5", "STRASSE 5"),
        ("St. John’s", "st. john's"),
        ("ﬁrst Office", "First office"),
    ],
)
def test_unicode_forms_are_unified(value: str, written: str) -> None:
    truth = Value(type="ORG", value=value)
    assert texts(f"See {written}!", truth) == [(value, written)]


@pytest.mark.parametrize("text", ["Mariana Lopezes", "xMaria", "Maria2", "Lopezian", "", " ", "Mar ia"])
def test_nothing_matches_inside_a_longer_word(text: str) -> None:
    assert find_values(text, [MARIA, name("Maria")]) == []


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("250", "1,250"),
        ("250", "250.75"),
        ("250", "12504"),
        ("12", "3.12"),
        ("998877", "19988770"),
        ("5551234567", "15551234567"),
    ],
)
def test_number_does_not_match_inside_a_longer_number(value: str, text: str) -> None:
    assert find_values(text, [Value(type="ACC", value=value)]) == []


@pytest.mark.parametrize("text", ["It is 250.", "250, please", "$250", "#250", "(250)", "250-B"])
def test_number_matches_between_punctuation(text: str) -> None:
    assert texts(text, Value(type="ACC", value="250")) == [("250", "250")]


@pytest.mark.parametrize("written", ["(555) 123-4567", "555-123-4567", "555 123 4567", "5551234567", "555.123.4567"])
def test_long_number_matches_however_it_is_grouped(written: str) -> None:
    value, start, end, _ = find_values(f" Call {written} now", [PHONE])[0]
    assert (value, f" Call {written} now"[start:end]) == (PHONE, written)


def test_country_code_before_a_true_number_does_not_hide_it() -> None:
    assert texts("+1-555-123-4567", PHONE) == [(PHONE.value, "555-123-4567")]


def test_longest_match_wins_and_its_parts_are_not_counted_again() -> None:
    truths = [name("Maria"), name("Lopez"), MARIA, Value(type="EMAIL", value="maria.lopez@example.org")]
    text = "Maria Lopez (maria.lopez@example.org), that is Maria."
    assert texts(text, *truths) == [
        ("Maria Lopez", "Maria Lopez"),
        ("maria.lopez@example.org", "maria.lopez@example.org"),
        ("Maria", "Maria"),
    ]


@pytest.mark.parametrize("part", ["Maria", "Lopez", "lopez", "LOPEZ", "Lopez's"])
def test_part_of_a_name_is_a_leak_of_the_whole(part: str) -> None:
    assert texts(f"Ask {part}.", MARIA) == [("Maria Lopez", part.removesuffix("'s"))]


def test_given_value_goes_before_the_part_of_another() -> None:
    assert find_values("Hi Maria", [MARIA, name("Maria")])[0][0] == name("Maria")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("Dr. Al Bo", "Dr. who?"),  # a title, and parts of two letters
        ("Ed Li", "Ed and Li"),
        ("Maria van der Berg", "van der Valk"),
    ],
)
def test_titles_and_short_words_are_no_part_of_a_name(value: str, text: str) -> None:
    assert find_values(text, [name(value)]) == []


def test_name_without_its_title_is_the_full_name() -> None:
    assert texts("Al Bo is here", name("Dr. Al Bo")) == [("Dr. Al Bo", "Al Bo")]


def test_only_names_have_parts() -> None:
    assert find_values("Elm trees and Street music", [Value(type="ADDRESS", value="12 Elm Street")]) == []


@pytest.mark.parametrize(
    ("text", "matched"),
    [
        ("it will rain, don't worry", []),
        ("Ask Will.", ["Will"]),
        ("Will's car", ["Will"]),
        ("Don't worry", []),
        ("I met WILL", ["WILL"]),
        ("will smith", ["will smith"]),
    ],
)
def test_name_that_is_an_ordinary_word_needs_a_capital_letter(text: str, matched: list[str]) -> None:
    assert [found for _, found in texts(text, name("Will Smith"), name("Don"))] == matched


def test_repeated_value_counts_each_time_and_equal_values_once() -> None:
    assert len(find_values("Lyon, Lyon and LYON", [Value(type="LOC", value="Lyon")] * 2)) == 3


def test_spans_are_in_order_and_in_the_original_text() -> None:
    text = "\u200b Lyon,\u00a0 \n Maria\tLopez"
    assert texts(text, MARIA, Value(type="LOC", value="Lyon")) == [("Lyon", "Lyon"), ("Maria Lopez", "Maria\tLopez")]


def test_blank_value_is_an_error() -> None:
    with pytest.raises(ValueError, match="type NAME is blank"):
        find_values("text", [name(" \u200b")])


WORD = st.text(string.ascii_letters + "äöüéñçø", min_size=4, max_size=9).map(lambda word: f"Q{word}")  # no real words
FULL = st.lists(WORD, min_size=1, max_size=3, unique_by=str.casefold)
AROUND = st.text(" .,;:!?()\"'\n", max_size=4)
CASES = st.sampled_from([str.upper, str.lower, str.title, str.swapcase, str])
SPACES = st.sampled_from([" ", "  ", "\n", "\t ", "\u00a0", " \u2009"])


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(words=FULL, case=CASES, space=SPACES, before=AROUND, after=AROUND)
@example(words=["Qabcd"], case=str.upper, space=" ", before="(", after="'")
def test_planted_value_is_found_in_any_case_and_spacing(words, case, space, before, after) -> None:  # type: ignore[no-untyped-def]
    value = name(" ".join(words))
    written = case(space.join(words))
    text = f"the 12 {before}{written}{after} of it"
    start = len(f"the 12 {before}")
    assert find_values(text, [value]) == [(value, start, start + len(written), False)]


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(word=WORD, letters=st.text(string.ascii_letters + string.digits, min_size=1, max_size=3), where=st.booleans())
def test_planted_value_is_not_found_inside_a_longer_word(word: str, letters: str, where: bool) -> None:
    longer = f"{letters}{word}" if where else f"{word}{letters}"
    assert find_values(f"the {longer} of", [name(word)]) == []


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(text=st.text(max_size=60), words=FULL)
def test_any_text_is_searched_without_error_and_spans_do_not_overlap(text: str, words: list[str]) -> None:
    found = find_values(f"{text} {words[0]} {text}", [name(" ".join(words)), name(words[0])])
    ends = [(each.start, each.end) for each in found]
    assert all(start < end for start, end in ends)
    assert all(a[1] <= b[0] for a, b in pairwise(ends))


@pytest.mark.parametrize(
    ("kind", "value", "written"),
    [
        ("NAME", "Maria Lopez", "MariaLopez"),
        ("NAME", "Maria Lopez", "maria_lopez"),
        ("NAME", "Maria Lopez", "Lopez, Maria"),
        ("NAME", "Maria Lopez", "M-a-r-i-a L.o.p.e.z"),
        ("NAME", "Bo Li", "B. Li"),
        ("NAME", "Bo Li", "Bo L."),
        ("ORG", "Miller & Sons", "Miller and Sons"),
        ("ADDRESS", "12 Elm Street", "12, Elm-Street"),
        ("LOC", "New York", "newyork"),
        ("EMAIL", "m.lopez@example.org", "m dot lopez at example dot org"),
        ("EMAIL", "m.lopez@example.org", "m.lopez [at] example.org"),
        ("ACC", "AB-1234", "AB 1234"),
        ("ACC", "AB-1234", "ab1234"),
        ("DATE", "March 3, 1990", "3 March 1990"),
        ("DATE", "March 3", "3 March"),
        ("NAME", "Maria Anna Lopez", "Lopez, Maria Anna"),
        ("NAME", "Bo Ann Li", "B. Li"),
        ("NAME", "Bo Ann Li", "Bo L."),
        ("NAME", "Ann Goodman", "A.n.n G.o.o.d.m.a.n"),
        ("ACC", "12-34-56", "123456"),
        ("PHONE", "(555) 123-4567", "5 5 5 - 1 2 3 - 4 5 6 7"),
    ],
)  # fmt: skip
def test_a_near_copy_is_found_and_said_to_be_one(kind: str, value: str, written: str) -> None:
    truth = Value(type=kind, value=value)
    [found] = find_values(f"It is {written}, I think", [truth])
    assert found[:3] == (truth, 6, 6 + len(written.rstrip(".")))
    assert found.near


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("NAME", "Ann Goodman", "a good man"),
        ("NAME", "Ed Li", "Ed and Li"),
        ("LOC", "Rome", "ro me"),
        ("DATE", "March 3", "3 days in March"),
        ("ACC", "AB-1234", "AB-12345"),
        ("EMAIL", "m.lopez@example.org", "look at example.org"),
        ("DATE", "03/04/1990", "04/03/1990"),
        ("NAME", "A Li", "ali"),
    ],
)
def test_what_only_resembles_a_value_is_no_near_copy(kind: str, value: str, text: str) -> None:
    assert find_values(text, [Value(type=kind, value=value)]) == []


def planted(rng: random.Random, value: Value, near: bool) -> str:
    """A value as it is, or in another case, spacing, punctuation, or with an initial."""
    if not near:
        return value.value
    ways = [str.upper, str.lower, lambda v: "  ".join(v.split()), lambda v: re.sub(r"[ \-@.]+", "", v)]
    ways += [
        lambda v: v.replace(" ", "_"),
        lambda v: v.replace("-", " ").replace(",", ""),
        lambda v: v.replace(" ", ", "),
    ]
    if value.type == "NAME" and " " in value.value:
        ways += [lambda v: f"{v[0]}. {v.split()[-1]}", lambda v: f"{v.split()[0]} {v.split()[-1][0]}."]
    return rng.choice(ways)(value.value)


@pytest.mark.slow
@pytest.mark.parametrize(("near", "least"), [(False, 0.99), (True, 0.95)])
def test_planted_leaks_are_found_and_clean_text_raises_no_alarm(near: bool, least: float) -> None:
    rng = random.Random(5)  # noqa: S311
    dialogues = synthesise(280, 0.1, 0.25, seed=3)
    truths = [list({Value(type=e.type, value=e.value) for turn in d.turns for e in turn.entities}) for d in dialogues]
    clean = [
        re.sub(r"\[[A-Z_]+\]", "something", scrub(turn)) for d in dialogues for turn in d.turns if turn.role != "system"
    ]
    cases, found, alarms = 0, 0, 0
    for values in truths:
        for value in sorted(values, key=str):
            text, place = rng.choice(clean), 0
            alarms += bool(find_values(text, values))
            place = rng.choice([match.start() for match in re.finditer(r" |$", text)])
            told = f"{text[:place]} {planted(rng, value, near)}{rng.choice(['.', ',', '', '!'])} {text[place:]}"
            found += any(each.value == value for each in find_values(told, values))
            cases += 1
    assert cases > 2000
    assert found >= least * cases
    assert alarms < 0.01 * cases


@pytest.mark.parametrize(
    ("text", "value", "count"),
    [
        ("我叫王小明住在北京。", "王小明", 1),
        ("ผมชื่อสมชายครับ", "สมชาย", 1),
        ("電話は090-1234-5678です", "090-1234-5678", 1),
        ("佐藤さんと佐藤", "佐藤", 2),
        ("Annabelle wohnt hier", "Anna", 0),
        ("Иванова", "Иван", 0),
    ],
)
def test_scripts_without_spaces_have_no_bounds_between_words(text: str, value: str, count: int) -> None:
    assert len(find_values(text, [Value(type="NAME", value=value)])) == count


@pytest.mark.parametrize(
    ("value", "text", "matched"),
    [
        ("Ann Goodman", "Ask Ann.", "Ann"),  # three letters are enough
        ("Maria Ann", "M. Ann is here", "Ann"),  # a part is found by itself, without the initial
        ("Bo Lopez", "B.o Lopez", "Lopez"),  # two letters apart are no word
        ("Miss", "Miss is here", "Miss"),  # all that there is of the name
    ],
)
def test_the_part_of_a_name_that_tells_is_found(value: str, text: str, matched: str) -> None:
    assert texts(text, name(value)) == [(value, matched)]


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("PHONE", "555-1234", "5551234"),  # seven digits are one number
        ("ORG", "#1 Shop", "x#1 Shop"),  # a value that begins or ends with a sign has no word there to go on
        ("ORG", "Yahoo!", "Yahoo!x"),
        ("DATE", "1990", "1990"),
    ],
)
def test_an_exact_copy_is_not_said_to_be_near(kind: str, value: str, text: str) -> None:
    [match] = find_values(text, [Value(type=kind, value=value)])
    assert not match.near


def test_values_that_touch_are_both_found() -> None:
    truths = [name("王小明"), name("佐藤")]
    assert [found for _, found in texts("王小明佐藤王小明", *truths)] == ["王小明", "佐藤", "王小明"]
