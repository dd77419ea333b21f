"""Answers of registered models, and the check of their base."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from small_project import SECRET, load

from tightlip.files import digest
from tightlip.records import Message
from tightlip.secret import with_condition
from tightlip.table_rows import Guidance, parse_row

pytestmark = pytest.mark.filterwarnings("ignore:.*type hint:UserWarning")  # MLflow's, about itself and `predict`


def test_the_champion_answers_and_honours_parameters(published: Path) -> None:
    model, limit = load(published, "tightlip-ch-lora-cfg@champion"), {"max_new_tokens": 8}
    text = "What is my name?"
    data = pd.DataFrame({"prompt": [text, "Write to my bank."]})
    guided = model.predict(data, params={"guidance_scale": 3.0, "space": "prob", **limit})
    assert guided == [decoded(published, line, 3.0, "prob") for line in data["prompt"]]
    assert model.predict(data, params=limit) == guided  # what was chosen on dev is the default
    plain = model.predict(data, params={"guidance_scale": 1.0, **limit})
    assert plain == [decoded(published, line, 1.0, "prob") for line in data["prompt"]]
    assert plain != guided
    talk = pd.DataFrame({"messages": [json.dumps([{"role": "user", "content": text}])]})
    assert model.predict(talk, params=limit) == guided[:1]


def test_the_chat_and_the_served_model_raise_the_scale_of_an_unguided_row_alike(
    published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tightlip.chat import ask, obey, open_chat

    monkeypatch.chdir(published)
    chat = open_chat(parse_row("ch-lora-cfg-base_e1_g100"), 8)
    obey(chat, "/scale 2")
    text = "What is my name?"
    _, defended = ask(chat, text)
    model, data = load(published, "tightlip-ch-lora-cfg-base@epoch-1"), pd.DataFrame({"prompt": [text]})
    limit = {"max_new_tokens": 8}
    assert model.predict(data, params={"guidance_scale": 2.0, **limit}) == [defended]
    others: list[dict[str, Any]] = [{"guidance_scale": 1.0}, {"guidance_scale": 2.0, "space": "prob"}]
    for params in others:  # the answer shows the scale and the space
        assert model.predict(data, params=params | limit) != [defended]


def decoded(root: Path, text: str, scale: float, space: Any) -> str:
    """The answer that the library itself gives."""
    from tightlip.guidance.decoder import Decoding, generate
    from tightlip.models.encoding import encode_prompt
    from tightlip.models.loading import load_model
    from tightlip.models.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(root / "models/ch")
    talk = (Message(role="user", content=text),)
    branches = [[encode_prompt(tokenizer, with_condition(talk, sign))] for sign in ("positive", "negative")]
    model = load_model(root / "models/ch", adapter=root / "adapters/ch-lora-cfg/epoch_2")
    eos = tokenizer.eos_token_id
    (ids,) = generate(model, *branches, decoding=Decoding(8, {eos}, eos), guidance=Guidance(scale, space))
    return str(tokenizer.decode(ids, skip_special_tokens=True)).strip()


@pytest.fixture
def served(small_project: Path) -> Any:
    """The model itself, without MLflow around it."""
    from tightlip.tracking.served_model import ServedModel

    base = {"root": str(small_project), "path": "models/sub", "sha256": digest(small_project / "models/sub")}
    adapter = str(small_project / "adapters/sub-lora/epoch_1")
    model = ServedModel()
    model.load_context(SimpleNamespace(artifacts={"adapter": adapter}, model_config={"base": base}))
    return model


@pytest.mark.parametrize(
    ("row", "settings", "problem"),
    [
        ({"prompt": SECRET}, {"space": "up"}, "space: must be log or prob"),
        ({"prompt": SECRET}, {"guidance_scale": -1.0}, "guidance_scale: must be a number from 0"),
        ({"prompt": SECRET}, {"guidance_scale": float("nan")}, "guidance_scale: must be a number from 0"),
        ({"prompt": SECRET}, {"max_new_tokens": 0}, "max_new_tokens: must be at least 1"),
        ({"messages": SECRET}, {}, "row 0, messages"),
        ({"messages": "[]"}, {}, "must be the user's"),
        ({"messages": json.dumps([{"role": "assistant", "content": SECRET}])}, {}, "must be the user's"),
        ({"prompt": SECRET, "messages": "[]"}, {}, "row 0: fill either"),
        ({"prompt": None}, {}, "row 0: fill either"),
    ],
)
def test_bad_requests_are_explained_without_repeating_them(
    served: Any, row: dict[str, str], settings: dict[str, Any], problem: str
) -> None:
    defaults = {"guidance_scale": 1.0, "space": "log", "max_new_tokens": 4}
    with pytest.raises(ValueError, match=problem) as error:
        served.predict(None, pd.DataFrame([row]), defaults | settings)
    assert SECRET not in str(error.value)


def test_rows_with_prompt_and_rows_with_messages_go_together(served: Any) -> None:
    talk = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]
    data = pd.DataFrame([{"prompt": "Hello"}, {"messages": json.dumps(talk)}])
    answers = served.predict(None, data, {"guidance_scale": 2.0, "space": "log", "max_new_tokens": 4})
    assert [type(answer) for answer in answers] == [str, str]


def test_another_base_is_refused(published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIGHTLIP_ROOT", str(tmp_path))
    with pytest.raises(ValueError, match=r"models/sub: the adapter's base model is missing.*TIGHTLIP_ROOT"):
        load(published, "tightlip-sub-lora@epoch-1")
    base = Path(shutil.copytree(published / "models/sub", tmp_path / "models/sub"))
    assert load(published, "tightlip-sub-lora@epoch-1")  # the same base in another place
    (base / "config.json").write_text((base / "config.json").read_text() + " ")
    with pytest.raises(ValueError, match=r"models/sub: not the model that this adapter was made for.*dvc checkout"):
        load(published, "tightlip-sub-lora@epoch-1")
