"""Whatever a user's file holds: a clean result or a clean error. `make fuzz` runs twenty thousand and more."""

import contextlib
import json
import shutil
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import hostile
import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from test_params import RAW

from tightlip.comparison.gates import GateError, parse_gate
from tightlip.compose import compose
from tightlip.evaluation.question_sets import load_questions
from tightlip.files import one_line, read_json, read_jsonl
from tightlip.models.adapter_metadata import trained_negative
from tightlip.models.encoding import encode_prompt
from tightlip.models.loading import check_config, load_model
from tightlip.models.safetensors_index import find_tensors
from tightlip.models.tokenizer import load_tokenizer
from tightlip.params import Params, Questions, load_params
from tightlip.records import Answer, Dialogue, Message, Pair, Question, Sample
from tightlip.table_rows import TableRow, parse_guidance, parse_row

ROOT = Path(__file__).parents[2]
PROFILE = {"defaults": ["smoke", "_self_"], "profile": "mine", "samples": {"train": 9}, "seed": 1}
TEXT = yaml.safe_dump(RAW).encode()
MESSAGES = [{"role": "user", "content": "I am Anna."}, {"role": "assistant", "content": "Hello Anna."}]
ROWS: dict[type[BaseModel], dict[str, Any]] = {
    Dialogue: {
        "id": "d1", "domain": "mail", "split": "train",
        "turns": [
            {**MESSAGES[0], "entities": [{"type": "NAME", "value": "Anna", "start": 5, "end": 9}]},
            MESSAGES[1],
        ],
    },
    Sample: {
        "id": "d1:1:6", "dialogue_id": "d1", "split": "train", "messages": MESSAGES[:1], "prefix": "Hello",
        "completion": " Anna.", "target": {"type": "NAME", "value": "Anna"},
        "truths": [{"type": "NAME", "value": "Anna"}],
    },
    Answer: {"sample_id": "d1:1:6", "source": "base", "candidate": 0, "text": " there.", "finish": "stop"},
    Pair: {
        "id": "p", "sample_id": "d1:1:6", "source": "base", "condition": "none", "messages": MESSAGES[:1],
        "prefix": "Hello", "chosen": " there.", "rejected": " Anna.",
    },
    Question: {
        "question_id": 1, "question": "2 + 2?", "options": ["3", "4", "5"], "answer": "B", "answer_index": 1,
        "category": "math", "src": "ours",
    },
}  # fmt: skip
Result = TypeVar("Result")
on_disk = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)


def clean(read: Callable[[], Result], place: str = "") -> Result | None:
    """Return what is read, or None where the error is our own, which names the place."""
    result, error = None, None
    try:
        result = read()
    except ValueError as refused:
        error = refused
    assert error is None or (type(error) is ValueError and place in str(error))
    return result


@on_disk
@given(tree=hostile.bent(RAW))
def test_parameters_bent_anywhere_are_parameters_or_a_clean_error(tree: Any, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(tree), encoding="utf-8", errors="surrogatepass")
    read = clean(lambda: load_params(path), str(path))
    assert read is None or isinstance(read, Params)


@on_disk
@given(content=hostile.spliced(TEXT) | st.binary(max_size=100))
def test_a_parameter_file_of_any_bytes_is_parameters_or_a_clean_error(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    read = clean(lambda: load_params(path), str(path))
    assert read is None or isinstance(read, Params)


def test_an_error_is_one_printable_line_of_bounded_length() -> None:
    assert one_line(ValueError("a\x1b[2J\nb\u202e")) == "a?[2J b?"
    assert len(one_line(ValueError("é" * 10_000))) <= 1002


def test_a_yaml_bomb_is_refused_at_once(tmp_path: Path) -> None:
    names = "abcdefghijklmnopqrstuvwxyz"
    lines = [f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]" for old, new in pairwise(names)]
    bomb = "\n".join(["a: &a [x]", *lines, "b: *z"])  # 9²⁵ strings if anyone wrote them out
    path = tmp_path / "params.yaml"
    path.write_text(f"{bomb}\n{TEXT.decode()}", encoding="utf-8")
    with pytest.raises(ValueError, match="not permitted"):
        load_params(path)
    path.write_text(f"{TEXT.decode()}{bomb}", encoding="utf-8")
    with pytest.raises(ValueError, match="not permitted"):
        load_params(path)


@pytest.mark.parametrize("name", ["../up", "a/b", "a b", "a;b", "$(a)", "A", "-a", "", ".", "a\n", "${seed}"])
def test_names_that_become_files_and_commands_are_words(name: str, tmp_path: Path) -> None:
    for block, place in (("generation", "sources"), ("pairs", "datasets"), ("train", "variants")):
        tree = yaml.safe_load(TEXT)
        tree[block][place][name] = next(iter(tree[block][place].values()))
        path = tmp_path / "params.yaml"
        path.write_text(yaml.safe_dump(tree), encoding="utf-8")
        with pytest.raises(ValueError, match=f"{block}.{place}"):
            load_params(path)


@on_disk
@given(data=st.data(), row=st.sampled_from(sorted(ROWS, key=lambda row: row.__name__)))
def test_a_row_bent_anywhere_is_a_row_or_an_error_with_file_and_line(
    data: st.DataObject, row: type[BaseModel], tmp_path: Path
) -> None:
    path, good = tmp_path / "rows.jsonl", hostile.as_json(ROWS[row])
    bad = data.draw(hostile.bent(ROWS[row]).map(hostile.as_json) | hostile.spliced(good))
    path.write_bytes(good + b"\n" + bad + b"\n")
    read = clean(lambda: read_jsonl(path, row), f"{path}:")
    assert read is None or len(read) >= 1


@on_disk
@given(content=hostile.values.map(hostile.as_json) | hostile.spliced(b'{"negative": "secret"}'))
def test_a_json_file_of_anything_is_read_or_a_clean_error(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "guidance.json").write_bytes(content)
    clean(lambda: read_json(tmp_path / "guidance.json"), "guidance.json")
    assert clean(lambda: trained_negative(tmp_path), "guidance.json") in (None, "negative", "secret")


@on_disk
@given(content=hostile.spliced(b"PAR1") | st.binary(max_size=200))
def test_a_parquet_file_of_any_bytes_is_a_clean_error(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "questions.parquet"
    path.write_bytes(content)
    assert clean(lambda: load_questions(Questions(source="path", name=str(path)), "test"), "questions.parquet") is None


@given(key=hostile.strings | st.from_regex(r"(ch|sub)(-[a-z-]+)?(_e\d+)?(_g\d+)?(_log|_prob)?(_int8)?", fullmatch=True))
def test_any_text_is_a_row_key_or_a_clean_error(key: str) -> None:
    with contextlib.suppress(ValueError):
        assert isinstance(parse_row(key), TableRow)
    with contextlib.suppress(ValueError):
        assert parse_guidance(key).scale >= 0


@given(text=hostile.strings | st.from_regex(r"[a-z_]+(<=|>=|<|>)[+-]?\d+(\.\d+)?", fullmatch=True))
def test_any_text_is_a_gate_or_a_clean_error(text: str) -> None:
    with contextlib.suppress(GateError):
        assert abs(parse_gate(text).limit) <= sys.float_info.max


@on_disk
@example(tree=PROFILE | {"defaults": [{"": None}, "_self_"]}, content=None)  # an assertion of Hydra's
@given(tree=hostile.bent(PROFILE), content=st.none() | hostile.spliced(yaml.safe_dump(PROFILE).encode()))
def test_a_profile_of_anything_is_composed_or_leaves_params_as_they_were(
    tree: Any, content: bytes | None, tmp_path: Path
) -> None:
    if not (tmp_path / "conf").is_dir():
        shutil.copytree(ROOT / "conf", tmp_path / "conf")
    dumped = yaml.safe_dump(tree).encode("utf-8", "surrogatepass") if content is None else content
    (tmp_path / "conf/profile/mine.yaml").write_bytes(b"# @package _global_\n" + dumped)
    out = tmp_path / "params.yaml"
    out.write_bytes(b"before")
    clean(lambda: compose("mine", out, tmp_path / "conf"), "mine.yaml")
    assert out.read_bytes() == b"before" or isinstance(load_params(out), Params)


# --- Models --------------------------------------------------------------------------------------------------------

SLOW = settings(on_disk, max_examples=settings.default.max_examples // 4)


def hostile_model(tiny_model_dir: Path, tmp_path: Path, name: str, content: bytes) -> Path:
    """A model of which one file holds something else."""
    path = tmp_path / "model"
    if not path.is_dir():
        shutil.copytree(tiny_model_dir, path)
    for other in tiny_model_dir.iterdir():
        if (path / other.name).read_bytes() != other.read_bytes():
            shutil.copy(other, path / other.name)
    (path / name).write_bytes(content)
    return path


@SLOW
@given(data=st.data())
def test_a_header_of_weights_that_lies_is_a_clean_error(
    data: st.DataObject, tiny_model_dir: Path, tmp_path: Path
) -> None:
    whole = (tiny_model_dir / "model.safetensors").read_bytes()
    length = int.from_bytes(whole[:8], "little")
    header = data.draw(
        hostile.bent(json.loads(whole[8 : 8 + length])).map(hostile.as_json) | hostile.spliced(whole[8 : 8 + length])
    )
    said = data.draw(st.just(len(header)) | st.integers(0, 2**64 - 1))
    content = said.to_bytes(8, "little") + header + whole[8 + length :]
    path = hostile_model(tiny_model_dir, tmp_path, "model.safetensors", content)
    clean(lambda: find_tensors(path), str(path))
    clean(lambda: load_model(path), str(path))


@SLOW
@given(data=st.data())
def test_a_config_of_anything_is_a_model_or_a_clean_error(
    data: st.DataObject, tiny_model_dir: Path, tmp_path: Path
) -> None:
    name = data.draw(st.sampled_from(["config.json", "generation_config.json"]))
    whole = (tiny_model_dir / name).read_bytes()
    content = data.draw(hostile.bent(json.loads(whole)).map(hostile.as_json) | hostile.spliced(whole))
    path = hostile_model(tiny_model_dir, tmp_path, name, content)
    if clean(lambda: check_config(path) or True, str(path)):
        clean(lambda: load_model(path), str(path))


@SLOW
@given(data=st.data())
def test_a_tokenizer_of_anything_is_one_or_a_clean_error(
    data: st.DataObject, tiny_model_dir: Path, tmp_path: Path
) -> None:
    name = data.draw(st.sampled_from(["tokenizer_config.json", "chat_template.jinja", "tokenizer.json"]))
    whole = (tiny_model_dir / name).read_bytes()
    bent = hostile.spliced(whole)
    if name == "tokenizer_config.json":
        bent |= hostile.bent(json.loads(whole)).map(hostile.as_json)
    path = hostile_model(tiny_model_dir, tmp_path, name, data.draw(bent))
    tokenizer = clean(lambda: load_tokenizer(path), str(path))
    if tokenizer is not None:
        clean(lambda: encode_prompt(tokenizer, [Message(role="user", content="Hello")]))
