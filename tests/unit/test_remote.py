"""Hosted sources, over HTTP: what leaves this machine and what comes back of it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hosted_server import KEY, Say, Server, serving

from tightlip.dialogues.samples import extract_samples
from tightlip.dialogues.synthesis import synthesise
from tightlip.generation.providers import answer
from tightlip.generation.recipes import recipe_messages
from tightlip.hosted import requests as hosted_requests
from tightlip.models.encoding import encode_prompt
from tightlip.params import Hosted, Source
from tightlip.pii.matching import find_values
from tightlip.pii.policy import filter_answers
from tightlip.prompts import NUDGE
from tightlip.records import Answer, FilteredAnswer, Message, Sample, Value

SAMPLES = list(extract_samples(synthesise(16, 0.1, 0.1, seed=5)))
VALUES = list(dict.fromkeys(value for sample in SAMPLES for value in sample.truths))


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Repeats the user's message, or what it is to continue."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    for name in ("OPENAI_API_KEY", "TOGETHER_API_KEY"):
        monkeypatch.setenv(name, KEY)
    monkeypatch.setattr(hosted_requests, "BACKOFF_SECONDS", 0.001)
    with serving(lambda prompt, before: Say(f" {prompt}")) as server:
        yield server


def source(server: Server, provider: str = "openai", mode: str = "chat", **changed: Any) -> Source:
    return Source(provider=provider, model="m", base_url=server.url, mode=mode, **changed)  # type: ignore[arg-type]


def answers(samples: list[Sample], source: Source, base: Path, **hosted: Any) -> list[Answer]:
    return answer(
        samples, "hosted", source, hosted=Hosted(**hosted), base=str(base), ner_model="none", max_prompt_tokens=4000,
        batch_size=1, seed=0, scratch=base,
    )  # fmt: skip


def judged(found: list[Answer]) -> list[FilteredAnswer]:
    """The verdicts of a filter without NER."""
    import spacy

    return filter_answers(
        found, SAMPLES, ner=spacy.blank("en"), ignored_labels=(), patterns=False, truths=True, min_words=0
    )


@pytest.mark.parametrize(
    ("provider", "mode", "start_with"),
    [("openai", "chat", True), ("openai", "completion", False), ("together", "completion", False)],
)
def test_no_true_value_crosses_the_wire_and_all_come_back(
    server: Server, tiny_model_dir: Path, provider: str, mode: str, start_with: bool
) -> None:
    found = answers(SAMPLES, source(server, provider, mode, nudge=True, start_with=start_with), tiny_model_dir)
    others = [value for value in VALUES if value.type != "DATE"]  # a day may by chance be somebody else's
    truths = {value for value in VALUES if len(value.value) > 5}
    assert len(server.received) == len(SAMPLES)
    for request in server.received:
        wire = " ".join([request.path, *request.headers.values(), json.dumps(request.body, ensure_ascii=False)])
        assert not find_values(wire, others)
        assert not [value for value in truths if value.type != "DATE" and value.value.casefold() in wire.casefold()]
    for row, sample in zip(found, SAMPLES, strict=True):
        assert sample.messages[-1].content in row.text  # which the server repeats


def test_dates_of_a_dialogue_do_not_cross_the_wire_either(server: Server, tiny_model_dir: Path) -> None:
    for sample in {sample.dialogue_id: sample for sample in SAMPLES}.values():
        answers([sample], source(server), tiny_model_dir)
        assert not find_values(json.dumps(server.received[-1].body, ensure_ascii=False), sample.truths)


def test_what_comes_back_is_rejected_by_the_filter_as_before(server: Server, tiny_model_dir: Path) -> None:
    leaking = [sample for sample in SAMPLES if find_values(sample.messages[-1].content, sample.truths)]
    assert len(leaking) > 10
    for row, sample in zip(judged(answers(leaking, source(server), tiny_model_dir)), leaking, strict=True):
        types = {each.value.type for each in find_values(sample.messages[-1].content, sample.truths)}
        assert {f"truth:{type_}" for type_ in types} <= set(row.reasons)


def test_values_are_sent_as_they_are_only_where_the_parameters_say_so(server: Server, tiny_model_dir: Path) -> None:
    sample = next(each for each in SAMPLES if find_values(each.messages[-1].content, each.truths))
    answers([sample], source(server), tiny_model_dir, pseudonymise=False)
    (request,) = server.received
    asked = recipe_messages(sample, source(server))
    assert request.body["messages"] == [{"role": each.role, "content": each.content} for each in asked]


def test_candidates_come_in_the_samples_order_each_asked_for_by_itself(server: Server, tiny_model_dir: Path) -> None:
    samples = SAMPLES[:3]  # two of them have the same prompt, since chat mode leaves the prefix out
    found = answers(samples, source(server, candidates=2, temperature=1.0), tiny_model_dir)
    assert [(row.sample_id, row.candidate) for row in found] == [(each.id, n) for each in samples for n in (0, 1)]
    assert len(server.received) == 6
    assert answers(samples, source(server, candidates=2, temperature=1.0), tiny_model_dir) == found
    assert len(server.received) == 6
    answers(samples, source(server, candidates=2, temperature=0), tiny_model_dir)
    assert len(server.received) == 6 + len(set(server.prompts))  # greedy answers to the same prompt are the same


def test_completion_mode_continues_the_rendered_conversation(
    server: Server, tiny_model_dir: Path, tiny_tokenizer: Any
) -> None:
    sample = Sample(
        id="d:1:0", dialogue_id="d", split="train", messages=(Message(role="user", content="Who is it?"),),
        prefix="It is", completion=" Anna", target=Value(type="NAME", value="Anna"),
        truths=(Value(type="NAME", value="Anna"),),
    )  # fmt: skip
    server.says = lambda prompt, before: Say(" nobody you know.")
    (row,) = answers([sample], source(server, mode="completion", nudge=True), tiny_model_dir)
    assert row == Answer(sample_id="d:1:0", source="hosted", candidate=0, text=" nobody you know.", finish="stop")
    (request,) = server.received
    assert request.path == "/v1/completions"
    assert request.body["stop"] == [tiny_tokenizer.eos_token]
    assert request.body["prompt"].endswith("It is")
    assert f"{NUDGE} Who is it?" in request.body["prompt"]
    messages = recipe_messages(sample, source(server, mode="completion", nudge=True))
    assert tiny_tokenizer.encode(request.body["prompt"]) == encode_prompt(tiny_tokenizer, messages, "It is")


def test_chat_mode_told_how_to_start_gives_what_follows(server: Server, tiny_model_dir: Path) -> None:
    sample = next(each for each in SAMPLES if find_values(each.prefix, each.truths))

    def says(prompt: str, before: int) -> Say:
        system = server.received[-1].body["messages"][0]["content"]
        return Say(system.partition("go on from there: ")[2] + " and so on")

    server.says = says
    (row,) = answers([sample], source(server, start_with=True), tiny_model_dir, concurrency=1)
    assert row.text == " and so on"


def test_a_filtered_answer_is_on_record_and_rejected(server: Server, tiny_model_dir: Path) -> None:
    server.says = lambda prompt, before: Say("no", finish="content_filter")
    (row,) = answers(SAMPLES[:1], source(server), tiny_model_dir)
    assert (row.text, row.finish) == ("", "filtered")
    assert judged([row])[0].reasons == ("degenerate:empty", "finish:filtered")


def test_a_budget_ends_a_source_with_what_is_missing(server: Server, tiny_model_dir: Path) -> None:
    prices = {"m": {"input": 1, "output": 1}}
    with pytest.raises(ValueError, match=r"hosted\.max_cost: .* the next request for hosted may cost .* are missing"):
        answers(SAMPLES, source(server), tiny_model_dir, max_cost=0.003, prices=prices)
    assert 0 < len(server.received) < len(SAMPLES)
    ledger = json.loads(Path("metrics/ledger.json").read_text())["hosted"]["m"]
    assert ledger["answers"] == len(server.received)
    assert 0 < ledger["cost_dollars"] <= 0.003
