import random
from collections import Counter, defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightlip.dialogues.samples import count_samples, extract_samples, sample_evenly, take
from tightlip.dialogues.synthesis import synthesise
from tightlip.records import Dialogue, Entity, Message, Sample, Split, Turn, Value


def turn(role: str, content: str, **values: str) -> Turn:
    entities = [
        Entity(type=type_, value=value, start=content.index(value), end=content.index(value) + len(value))
        for type_, value in values.items()
    ]
    return Turn(role=role, content=content, entities=tuple(entities))


def dialogue(*turns: Turn, id_: str = "d1") -> Dialogue:
    return Dialogue(id=id_, domain="support", split="test", turns=turns)


def cut(answer: Turn) -> list[tuple[str, str]]:
    return [(s.prefix, s.completion) for s in extract_samples([dialogue(turn("user", "Hi."), answer)])]


def test_sample_holds_the_conversation_before_the_answer_and_all_true_values() -> None:
    chat = dialogue(
        turn("system", "Help."),
        turn("user", "I am Maria.", NAME="Maria"),
        turn("assistant", "Hello."),
        turn("user", "Where?"),
        turn("assistant", "In Oslo, Maria.", LOC="Oslo", NAME="Maria"),
    )
    first, second = extract_samples([chat])
    truths = (Value(type="NAME", value="Maria"), Value(type="LOC", value="Oslo"))
    assert first == Sample(
        id="d1:4:3",
        dialogue_id="d1",
        split="test",
        messages=tuple(Message(role=t.role, content=t.content) for t in chat.turns[:4]),
        prefix="In",
        completion=" Oslo, Maria.",
        target=Value(type="LOC", value="Oslo"),
        truths=truths,
    )
    assert (second.id, second.prefix, second.completion) == ("d1:4:9", "In Oslo,", " Maria.")
    assert second.truths == truths


def test_cut_is_before_the_white_space() -> None:
    assert cut(turn("assistant", "Hello \n Maria.", NAME="Maria")) == [("Hello", " \n Maria.")]


def test_value_after_an_opening_sign_is_cut_before_the_whole_word() -> None:
    assert cut(turn("assistant", "Ask her (Maria) now.", NAME="Maria")) == [("Ask her", " (Maria) now.")]
    assert cut(turn("assistant", "Order #4711 left.", ID="4711")) == [("Order", " #4711 left.")]


def test_value_at_the_start_gives_an_empty_prefix() -> None:
    assert cut(turn("assistant", "Maria is here.", NAME="Maria")) == [("", "Maria is here.")]


def test_user_turns_give_no_samples() -> None:
    chat = dialogue(turn("user", "I am Maria.", NAME="Maria"), turn("assistant", "Hi, Maria!", NAME="Maria"))
    assert [sample.id for sample in extract_samples([chat])] == ["d1:1:4"]


def with_names(split: Split, count: int) -> Dialogue:
    """A dialogue whose assistant says as many names."""
    turns = [turn("user", "Who?"), turn("assistant", "Maria", NAME="Maria")] * count or [
        turn("user", "?"),
        turn("assistant", "No."),
    ]
    return Dialogue(id="d", domain="x", split=split, turns=tuple(turns))


def test_samples_are_counted_per_dialogue_that_has_any() -> None:
    rows = [
        with_names("train", 2),
        with_names("dev", 1),
        with_names("train", 0),
        with_names("test", 1),
        with_names("train", 3),
    ]
    assert count_samples(iter(rows)) == {"train": [2, 3], "dev": [1], "test": [1]}


def test_no_value_in_any_answer_is_an_error_with_the_count() -> None:
    with pytest.raises(ValueError, match=r"no personal value in any assistant turn of 2 dialogues; annotate"):
        count_samples([with_names("train", 0), with_names("test", 0)])


def test_a_split_without_a_sample_is_an_error() -> None:
    with pytest.raises(ValueError, match="no sample in the dev split; add dialogues or raise its share"):
        count_samples([with_names("train", 1), with_names("test", 1)])


def test_every_sample_of_synthetic_dialogues_restores_its_turn_and_starts_with_its_value() -> None:
    dialogues = synthesise(40, 0.1, 0.1, seed=3)
    answers = {f"{d.id}:{n}": t.content for d in dialogues for n, t in enumerate(d.turns)}
    samples = list(extract_samples(dialogues))
    assert len({sample.id for sample in samples}) == len(samples)
    for sample in samples:
        assert sample.prefix + sample.completion == answers[sample.id.rpartition(":")[0]]
        assert sample.target.value in sample.completion[: len(sample.target.value) + 3]


@given(
    before=st.text(max_size=30),
    value=st.text(min_size=1, max_size=10).filter(lambda text: text.strip() == text),
    after=st.text(max_size=30),
)
def test_boundary_rule_holds_for_any_text(before: str, value: str, after: str) -> None:
    entity = Entity(type="NAME", value=value, start=len(before), end=len(before + value))
    answer = Turn(role="assistant", content=before + value + after, entities=(entity,))
    ((prefix, completion),) = cut(answer)
    assert prefix + completion == answer.content
    assert prefix == prefix.rstrip()
    assert not prefix or completion[0].isspace()
    glued = before.split()[-1] if before and not before[-1].isspace() else ""
    assert completion.lstrip().startswith(glued + value)


def test_draw_without_limit_keeps_everything() -> None:
    assert list(sample_evenly([2, 1], None, seed=0)) == [0, 1, 2]


Sizes = st.lists(st.integers(1, 5), min_size=1, max_size=8)


@given(sizes=Sizes, limit=st.integers(0, 45), seed=st.integers(0, 2**31 - 1))
def test_draw_is_even_in_order_and_repeatable(sizes: list[int], limit: int, seed: int) -> None:
    drawn = sample_evenly(sizes, limit, seed)
    assert len(drawn) == min(limit, sum(sizes))
    assert list(drawn) == sorted(set(drawn))
    assert drawn == sample_evenly(sizes, limit, seed)
    owners = [number for number, size in enumerate(sizes) for _ in range(size)]
    counts = Counter(owners[sample] for sample in drawn)
    most = max(counts.values(), default=0)
    assert all(counts[number] >= min(size, most - 1) for number, size in enumerate(sizes))


@given(sizes=Sizes, limit=st.integers(0, 45), seed=st.integers(0, 2**31 - 1))
def test_draw_is_the_one_that_holds_all_samples(sizes: list[int], limit: int, seed: int) -> None:
    """The draw as it was when all samples were in memory: committed data must not change."""
    rng = random.Random(seed)  # noqa: S311
    groups: dict[int, list[int]] = defaultdict(list)
    for index, owner in enumerate(number for number, size in enumerate(sizes) for _ in range(size)):
        groups[owner].append(index)
    queues = list(groups.values())
    rng.shuffle(queues)
    for queue in queues:
        rng.shuffle(queue)
    rounds = [queue[turn] for turn in range(max(map(len, queues))) for queue in queues if turn < len(queue)]
    assert list(sample_evenly(sizes, limit, seed)) == sorted(rounds[:limit])


def test_another_seed_draws_other_samples() -> None:
    assert sample_evenly([5] * 20, 10, seed=1) != sample_evenly([5] * 20, 10, seed=2)


def test_the_drawn_samples_are_picked_by_their_number() -> None:
    samples = list(extract_samples([with_names("train", 4)]))
    assert list(take(iter(samples), [1, 3])) == [samples[1], samples[3]]
    assert list(take(samples, range(4))) == samples
    assert list(take(samples, [])) == []
