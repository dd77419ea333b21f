"""Fetching from a hub: a server on this machine that answers as the hub does."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

COMMIT, GATED = "0123456789abcdef0123456789abcdef01234567", "89abcdef0123456789abcdef0123456789abcdef"
SCRIPT = """
import sys
from tightlip.models.fetching import fetch
from tightlip.params import ModelSource
for revision in sys.argv[2:]:
    try:
        fetch(ModelSource(source="hub", name="some/model", revision=revision, dtype="float32"), 0, sys.argv[1])
        print("fetched")
    except ValueError as error:
        print(error)
"""


def hub(model: Path, asked: list[str]) -> type[BaseHTTPRequestHandler]:
    """Serve a repository at `COMMIT`, refuse `GATED`, and know no other revision."""
    files = {path.name: path.read_bytes() for path in model.iterdir()}
    files |= {"pytorch_model.bin": b"pickle", "modeling_evil.py": b"exit(1)", "onnx/model.json": b"{}"}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(path := self.path.partition("?")[0])
            name = path.rpartition(f"/resolve/{COMMIT}/")[2]
            if GATED in path:
                self.reply(401, b"", {"X-Error-Code": "GatedRepo"})
            elif path == f"/api/models/some/model/revision/{COMMIT}":
                siblings = [{"rfilename": name} for name in files]
                listing = {"id": "some/model", "sha": COMMIT, "siblings": siblings}
                self.reply(200, json.dumps(listing).encode(), {"Content-Type": "application/json"})
            elif path.startswith(f"/api/models/some/model/tree/{COMMIT}"):
                tree = [{"type": "file", "path": name, "size": len(text), "oid": name} for name, text in files.items()]
                self.reply(200, json.dumps(tree).encode(), {"Content-Type": "application/json"})
            elif name in files:
                self.reply(200, files[name], {"ETag": f'"{name}"', "X-Repo-Commit": COMMIT})
            else:
                self.reply(404, b"", {"X-Error-Code": "RevisionNotFound"})

        do_HEAD = do_GET

        def reply(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for field, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(field, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@pytest.fixture
def asked() -> list[str]:
    """The paths that were asked for."""
    return []


@pytest.fixture
def endpoint(tiny_model_dir: Path, asked: list[str]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), hub(tiny_model_dir, asked))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_model_is_fetched_without_pickle_or_code_and_a_refusal_is_one_clean_error(
    endpoint: str, asked: list[str], tmp_path: Path
) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    env = kept | {"HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path / "hf"), "HF_TOKEN": "hf_secret"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "out"), COMMIT, "main-of-tomorrow", GATED],
        env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    fetched, missing, gated = done.stdout.splitlines() or pytest.fail(done.stderr)
    assert fetched == "fetched"
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
    }
    assert not [path for path in asked if path.endswith((".bin", ".py")) or "onnx" in path]
    for message, revision in ((missing, "main-of-tomorrow"), (gated, GATED)):
        assert f"base.name: 'some/model' at {revision} cannot be fetched" in message
        assert "HF_TOKEN in .env may read it" in message
    assert "hf_secret" not in done.stdout + done.stderr
    assert "RevisionNotFoundError" in missing
    assert "GatedRepoError" in gated
