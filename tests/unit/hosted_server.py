"""An OpenAI-compatible server on this machine that answers, or fails, as a test says, and records what it got."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "sk-not-to-be-shown"


@dataclass(frozen=True)
class Say:
    """What the server does with one request: answers with `text`, or fails in the way of `fault`.

    `fault` is `drop` (the connection), `stall`, `truncate` (half of the body), or empty.
    """

    text: str = ""
    finish: str | None = "stop"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    fault: str = ""
    model: str | None = None
    usage: dict[str, int] | None = field(default_factory=lambda: {"prompt_tokens": 10, "completion_tokens": 5})


@dataclass(frozen=True)
class Received:
    path: str
    headers: dict[str, str]
    raw: bytes
    body: dict[str, Any]
    arrived: float

    @property
    def prompt(self) -> str:
        return str(self.body["prompt"]) if "prompt" in self.body else str(self.body["messages"][-1]["content"])


class Server(ThreadingHTTPServer):
    """`says` gets a request's prompt and how often it came before."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, says: Callable[[str, int], Say]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.says = says
        self.received: list[Received] = []
        self.answered: Counter[str] = Counter()
        self.lock = threading.Lock()
        self.stopped = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}/v1"

    @property
    def prompts(self) -> list[str]:
        return [each.prompt for each in self.received]

    def handle_error(self, *args: Any) -> None:
        """A client that went away is no error."""


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        got = Received(
            self.path,
            {name.lower(): value for name, value in self.headers.items()},
            raw,
            json.loads(raw),
            time.monotonic(),
        )
        with self.server.lock:
            before = sum(each.prompt == got.prompt for each in self.server.received)
            self.server.received.append(got)
        say = self.server.says(got.prompt, before)
        if say.fault in ("drop", "stall"):
            if say.fault == "stall":
                self.server.stopped.wait(30)
            self.close_connection = True
            return
        data = say.body if isinstance(say.body, bytes) else json.dumps(say.body or completion(got, say)).encode()
        self.send_response(say.status)
        for name, value in (
            {"Content-Type": "application/json", "Content-Length": str(len(data))} | say.headers
        ).items():
            self.send_header(name, value)
        self.end_headers()
        if say.fault == "truncate":
            self.wfile.write(data[: len(data) // 2])
            self.close_connection = True
            return
        self.wfile.write(data)
        self.wfile.flush()
        if say.status == 200 and say.body is None:
            with self.server.lock:
                self.server.answered[got.prompt] += 1

    def log_message(self, *args: Any) -> None:
        pass


def completion(got: Received, say: Say) -> dict[str, Any]:
    choice: dict[str, Any] = {"index": 0, "finish_reason": say.finish, "logprobs": None}
    chat = "messages" in got.body
    choice |= {"message": {"role": "assistant", "content": say.text}} if chat else {"text": say.text}
    body = {"id": "1", "object": "chat.completion" if chat else "text_completion", "created": 1, "choices": [choice],
            "model": say.model or got.body["model"]}  # fmt: skip
    return body | ({"usage": say.usage} if say.usage else {})


@contextmanager
def serving(says: Callable[[str, int], Say]) -> Iterator[Server]:
    server = Server(says)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.stopped.set()
        server.shutdown()
        server.server_close()
        thread.join()
