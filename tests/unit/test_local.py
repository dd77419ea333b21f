from pathlib import Path
from typing import Any

import pytest

from tightlip.cache import ResultCache
from tightlip.generation import local
from tightlip.generation.local import answer_locally
from tightlip.params import Source
from tightlip.records import Answer, Message, Sample, Value

SOURCE = Source(provider="local", temperature=1.0, candidates=2, max_tokens=4)


def sample(number: int) -> Sample:
    messages = (Message(role="system", content="Be brief."), Message(role="user", content="Who? " * (1 + number % 3)))
    return Sample(
        id=f"s{number}", dialogue_id="d", split="train", messages=messages, prefix="I am", completion=" Anna.",
        target=Value(type="NAME", value="Anna"), truths=(Value(type="NAME", value="Anna"),),
    )  # fmt: skip


@pytest.fixture
def ask(tiny_model: Any, tiny_tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Asks for two answers to each of five samples, two prompts a batch and two batches a chunk."""
    monkeypatch.setattr(local, "CHUNK", 2)

    def answers(work: str) -> list[Answer]:
        return answer_locally(
            [sample(number) for number in range(5)], "base", SOURCE, tiny_model, tiny_tokenizer,
            ResultCache(str(tmp_path / work), inputs=[], params={}, code=[]), max_prompt_tokens=200, batch_size=2,
            seed=0,
        )  # fmt: skip

    return answers


def test_an_interrupted_generation_asks_only_for_what_is_missing_and_ends_the_same(
    ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = ask("whole")
    assert [(answer.sample_id, answer.candidate) for answer in expected[:3]] == [("s0", 0), ("s0", 1), ("s1", 0)]
    answer, asked = local.complete, []

    def killed(model: Any, tokenizer: Any, contexts: Any, *args: Any, **kwargs: Any) -> Any:
        asked.append(len(contexts))
        if len(asked) == 2:
            raise KeyboardInterrupt
        return answer(model, tokenizer, contexts, *args, **kwargs)

    monkeypatch.setattr(local, "complete", killed)
    with pytest.raises(KeyboardInterrupt):
        ask("killed")
    assert ask("killed") == expected
    assert asked == [4, 4, 4, 2]


def test_candidates_of_a_sample_differ_across_chunks_too(ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # A chunk that began to draw anew would answer the fifth prompt as the first.
    monkeypatch.setattr(local, "recipe_messages", lambda *_: sample(0).messages)
    texts = [answer.text for answer in ask("work")]
    assert texts[:2] != texts[4:6]
    assert len(set(texts)) > len(texts) // 2
