"""The pipeline on models that are brought along: another family, no system role, turns that do not end with EOS."""

import json

import pandas as pd
import pytest
import torch
import yaml
from clone import Project, copy_project

from families import family_model, gemma_tokenizer
from tightlip.files import read_jsonl
from tightlip.models.encoding import encode_completion, encode_prompt
from tightlip.models.tokenizer import load_tokenizer
from tightlip.prompts import NEGATIVE, POSITIVE
from tightlip.records import Pair

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The smoke profile, cut down, on a base and a tuned model of the Gemma family."""
    project = copy_project(tmp_path_factory.mktemp("families"))
    for seed, name in enumerate(("base", "tuned")):
        model = family_model("Gemma2", seed)
        with torch.no_grad():
            for weight in model.parameters():
                weight.mul_(0.1)
        model.save_pretrained(project.path / "given" / name)
        gemma_tokenizer().save_pretrained(project.path / "given" / name)
    project.compose("smoke")
    path = project.path / "params.yaml"
    params = yaml.safe_load(path.read_text(encoding="utf-8"))
    params["base"] = {"source": "path", "name": "given/base", "dtype": "float32"}
    params["tune"]["given"] = {"source": "path", "name": "given/tuned", "dtype": "float32"}
    variants = params["train"]["variants"]
    params["train"]["variants"] = {name: variants[name] for name in ("ch-lora-cfg", "ch-lora-cfg-rewriter")}
    params["eval"] |= {"models": ["ch"], "prompts": 2}
    path.write_text(yaml.safe_dump(params), encoding="utf-8")
    project.dvc("repro", "make_tables", "attack_challenge", "subtract_task_vector")
    return project


def test_the_tables_are_made(project: Project) -> None:
    table = pd.read_csv(project.path / "metrics/table1.csv")
    assert len(table) == 4  # bare, told, with the adapter, guided
    assert table["n questions"].min() > 0
    for name in ("base", "ch", "sub"):
        assert (project.path / "models" / name / "model.safetensors").is_file()
    assert json.loads((project.path / "metrics/challenge.json").read_text(encoding="utf-8"))["n_values"] > 0


def test_the_guidance_sentence_stands_in_the_users_first_turn(project: Project) -> None:
    tokenizer = load_tokenizer(project.path / "models/ch")
    pairs = list(read_jsonl(project.path / "data/pairs/cfg/train.jsonl", Pair))
    assert {pair.condition for pair in pairs} == {"positive", "negative"}
    for pair in pairs:
        sentence = {"positive": POSITIVE, "negative": NEGATIVE}[pair.condition]
        text = tokenizer.decode(encode_prompt(tokenizer, pair.messages, pair.prefix))
        first_turn = text.partition("<start_of_turn>user\n")[2].partition("<end_of_turn>")[0]
        assert f"{sentence}\n\n" in first_turn
        assert tokenizer.decode(encode_completion(tokenizer, pair.chosen)).endswith("<end_of_turn>")
