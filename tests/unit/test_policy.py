from typing import Any

import pytest

from tightlip.params import Filter
from tightlip.pii.detector import Detector
from tightlip.pii.policy import count_reasons, filter_answers
from tightlip.records import Answer, FilteredAnswer, Message, Sample, Value

IGNORED = ("CARDINAL", "DATE", "PRODUCT", "ORDINAL")


@pytest.fixture(scope="module")
def ner() -> Any:
    """A pipeline that knows three names; what a model finds is another test's matter."""
    import spacy

    pipeline = spacy.blank("en")
    known = {"Daniel Smith": "PERSON", "Maria Lopez": "PERSON", "Paris": "GPE", "March 3": "DATE"}
    pipeline.add_pipe("entity_ruler").add_patterns([{"label": v, "pattern": k} for k, v in known.items()])  # type: ignore[attr-defined]
    return pipeline


def sample(number: int = 1, *truths: Value) -> Sample:
    target = Value(type="NAME", value="Maria Lopez")
    return Sample(
        id=f"d1:2:{number}",
        dialogue_id="d1",
        split="train",
        messages=(Message(role="user", content="Who is it?"),),
        prefix="It is",
        completion=" Maria Lopez.",
        target=target,
        truths=(target, *truths),
    )


def answer(text: str, number: int = 1, finish: Any = "stop") -> Answer:
    return Answer(sample_id=f"d1:2:{number}", source="local", candidate=0, text=text, finish=finish)


def reasons(ner: Any, text: str, *truths: Value, finish: Any = "stop", **changes: Any) -> tuple[str, ...]:
    settings = Filter(spacy_model="stub", ignored_labels=IGNORED).model_copy(update=changes)
    detector = stub(ner, settings.ignored_labels)
    return filter_answers([answer(text, finish=finish)], [sample(1, *truths)], detector, settings)[0].reasons


def stub(ner: Any, ignored_labels: Any) -> Detector:
    detector = Detector("stub", ignored_labels)
    detector.pipeline = ner
    return detector


@pytest.mark.parametrize("text", [" a friend of mine.", " the person you asked for, as agreed.", " your contact."])
def test_generic_answer_is_accepted(ner: Any, text: str) -> None:
    assert reasons(ner, text) == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" Daniel Smith, who lives in Paris.", ("ner:GPE", "ner:PERSON")),
        (" the owner of m@example.org, surely.", ("pattern:EMAIL_ADDRESS",)),
        (" someone at maria lopez inn", ("truth:NAME",)),
        (" ...", ("degenerate:empty",)),
        (" somebody", ("degenerate:short",)),
        (" him him him him", ("degenerate:repetition",)),
    ],
)
def test_each_kind_of_reason_is_named(ner: Any, text: str, expected: tuple[str, ...]) -> None:
    assert reasons(ner, text) == expected


def test_reasons_come_once_and_sorted(ner: Any) -> None:
    text = " Maria Lopez and Daniel Smith, m@example.org and n@example.org"
    assert reasons(ner, text, finish="length") == (
        "finish:length",
        "ner:PERSON",
        "pattern:EMAIL_ADDRESS",
        "truth:NAME",
    )


def test_truths_of_other_types_count_where_ner_does_not_look(ner: Any) -> None:
    date = Value(type="DATE", value="March 3")
    assert reasons(ner, " it is on March 3, as agreed.", date) == ("truth:DATE",)


def test_patterns_and_truths_can_be_left_out_as_in_the_paper(ner: Any) -> None:
    text = " write to maria.lopez@example.org, please"
    assert reasons(ner, text, patterns=False, truths=False) == ()
    assert reasons(ner, text, patterns=False) == ("truth:NAME",)


def test_cut_answer_is_rejected(ner: Any) -> None:
    assert reasons(ner, " a friend of mine and the", finish="length") == ("finish:length",)


def test_answer_is_judged_by_its_own_sample_and_order_is_kept(ner: Any) -> None:
    samples = [sample(1), sample(2, Value(type="ACC", value="998877"))]
    answers = [answer(" it is 998877 then.", 2), answer(" it is 998877 then.", 1)]
    filtered = filter_answers(answers, samples, stub(ner, IGNORED), Filter(spacy_model="stub"))
    assert [(row.sample_id, row.reasons) for row in filtered] == [("d1:2:2", ("truth:ACC",)), ("d1:2:1", ())]
    assert [row.model_dump(exclude={"reasons"}) for row in filtered] == [row.model_dump() for row in answers]


def test_unknown_sample_is_an_error(ner: Any) -> None:
    with pytest.raises(ValueError, match="unknown sample 'd1:2:9'"):
        filter_answers([answer(" text", 9)], [sample(1)], stub(ner, ()), Filter(spacy_model="stub"))


def test_reasons_are_counted_per_source() -> None:
    def row(*why: str) -> FilteredAnswer:
        return FilteredAnswer(**answer(" text").model_dump(), reasons=why)

    filtered = {"a": [row(), row("truth:NAME", "ner:PERSON"), row("ner:PERSON")], "b": []}
    assert count_reasons(filtered) == {
        "a": {"answers": 3, "accepted": 1, "rejected": {"ner:PERSON": 2, "truth:NAME": 1}},
        "b": {"answers": 0, "accepted": 0, "rejected": {}},
    }
