"""The judge, over HTTP: an endpoint on this machine stands in for the hosted one."""

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tightlip.evaluation.generated import answer_figures
from tightlip.evaluation.judge import judge_answers, judge_prompt, read_verdict
from tightlip.models.hosted import OPENAI_URL, connect
from tightlip.records import Question, ScoredAnswer

KEY = "sk-not-to-be-shown"
QUESTION = Question(
    question_id=1, question="Which {colour}?", options=("Red", "Blue", "Green"), answer="B", answer_index=1,
    category="other", src="test",
)  # fmt: skip


class Endpoint(ThreadingHTTPServer):
    """Judges an answer by the table `says`; a list is worked off from request to request."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.says: dict[str, list[Any]] = {}
        self.requests: list[dict[str, Any]] = []
        self.url = f"http://127.0.0.1:{self.server_port}/v1"

    def asked(self) -> list[str]:
        """The answers that were sent, in any order."""
        return sorted(answer_of(request) for request in self.requests)


class Handler(BaseHTTPRequestHandler):
    server: Endpoint

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append({**request, "path": self.path, "key": self.headers["Authorization"]})
        said = self.server.says[answer_of(request)]
        reply = said.pop(0) if len(said) > 1 else said[0]
        status = reply if isinstance(reply, int) else 200
        body = reply if isinstance(reply, dict) else {"error": {"message": f"no, {KEY}: {request['messages']}"}}
        if isinstance(reply, str) or reply is None:
            message = {"role": "assistant", "content": reply}
            choice = {"index": 0, "finish_reason": "stop", "message": message}
            body = {"id": "1", "object": "chat.completion", "created": 1, "model": "judge", "choices": [choice]}
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("retry-after-ms", "1")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: Any) -> None:
        pass


def answer_of(request: dict[str, Any]) -> str:
    found = re.search(r"Answer to check: (.*?)\n\nReturn just", request["messages"][0]["content"], re.DOTALL)
    assert found
    return found.group(1)


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    monkeypatch.setenv("TEST_KEY", KEY)
    server = Endpoint()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def judged(endpoint: Endpoint, scratch: Path, answers: list[str], model: str = "judge") -> list[ScoredAnswer]:
    return judge_answers(
        answers, [QUESTION] * len(answers), model=model, base_url=endpoint.url, key_env="TEST_KEY", scratch=scratch,
        progress="judge",
    )  # fmt: skip


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


def test_answers_are_judged_in_order_and_only_correct_counts(endpoint: Endpoint, tmp_path: Path) -> None:
    endpoint.says = {
        "blue": ["Correct"], "red": ["Incorrect."], "both": ["Can’t tell"], "odd": ["Why not?"], "mute": [None]
    }  # fmt: skip
    scored = judged(endpoint, tmp_path, ["red", "blue", "", "both", " \n", "odd", "mute", "blue"])
    assert [row.verdict for row in scored] == ["incorrect", "correct", None, None, None, None, None, "correct"]
    assert [row.answer for row in scored[:3]] == ["red", "blue", ""]
    assert endpoint.asked() == ["blue", "both", "mute", "odd", "red"]  # nothing empty, nothing twice
    request = endpoint.requests[0]
    assert (request["path"], request["key"]) == ("/v1/chat/completions", f"Bearer {KEY}")
    assert (request["model"], request["temperature"], request["max_tokens"]) == ("judge", 0, 8)
    assert [message["role"] for message in request["messages"]] == ["user"]
    assert answer_figures(scored, "judge") == {
        "n_questions": 8,
        "judge_n_correct": 2,
        "judge_n_unscored": 5,
        "judge_pct": 25.0,  # 2 of all 8
    }


def test_what_was_judged_is_not_paid_for_again(
    endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint.says = {"blue": ["Correct"], "red": ["Incorrect"], "odd": ["Perhaps"]}
    first = judged(endpoint, tmp_path, ["blue", "odd"])
    assert judged(endpoint, tmp_path, ["blue", "odd", "red"])[:2] == first
    assert endpoint.asked() == ["blue", "odd", "red"]
    judged(endpoint, tmp_path, ["blue"], model="another")
    assert endpoint.asked() == ["blue", "blue", "odd", "red"]
    monkeypatch.delenv("TEST_KEY")
    assert judged(endpoint, tmp_path, ["blue", "odd"]) == first
    kept = [path.read_text() for path in tmp_path.iterdir()]
    assert sorted(kept) == ['"Correct"\n', '"Correct"\n', '"Incorrect"\n', '"Perhaps"\n']


def test_what_may_pass_is_tried_again(endpoint: Endpoint, tmp_path: Path) -> None:
    endpoint.says = {"blue": [500, 429, "Correct"]}
    assert judged(endpoint, tmp_path, ["blue"])[0].verdict == "correct"
    assert len(endpoint.requests) == 3


@pytest.mark.parametrize(
    ("reply", "tries", "problem"),
    [(401, 1, "answered 401; check key, model and base_url"), (503, 6, "answered 503; "),
     ({"choices": []}, 1, "gave no chat completion; check base_url")],
)  # fmt: skip
def test_an_endpoint_that_fails_is_an_error_in_one_line_without_key_and_prompt(
    endpoint: Endpoint, tmp_path: Path, reply: Any, tries: int, problem: str
) -> None:
    endpoint.says = {"blue": ["Correct"], "red": [reply]}
    judged(endpoint, tmp_path, ["blue"])
    with pytest.raises(ValueError, match=rf"^127\.0\.0\.1, model judge: {problem}") as caught:
        judged(endpoint, tmp_path, ["blue", "red"])
    assert len(endpoint.requests) == 1 + tries
    shown = str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert "\n" not in shown
    assert KEY not in shown
    assert "colour" not in shown
    endpoint.says["red"] = ["Incorrect"]
    assert [row.verdict for row in judged(endpoint, tmp_path, ["blue", "red"])] == ["correct", "incorrect"]
    assert endpoint.asked().count("blue") == 1  # what was there is kept


def test_an_endpoint_that_is_not_there_is_an_error_in_one_line(endpoint: Endpoint, monkeypatch: Any) -> None:
    from tightlip.models.hosted import chat

    client = connect("TEST_KEY", "http://127.0.0.1:9/v1", max_retries=0)
    with client, pytest.raises(ValueError, match=r"^127\.0\.0\.1, model m: cannot be reached \(APIConnectionError\); "):
        chat(client, "m", [], temperature=0, max_tokens=1)


def test_a_key_is_required_and_the_endpoint_is_that_of_the_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEST_KEY", raising=False)
    with pytest.raises(ValueError, match=r"^TEST_KEY: no key in this environment variable; set it"):
        connect("TEST_KEY")
    monkeypatch.setenv("TEST_KEY", KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/elsewhere")
    with connect("TEST_KEY") as client:
        assert str(client.base_url) == f"{OPENAI_URL}/"
