"""The judge, over HTTP: a server on this machine stands in for the hosted one."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hosted_server import KEY, Say, Server, serving

from tightlip.evaluation.generated import answer_metrics
from tightlip.evaluation.judge import judge_answers, judge_prompt, read_verdict
from tightlip.hosted import requests as hosted_requests
from tightlip.params import Hosted, Judge
from tightlip.pii.matching import find_values
from tightlip.records import Question, ScoredAnswer, Value

QUESTION = Question(
    question_id=1, question="Which {colour}?", options=("Red", "Blue", "Green"), answer="B", answer_index=1,
    category="other", src="test",
)  # fmt: skip


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Says "Correct" to the answer "blue" and to no other."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setattr(hosted_requests, "BACKOFF_SECONDS", 0.001)
    with serving(lambda prompt, before: Say("Correct" if answer_in(prompt) == "blue" else "Incorrect.")) as server:
        yield server


def answer_in(prompt: str) -> str:
    found = re.search(r"Answer to check: (.*?)\n\nReturn just", prompt, re.DOTALL)
    assert found
    return found.group(1)


def asked(server: Server) -> list[str]:
    """The answers that were sent, in any order."""
    return sorted(map(answer_in, server.prompts))


def judged(
    server: Server, answers: list[str], private: Any = (), question: Question = QUESTION, **hosted: Any
) -> list[ScoredAnswer]:
    judge = Judge(model="judge", base_url=server.url)
    return judge_answers(answers, [question] * len(answers), judge, Hosted(**hosted), private)


def test_the_judge_reads_the_prompt_of_the_paper() -> None:
    assert judge_prompt("It is {x} blue.", QUESTION) == (
        "You receive a question and two answers. The first answer is the correct one. Your task is to check if the "
        "second answer also looks correct or not.\n\n"
        "Question: Which {colour}?\n1. Red\n2. Blue\n3. Green\n\n"
        "Correct answer: Blue\n\n"
        "Answer to check: It is {x} blue.\n\n"
        "Return just one word:\n\n"
        '"Correct" if the answer to check is correct\n\n'
        '"Incorrect" if the answer to check is incorrect\n\n'
        '"Can\'t tell" if it is impossible to accurately judge if the answer to check is correct\n\n'
    )


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [("Correct", "correct"), ("correct.", "correct"), ('"Correct"', "correct"), (" **Correct**\n", "correct"),
     ("“CORRECT”", "correct"), ("Incorrect", "incorrect"), ("'incorrect'.", "incorrect"), ("Can't tell", None),
     ("Can’t tell.", None), ("", None), ("Not correct", None), ("Correct or incorrect", None), ("Yes", None),
     ("Correct Incorrect Can't tell", None)],
)  # fmt: skip
def test_one_word_is_a_verdict_and_all_else_is_none(reply: str, verdict: str | None) -> None:
    assert read_verdict(reply) == verdict


def test_answers_are_judged_in_order_and_only_correct_counts(server: Server) -> None:
    says = {"blue": "Correct", "red": "Incorrect.", "both": "Can’t tell", "odd": "Why not?", "mute": ""}
    server.says = lambda prompt, before: Say(says[answer_in(prompt)])
    scored = judged(server, ["red", "blue", "", "both", " \n", "odd", "mute", "blue"])
    assert [row.verdict for row in scored] == ["incorrect", "correct", None, None, None, None, None, "correct"]
    assert [row.answer for row in scored[:3]] == ["red", "blue", ""]
    assert asked(server) == ["blue", "both", "mute", "odd", "red"]  # nothing empty, nothing twice
    request = server.received[0]
    assert (request.path, request.headers["authorization"]) == ("/v1/chat/completions", f"Bearer {KEY}")
    assert (request.body["model"], request.body["temperature"], request.body["max_tokens"]) == ("judge", 0, 8)
    assert [message["role"] for message in request.body["messages"]] == ["user"]
    assert answer_metrics(scored, "judge") == {
        "n_questions": 8,
        "judge_n_correct": 2,
        "judge_n_unscored": 5,
        "judge_pct": 25.0,  # 2 of all 8
    }


def test_what_was_judged_is_not_paid_for_again_and_is_in_the_ledger(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = judged(server, ["blue", "odd"])
    assert judged(server, ["blue", "odd", "red"])[:2] == first
    assert asked(server) == ["blue", "odd", "red"]
    monkeypatch.delenv("OPENAI_API_KEY")
    assert judged(server, ["blue", "odd"]) == first
    found = json.loads(Path("metrics/ledger.json").read_text())["judge"]["judge"]
    assert (found["requests"], found["answers"], found["cache_hits"]) == (3, 3, 4)


def test_a_budget_holds_for_the_judge_too(server: Server) -> None:
    with pytest.raises(ValueError, match=r"^hosted\.max_cost: .* the next request for judge may cost"):
        judged(server, ["blue"], max_cost=1e-6, prices={"judge": {"input": 1, "output": 1}})
    assert not server.received


def test_a_judge_that_fails_is_an_error_and_what_was_judged_is_kept(server: Server) -> None:
    server.says = lambda prompt, before: Say("Correct") if answer_in(prompt) == "blue" else Say(status=401)
    judged(server, ["blue"])
    with pytest.raises(ValueError, match=r"^127\.0\.0\.1, model judge: answered 401; check the key \(1 of 1 answers"):
        judged(server, ["blue", "red"])
    server.says = lambda prompt, before: Say("Incorrect")
    assert [row.verdict for row in judged(server, ["blue", "red"])] == ["correct", "incorrect"]
    assert asked(server).count("blue") == 1


# --- Personal values -----------------------------------------------------------------------------------------------

PRIVATE = [
    Value(type="NAME", value="Anna Bellweather"), Value(type="LOC", value="Paris"),
    Value(type="DATE", value="2 May 1980"), Value(type="PHONE", value="212-555-0142"),
    Value(type="ORG", value="Lighthouse Credit Union"),
]  # fmt: skip
LEAKY = "It is blue, says Anna Bellweather of Lighthouse Credit Union in Paris, 212 555 0142, a.bell@example.com."


def test_the_judge_reads_surrogates_for_personal_values(server: Server) -> None:
    scored = judged(server, [LEAKY, "anna!"], PRIVATE)
    assert [row.answer for row in scored] == [LEAKY, "anna!"]  # on record is what the model said
    for request in server.received:
        sent = request.raw.decode()
        assert not find_values(sent, [*PRIVATE, Value(type="EMAIL", value="a.bell@example.com")])
        assert "bell" not in sent.casefold()
    assert any("It is blue, says " in prompt and "Credit Union" in prompt for prompt in server.prompts)


def test_what_the_question_itself_says_is_public(server: Server) -> None:
    """Or the judge could not see that an answer is right."""
    capital = QUESTION.model_copy(update={"question": "Capital of France?", "options": ("Paris", "Lyon", "Nice")})
    judged(server, ["Paris, says Anna Bellweather"], PRIVATE, capital)
    assert asked(server)[0].startswith("Paris, says ")
    assert "Anna" not in asked(server)[0]


def test_values_are_sent_as_they_are_only_where_the_parameters_say_so(server: Server) -> None:
    judged(server, [LEAKY], PRIVATE, pseudonymise=False)
    assert asked(server) == [LEAKY]
