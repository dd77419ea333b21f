"""Hosted models, asked with the real clients over HTTP; a server on this machine fails as providers do."""

import asyncio
import json
import logging
import os
import random
import re
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hosted_server import KEY, Say, Server, serving

from tightlip.files import digest
from tightlip.hosted import requests as hosted_requests
from tightlip.hosted.answer_store import open_store, store_path
from tightlip.hosted.client import Endpoint, Request, retry_after, same_model
from tightlip.hosted.requests import backoff, cost, send_requests
from tightlip.params import Hosted, Price
from tightlip.records import Message

SETTINGS = Hosted(timeout=20, concurrency=4)
ERROR = {"error": {"message": f"no, {KEY}: What is 1?", "code": None}}


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project with keys, in which nobody waits long."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    for name in ("OPENAI_API_KEY", "TOGETHER_API_KEY"):
        monkeypatch.setenv(name, KEY)
    monkeypatch.setattr(hosted_requests, "BACKOFF_SECONDS", 0.001)
    return tmp_path


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(lambda prompt, before: Say(f"answer to {prompt}")) as server:
        yield server


def endpoint(server: Server, provider: Any = "openai") -> Endpoint:
    return Endpoint(provider, server.url)


def chat(text: str, **changed: Any) -> Request:
    return Request(**{"model": "m", "prompt": (Message(role="user", content=text),), "temperature": 0.7,
                      "max_tokens": 9} | changed)  # fmt: skip


def texts(requests: list[Request], server: Server, settings: Hosted = SETTINGS, provider: Any = "openai") -> list[str]:
    return [reply.text for reply in send_requests(requests, endpoint(server, provider), settings, purpose="test")]


def ledger() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path("metrics/ledger.json").read_text())["test"]["m"]
    return found


# --- One request ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", ["openai", "together"])
def test_both_clients_ask_in_both_modes(server: Server, provider: str) -> None:
    messages = (Message(role="system", content="Be brief."), Message(role="user", content="Hé?"))
    requests = [chat("", prompt=messages), chat("", prompt="Once upon", stop="<end>")]
    replies = send_requests(requests, endpoint(server, provider), SETTINGS, purpose="test")
    assert [(reply.text, reply.finish, reply.prompt_tokens, reply.completion_tokens) for reply in replies] == [
        ("answer to Hé?", "stop", 10, 5), ("answer to Once upon", "stop", 10, 5),
    ]  # fmt: skip
    of_chat, of_text = sorted(server.received, key=lambda each: each.path)
    assert (of_chat.path, of_text.path) == ("/v1/chat/completions", "/v1/completions")
    assert of_chat.headers["authorization"] == f"Bearer {KEY}"
    sampling = {"model": "m", "temperature": 0.7, "max_tokens": 9}
    assert of_chat.body == sampling | {
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hé?"}]
    }
    assert of_text.body == sampling | {"prompt": "Once upon", "stop": ["<end>"]}


@pytest.mark.parametrize("provider", ["openai", "together"])
@pytest.mark.parametrize(
    "fault",
    [Say(status=429, headers={"Retry-After": "0"}, body=ERROR), Say(status=429, body=ERROR),
     Say(status=408, body=ERROR),
     Say(status=409, body=ERROR), Say(status=500, body=ERROR), Say(status=503, body=b"<html>down</html>"),
     Say(fault="drop"), Say("never", fault="truncate"), Say(body=b'{"choices": [{"ind'), Say(body=b"OK"), Say(body=[1]),
     Say(body={"choices": []}), Say(body={"error": {"message": "busy"}}), Say(body={"choices": [{"message": None}]}),
     Say("half", finish=None), Say(body=b"\xff\xfe")],
)  # fmt: skip
def test_what_may_pass_is_tried_again(provider: str, fault: Say) -> None:
    with serving(lambda prompt, before: fault if before < 2 else Say("there")) as server:
        assert texts([chat("What?")], server, provider=provider) == ["there"]
        assert len(server.received) == 3
    assert (ledger()["requests"], ledger()["retries"], ledger()["lost"], ledger()["answers"]) == (3, 2, 2, 1)


@pytest.mark.parametrize("provider", ["openai", "together"])
def test_a_stall_ends_at_the_timeout_however_slowly_the_server_talks(provider: str) -> None:
    with serving(lambda prompt, before: Say(fault="stall") if before < 1 else Say("there")) as server:
        assert texts([chat("What?")], server, Hosted(timeout=0.5), provider) == ["there"]


@pytest.mark.parametrize("provider", ["openai", "together"])
@pytest.mark.parametrize(
    ("say", "problem"),
    [(Say(status=400, body=ERROR), "answered 400; check model, mode and base_url"),
     (Say(status=401, body=ERROR), "answered 401; check the key"),
     (Say(status=403, body=ERROR), "answered 403; check what the key may do"),
     (Say(status=404, body=ERROR), "answered 404; check model and base_url"),
     (Say(status=429, body={"error": {"message": KEY, "code": "insufficient_quota"}}),
      "answered 429: the account's quota is used up"),
     (Say("hi", model="gpt-4o"), "answered as model gpt-4o; ask for that name"),
     (Say("hi", model=f"m\n{KEY}!" * 9), "answered as another model; check model and base_url"),
     (Say(status=400, body={"error": {"code": "unsupported_parameter"}}), "refuses max_tokens or temperature")],
)  # fmt: skip
def test_what_will_not_pass_is_an_error_at_once_in_one_line_without_key_and_prompt(
    provider: str, say: Say, problem: str
) -> None:
    with serving(lambda prompt, before: say) as server:
        with pytest.raises(
            ValueError, match=rf"^127\.0\.0\.1, model m: {problem}.*\(1 of 1 answers are miss"
        ) as caught:
            texts([chat("What is 1?")], server, provider=provider)
        assert len(server.received) == 1
    shown = str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert "\n" not in shown
    assert "What is" not in shown
    assert KEY not in shown
    assert ledger()["answers"] == 0


def test_a_server_that_never_recovers_is_given_up() -> None:
    with serving(lambda prompt, before: Say(status=503, body=ERROR)) as server:
        with pytest.raises(ValueError, match=r"model m, tried 10 times: answered 503; try again later"):
            texts([chat("What?")], server)
        assert len(server.received) == 10


def test_a_server_that_is_not_there_is_an_error_and_costs_nothing() -> None:
    priced = Hosted(prices={"m": Price(input=1, output=1)})
    with pytest.raises(ValueError, match=r"tried 10 times: cannot be reached \(ConnectError\)"):
        send_requests([chat("What?")], Endpoint("openai", "http://127.0.0.1:9/v1"), priced, purpose="test")
    assert (ledger()["requests"], ledger()["cost_dollars"]) == (10, 0)


@pytest.mark.parametrize("provider", ["openai", "together"])
@pytest.mark.parametrize(
    "say",
    [Say("half of it", finish="content_filter"), Say(status=400, body={"error": {"code": "content_filter"}}),
     Say(body={"model": "m", "choices": [{"finish_reason": "stop", "message": {"content": None, "refusal": "No."}}]})],
)  # fmt: skip
def test_what_a_content_filter_keeps_back_is_a_final_answer_without_text(provider: str, say: Say) -> None:
    with serving(lambda prompt, before: say) as server:
        for _ in range(2):
            (reply,) = send_requests([chat("What?")], endpoint(server, provider), SETTINGS, purpose="test")
            assert (reply.text, reply.finish) == ("", "filtered")
        assert len(server.received) == 1


def test_answers_that_were_cut_and_empty_ones_are_answers() -> None:
    with serving(lambda prompt, before: Say(prompt, finish="length")) as server:
        replies = send_requests([chat("one"), chat("")], endpoint(server), SETTINGS, purpose="test")
    assert [(reply.text, reply.finish) for reply in replies] == [("one", "length"), ("", "length")]


@pytest.mark.parametrize(
    ("asked", "answered", "same"),
    [("gpt-4o-mini", "gpt-4o-mini", True), ("gpt-4o-mini", "gpt-4o-mini-2024-07-18", True),
     ("gpt-4", "gpt-4-0613", True),
     ("a/Llama-3", "a/llama-3", True), ("/path/base", "/path/base@main", True), ("gpt-4o", "gpt-4o-mini", False),
     ("gpt-4o", "gpt-4o-mini-2024-07-18", False), ("gpt-4", "gpt-4.1", False), ("Llama-3", "Llama-3-8B", False),
     ("gpt-4o-mini", "gpt-4o", False), ("gpt.4", "gpt-4", False)],
)  # fmt: skip
def test_a_dated_snapshot_is_the_model_that_was_asked_for_and_another_size_is_not(
    asked: str, answered: str, same: bool
) -> None:
    assert same_model(asked, answered) is same


# --- Waiting -------------------------------------------------------------------------------------------------------


def test_retry_after_is_read_as_seconds_and_as_a_date() -> None:
    now = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
    read = {
        "7": 7, "0.5": 0.5, "soon": None, "-3": None,
        "Sun, 22 Nov 2026 12:01:30 GMT": 90, "Sun, 22 Nov 2026 11:59:00 GMT": 0,
    }  # fmt: skip
    assert {text: retry_after({"retry-after": text}, now) for text in read} == read
    assert retry_after({"retry-after-ms": "250", "retry-after": "9"}, now) == 0.25
    assert retry_after({}, now) is None


def test_waits_grow_twofold_with_full_jitter_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosted_requests, "BACKOFF_SECONDS", 1.0)

    class Highest(random.Random):
        def uniform(self, a: float, b: float) -> float:
            assert a == 0
            return b

    assert [backoff(tried, None, Highest()) for tried in range(1, 9)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert backoff(2, 5, Highest()) == 5 + 2
    assert backoff(1, 86_400, Highest()) == hosted_requests.MAX_RETRY_AFTER + 1
    drawn = [backoff(3, None, random.Random(seed)) for seed in range(200)]  # noqa: S311
    assert min(drawn) < 0.5
    assert max(drawn) > 3.5


def test_a_429_holds_all_workers_back(server: Server) -> None:
    """Of four workers one is told to wait 0.5 s while the others get their answers later: none goes on before."""

    def says(prompt: str, before: int) -> Say:
        if prompt == "0" and before == 0:
            return Say(status=429, headers={"Retry-After": "0.5"}, body=ERROR)
        time.sleep(0.2 if prompt in "123" else 0)
        return Say(prompt)

    server.says = says
    assert texts([chat(str(n)) for n in range(12)], server) == [str(n) for n in range(12)]
    arrived = sorted(each.arrived for each in server.received)
    assert arrived[4] - arrived[0] >= 0.5


# --- Many requests -------------------------------------------------------------------------------------------------


def faults(prompt: str, before: int) -> Say:
    """One in five attempts fails, decided by prompt and number of the attempt."""
    rng = random.Random(digest(prompt, str(before)))  # noqa: S311
    if rng.random() >= 0.2:
        return Say(f"answer to {prompt}")
    kinds = [
        Say(status=429, headers={"Retry-After": "0.01"}, body=ERROR), Say(status=500, body=ERROR), Say(fault="drop"),
        Say(f"answer to {prompt}", fault="truncate"), Say(body=b'{"choices": [{"ind'), Say(body={"choices": []}),
    ]  # fmt: skip
    stalled = prompt in ("7", "77", "777") and before == 0
    return Say(fault="stall") if stalled else rng.choice(kinds)


@pytest.mark.slow
@pytest.mark.parametrize(("provider", "count"), [("openai", 1000), ("together", 200)])
def test_a_thousand_requests_with_one_in_five_failing_bring_a_thousand_answers(provider: str, count: int) -> None:
    with serving(faults) as server:
        requests = [chat(str(number)) for number in range(count)]
        found = texts(requests, server, Hosted(concurrency=24, timeout=5), provider)
        assert found == [f"answer to {number}" for number in range(count)]
        assert server.answered == Counter(map(str, range(count)))  # each once: none again after it succeeded
        failed = len(server.received) - count
        assert 0.15 * count <= failed <= 0.35 * count
        assert texts(requests, server, provider=provider) == found
        assert len(server.received) == count + failed
    assert (ledger()["requests"], ledger()["retries"], ledger()["lost"]) == (count + failed, failed, failed)
    assert (ledger()["answers"], ledger()["cache_hits"]) == (count, count)


def test_no_more_requests_are_under_way_than_allowed(server: Server) -> None:
    under_way, most = [0], [0]

    def says(prompt: str, before: int) -> Say:
        with server.lock:
            under_way[0] += 1
            most[0] = max(most[0], under_way[0])
        time.sleep(0.01)
        with server.lock:
            under_way[0] -= 1
        return Say(prompt)

    server.says = says
    texts([chat(str(n)) for n in range(30)], server, Hosted(concurrency=3))
    assert most[0] == 3


def test_when_one_request_fails_for_good_those_under_way_are_kept_and_no_other_begins(server: Server) -> None:
    def says(prompt: str, before: int) -> Say:
        if prompt == "2":
            return Say(status=401, body=ERROR)
        time.sleep(0.3)
        return Say(prompt)

    server.says = says
    requests = [chat(str(n)) for n in range(10)]
    with pytest.raises(ValueError, match=r"answered 401; check the key \(7 of 10 answers are missing; those that came"):
        texts(requests, server)
    assert sorted(server.prompts) == ["0", "1", "2", "3"]  # the four that were under way
    server.says = lambda prompt, before: Say(prompt)
    assert texts(requests, server) == [str(n) for n in range(10)]
    assert Counter(server.prompts) == Counter([*map(str, range(10)), "2"])


# --- Kept answers --------------------------------------------------------------------------------------------------


def test_the_same_request_is_paid_for_once_and_any_other_anew(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    request = chat("What?")
    assert texts([request, request], server) == ["answer to What?"] * 2
    monkeypatch.delenv("OPENAI_API_KEY")  # an answer that is there needs no key
    assert texts([request], server) == ["answer to What?"]
    experiment = tmp_path / "temporary"
    experiment.mkdir()
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.chdir(experiment)
    assert texts([request], server) == ["answer to What?"]
    assert len(server.received) == 1
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    others = [chat("What?", **change) for change in (
        {"candidate": 1}, {"temperature": 0.8}, {"max_tokens": 10}, {"model": "n"}, {"stop": "x"}, {"prompt": "What?"},
    )]  # fmt: skip
    texts(others, server)
    texts([request], server, provider="together")
    assert len(server.received) == 1 + len(others) + 1


def test_the_file_is_the_owners_and_holds_neither_prompt_nor_key(server: Server) -> None:
    server.says = lambda prompt, before: Say("the reply")
    texts([chat("a prompt to be kept secret")], server)
    assert stat.S_IMODE(Path(".answers").stat().st_mode) == 0o700
    for path in Path(".answers").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    written = b"".join(path.read_bytes() for path in Path(".answers").iterdir())
    assert b"the reply" in written
    assert b"kept secret" not in written
    assert KEY.encode() not in written


def test_git_and_make_clean_leave_the_answers_alone() -> None:
    root = Path(__file__).parents[2]
    assert "/.answers/" in (root / ".gitignore").read_text().splitlines()
    assert ".answers" in (root / ".dvcignore").read_text().splitlines()
    assert ".answers" not in re.findall(r"^clean:.*\n\t(.*)", (root / "Makefile").read_text(), re.MULTILINE)[0]


def test_the_ledger_is_no_output_of_a_stage() -> None:
    """It is history, and no stage depends on it."""
    for name in ("dvc.yaml", "evidence/dvc.yaml"):
        pipeline = (Path(__file__).parents[2] / name).read_text()
        assert not re.search(r"^ *- metrics(/|/ledger.json)?(:|$)", pipeline, re.MULTILINE)


CHILD = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background ignores it, and so would this
from tightlip.hosted.requests import send_requests
from tightlip.hosted.client import Endpoint, Request
from tightlip.params import Hosted, Price
from tightlip.records import Message
url, count, limit = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
settings = Hosted(concurrency=4, max_cost=limit or None, prices={"m": Price(input=1, output=1)})
requests = [Request("m", (Message(role="user", content=str(n)),), 0.7, 9) for n in range(count)]
try:
    print([reply.text for reply in send_requests(requests, Endpoint("openai", url), settings, purpose="test")])
except ValueError as error:
    sys.exit(f"Error: {error}")
"""


def child(server: Server, count: int, limit: float = 0) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, server.url, str(count), str(limit)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"OPENAI_API_KEY": KEY},
    )  # fmt: skip


def wait_for(server: Server, count: int) -> None:
    deadline = time.monotonic() + 60
    while server.answered.total() < count:
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_process_that_is_killed_leaves_what_it_paid_for(server: Server, how: signal.Signals) -> None:
    server.says = lambda prompt, before: time.sleep(0.01) or Say(prompt)  # type: ignore[func-returns-value]
    process = child(server, 200)
    wait_for(server, 30)
    process.send_signal(how)
    process.communicate()
    assert process.returncode != 0
    with open_store(store_path()) as store:
        kept = store.ledger()["test"]["m"]["answers"]
    assert 20 <= kept < 200
    before = len(server.received)
    settings = Hosted(concurrency=4, prices={"m": Price(input=1, output=1)})
    assert texts([chat(str(n)) for n in range(200)], server, settings) == [str(n) for n in range(200)]
    assert len(server.received) - before == 200 - kept
    assert before - kept <= 4  # at most those under way were lost, and they count with their worst case
    worst = cost(Price(input=1, output=1), chat("1").most_prompt_tokens, 9)
    assert worst is not None
    assert ledger()["cost_dollars"] >= (200 * 15e3 + (ledger()["lost"] - 1) * worst * 0.9) / 1e9


@pytest.mark.slow
def test_two_processes_at_once_ask_for_nothing_twice(server: Server) -> None:
    server.says = lambda prompt, before: time.sleep(0.005) or Say(prompt)  # type: ignore[func-returns-value]
    both = [child(server, 100), child(server, 100)]
    said = [process.communicate() for process in both]
    assert [out for out, _ in said] == [f"{[str(n) for n in range(100)]}\n"] * 2
    assert server.answered == Counter(map(str, range(100)))
    assert len(server.received) == 100


def test_a_damaged_file_is_an_error_with_a_remedy_and_stays_as_it_is(server: Server) -> None:
    texts([chat(str(n)) for n in range(50)], server)
    path = store_path()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    whole = path.read_bytes()
    for damaged in (b"not a database" * 100, whole[:4096] + b"\xff" * (len(whole) - 4096)):
        path.write_bytes(damaged)
        with pytest.raises(
            ValueError, match=r"answers\.sqlite: this file of paid answers is damaged .* restore it from"
        ):
            texts([chat("1")], server)
        assert path.read_bytes() == damaged
    assert len(server.received) == 50


# --- Budget and ledger ---------------------------------------------------------------------------------------------


def test_costs_are_exact_and_rounded_up() -> None:
    assert cost(Price(input=0.15, output=0.6), 1_000_000, 1_000_000) == 750_000_000  # 15 + 60 cents
    assert cost(Price(input=0.15, output=0.6), 3, 7) == 4650  # 0.45 + 4.2 millionths of a dollar
    assert cost(Price(input=0.0001, output=0), 1, 0) == 1  # 0.1 nano-dollars
    assert cost(None, 3, 7) is None


def test_the_ledger_adds_up(server: Server) -> None:
    """Ten prompt and five completion tokens at 2 and 4 dollars per million are 40 millionths of a dollar."""
    priced = Hosted(prices={"m": Price(input=2, output=4)})
    texts([chat("1"), chat("2"), chat("2")], server, priced)
    assert ledger() == {
        "requests": 2, "retries": 0, "cache_hits": 1, "answers": 2, "lost": 0, "prompt_tokens": 20,
        "completion_tokens": 10, "cost_dollars": 80e-6,
    }  # fmt: skip
    texts([chat("1"), chat("3", model="free")], server, priced)
    found = json.loads(Path("metrics/ledger.json").read_text())["test"]
    assert (found["m"]["requests"], found["m"]["cache_hits"]) == (2, 2)
    assert (found["free"]["answers"], found["free"]["cost_dollars"]) == (1, None)  # nobody knows


def test_attempts_of_which_nothing_is_known_count_with_their_worst_case(server: Server) -> None:
    """The prompt "1" is at most 64 + 32 + 1 tokens, the answer 9; 429 costs nothing, 500 may."""
    server.says = lambda prompt, before: [Say(status=500, body=ERROR), Say(status=429, body=ERROR), Say("yes")][before]
    texts([chat("1")], server, Hosted(prices={"m": Price(input=1, output=1)}))
    assert ledger()["cost_dollars"] == pytest.approx((97 + 9 + 15) * 1e-6, abs=1e-12)
    server.says = lambda prompt, before: Say("yes", usage=None)
    texts([chat("2")], server, Hosted(prices={"m": Price(input=1, output=1)}))
    assert ledger()["cost_dollars"] == pytest.approx((97 + 9 + 15 + 97 + 9) * 1e-6, abs=1e-12)


@pytest.mark.parametrize("concurrency", [1, 16])
def test_the_budget_is_never_passed_and_the_error_says_what_is_missing(server: Server, concurrency: int) -> None:
    """An answer costs 15 millionths of a dollar, at worst 107 or 108: 40 retried ones do not fit into 1,000."""
    worst = 64 + 32 + 2 + 9
    seen = []

    def says(prompt: str, before: int) -> Say:
        with sqlite3.connect(store_path()) as db:
            costs = "SELECT nano FROM ledger UNION ALL SELECT nano FROM attempts"
            seen.append(db.execute(f"SELECT SUM(nano) FROM ({costs})").fetchone()[0])  # noqa: S608
        db.close()
        return Say(status=500, body=ERROR) if int(prompt) % 10 == 3 and before == 0 else Say(prompt)

    server.says = says
    limited = Hosted(max_cost=1000e-6, concurrency=concurrency, prices={"m": Price(input=1, output=1)})
    requests = [chat(str(n)) for n in range(60)]
    with pytest.raises(
        ValueError, match=r"^hosted\.max_cost: 0\.000\d+ of 0\.001 dollars are spent, and the next"
    ) as caught:
        texts(requests, server, limited)
    assert max(seen) <= 1_000_000
    spent = ledger()["cost_dollars"]
    assert 1000e-6 - worst * 1e-6 < spent <= 1000e-6
    assert f"({60 - ledger()['answers']} of 60 answers are missing" in str(caught.value)
    asked = len(server.received)
    with pytest.raises(ValueError, match=r"hosted\.max_cost"):
        texts(requests, server, limited)
    assert len(server.received) == asked
    found = texts(requests, server, Hosted(max_cost=1, prices=limited.prices))
    assert found == [str(n) for n in range(60)]
    assert server.answered == Counter(map(str, range(60)))


@pytest.mark.slow
def test_two_processes_do_not_pass_the_budget_together(server: Server) -> None:
    both = [child(server, 100, 500e-6), child(server, 60, 500e-6)]
    assert all("hosted.max_cost" in process.communicate()[1] for process in both)
    texts([chat("0")], server)
    assert ledger()["cost_dollars"] <= 500e-6
    assert ledger()["answers"] >= 20  # 15 millionths each, and no new one within 106 of the limit


# --- Secrets -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", ["openai", "together"])
def test_a_key_is_required_and_the_endpoint_is_that_of_the_parameters(
    server: Server, provider: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = {"openai": "OPENAI_API_KEY", "together": "TOGETHER_API_KEY"}[provider]
    monkeypatch.delenv(usual)
    with pytest.raises(ValueError, match=rf"^{usual}: no key in the environment or in \.env; set it"):
        texts([chat("1")], server, provider=provider)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/elsewhere")
    monkeypatch.setenv("TOGETHER_BASE_URL", "http://127.0.0.1:9/elsewhere")
    monkeypatch.setenv("OUR_KEY", "ours")
    send_requests([chat("1")], Endpoint(provider, f"{server.url}/", "OUR_KEY"), SETTINGS, purpose="test")
    assert server.received[0].headers["authorization"] == "Bearer ours"
    assert Endpoint("openai").url == "https://api.openai.com/v1"
    assert Endpoint("together").url == "https://api.together.ai/v1"


@pytest.mark.parametrize("provider", ["openai", "together"])
def test_no_log_holds_key_or_prompt(server: Server, provider: Any, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("", "openai", "together", "httpx", "httpx2", "httpcore", "httpcore2"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    try:
        server.says = lambda prompt, before: Say(status=500, body=ERROR) if before == 0 else Say("fine")
        texts([chat("What is 1?")], server, provider=provider)
    finally:
        logging.getLogger().setLevel(logging.WARNING)
    assert "What is" not in caplog.text
    assert KEY not in caplog.text


def test_nothing_asked_leaves_no_trace(project: Path) -> None:
    assert send_requests([], Endpoint("openai"), SETTINGS, purpose="test") == []
    assert not list(project.iterdir())


def test_asking_leaves_no_event_loop_behind(server: Server) -> None:
    texts([chat("1")], server)
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()
