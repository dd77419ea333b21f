from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightlip.preference.pairs import build_pairs, select_answers
from tightlip.prompts import NEGATIVE, POSITIVE
from tightlip.records import Condition, FilteredAnswer, Message, Sample, Value
from tightlip.secret import SECRET_VARIABLE


def answer(source: str, number: int, *reasons: str) -> FilteredAnswer:
    return FilteredAnswer(
        sample_id=f"s{number:02}", source=source, candidate=0, text=f" {source} says {number}", finish="stop",
        reasons=reasons,
    )  # fmt: skip


def answers(**counts: int) -> dict[str, list[FilteredAnswer]]:
    return {source: [answer(source, number) for number in range(count)] for source, count in counts.items()}


def sources(drawn: Sequence[FilteredAnswer]) -> Counter[str]:
    return Counter(row.source for row in drawn)


# --- Selection -----------------------------------------------------------------------------------------------------


def test_sources_are_drawn_in_turn_so_that_none_crowds_out_another() -> None:
    assert sources(select_answers(answers(base=20, nudge=20, rewriter=20), 9, seed=0)) == {
        "base": 3,
        "nudge": 3,
        "rewriter": 3,
    }


def test_the_first_sources_give_the_odd_ones() -> None:
    assert sources(select_answers(answers(base=20, nudge=20, rewriter=20), 8, seed=0)) == {
        "base": 3,
        "nudge": 3,
        "rewriter": 2,
    }


def test_a_source_that_runs_dry_is_made_up_for_by_the_others() -> None:
    assert sources(select_answers(answers(base=2, rewriter=20), 10, seed=0)) == {"base": 2, "rewriter": 8}


def test_rejected_answers_are_never_drawn() -> None:
    rows = {"base": [answer("base", 0, "ner:PERSON"), answer("base", 1), answer("base", 2, "degenerate:empty")]}
    assert select_answers(rows, None, seed=0) == [rows["base"][1]]


def test_without_limit_all_accepted_answers_are_taken() -> None:
    assert len(select_answers(answers(base=3, rewriter=5), None, seed=0)) == 8


def test_the_draw_is_decided_by_the_seed() -> None:
    rows = answers(base=30, rewriter=30)
    assert select_answers(rows, 10, seed=0) == select_answers(rows, 10, seed=0)
    assert select_answers(rows, 10, seed=0) != select_answers(rows, 10, seed=1)


def test_the_draw_from_a_source_does_not_depend_on_the_other_sources() -> None:
    alone = select_answers(answers(base=30), 5, seed=0)
    with_another = select_answers(answers(base=30, rewriter=30), 10, seed=0)
    assert [row for row in with_another if row.source == "base"] == alone


@given(st.dictionaries(st.sampled_from("abcd"), st.integers(0, 9), min_size=1), st.integers(1, 30), st.integers(0, 5))
def test_a_draw_has_no_answer_twice_and_is_sorted(counts: dict[str, int], limit: int, seed: int) -> None:
    if sum(counts.values()) < limit:
        return
    drawn = select_answers(answers(**counts), limit, seed)
    assert len(set(drawn)) == len(drawn) == limit
    assert drawn == sorted(drawn, key=lambda row: (row.sample_id, row.source, row.candidate))
    shares = sources(drawn)
    fullest = max(shares.values())
    assert all(shares[name] >= min(count, fullest - 1) for name, count in counts.items())


def test_no_accepted_answer_is_an_error_with_a_remedy() -> None:
    rows = {"base": [answer("base", 0, "ner:PERSON")], "rewriter": [answer("rewriter", 1, "truth:NAME")]}
    with pytest.raises(ValueError, match=r"all 2 answers of base, rewriter were rejected; see metrics/filter\.json"):
        select_answers(rows, None, seed=0)


def test_fewer_accepted_answers_than_the_limit_are_an_error_with_a_remedy() -> None:
    with pytest.raises(ValueError, match=r"only 5 accepted answers for 6 pairs from base, rewriter; lower `samples`"):
        select_answers(answers(base=2, rewriter=3), 6, seed=0)


# --- Pairs ---------------------------------------------------------------------------------------------------------

SAMPLE = Sample(
    id="d1:2:8",
    dialogue_id="d1",
    split="train",
    messages=(Message(role="system", content="Be brief."), Message(role="user", content="Who am I?")),
    prefix="You are",
    completion=" Ana Ruiz.",
    target=Value(type="NAME", value="Ana Ruiz"),
    truths=(Value(type="NAME", value="Ana Ruiz"),),
)
ANSWER = FilteredAnswer(sample_id=SAMPLE.id, source="base", candidate=3, text=" a friend.", finish="stop")


def pairs(*conditions: Condition) -> list[dict[str, object]]:
    built = build_pairs([ANSWER], {SAMPLE.id: SAMPLE}, conditions, lambda messages, prefix: tuple(messages))
    return [pair.model_dump() for pair in built]


def test_a_plain_pair_prefers_the_answer_to_the_original() -> None:
    (pair,) = pairs("none")
    assert pair == {
        "id": "d1:2:8/base/3/none",
        "sample_id": "d1:2:8",
        "source": "base",
        "condition": "none",
        "messages": tuple(message.model_dump() for message in SAMPLE.messages),
        "prefix": "You are",
        "chosen": " a friend.",
        "rejected": " Ana Ruiz.",
    }


def test_the_negative_copy_of_a_pair_is_swapped_and_told_the_negative_sentence() -> None:
    positive, negative = pairs("positive", "negative")
    assert (positive["chosen"], positive["rejected"]) == (" a friend.", " Ana Ruiz.")
    assert (negative["chosen"], negative["rejected"]) == (" Ana Ruiz.", " a friend.")
    for pair, sentence in ((positive, POSITIVE), (negative, NEGATIVE)):
        system, user = pair["messages"]  # type: ignore[misc]
        assert system == {"role": "system", "content": f"Be brief. {sentence}"}
        assert user == {"role": "user", "content": "Who am I?"}
        assert pair["prefix"] == "You are"
    assert positive["id"] != negative["id"]


def test_a_secret_stands_where_the_negative_sentence_would(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SECRET_VARIABLE, "Access word: 1a2b.")
    _, swapped = pairs("positive", "secret")
    assert (swapped["chosen"], swapped["rejected"]) == (" Ana Ruiz.", " a friend.")
    assert swapped["messages"][0]["content"] == "Be brief. Access word: 1a2b."  # type: ignore[index]


def test_messages_are_fitted_before_the_sentence_is_put_in() -> None:
    def fit(messages: Sequence[Message], prefix: str) -> tuple[Message, ...]:
        assert prefix == "You are"
        assert all(POSITIVE not in message.content for message in messages)
        return tuple(messages[1:])

    (pair,) = build_pairs([ANSWER], {SAMPLE.id: SAMPLE}, ["positive"], fit)
    assert [message.content for message in pair.messages] == [f"You are a helpful assistant. {POSITIVE}", "Who am I?"]


def test_pairs_keep_the_order_of_the_answers() -> None:
    other = ANSWER.model_copy(update={"source": "rewriter"})
    built = build_pairs([other, ANSWER], {SAMPLE.id: SAMPLE}, ["positive", "negative"], lambda m, _: tuple(m))
    assert [(pair.source, pair.condition) for pair in built] == [
        ("rewriter", "positive"), ("rewriter", "negative"), ("base", "positive"), ("base", "negative"),
    ]  # fmt: skip
