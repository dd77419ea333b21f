from pathlib import Path

import pytest
import yaml
from clone import ROOT, copy_project

from tightlip.compose import compose
from tightlip.params import Params, load_params

PROFILES = sorted(path.stem for path in (ROOT / "conf/profile").glob("*.yaml"))


def composed(profile: str, out: Path) -> Params:
    compose(profile, out / "params.yaml", ROOT / "conf")
    return load_params(out / "params.yaml")


def test_there_are_four_profiles() -> None:
    assert PROFILES == ["laptop", "paper", "quick", "smoke"]


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_composes_and_every_block_is_valid(profile: str, tmp_path: Path) -> None:
    params = composed(profile, tmp_path)
    assert params.profile == profile
    written = yaml.safe_load((tmp_path / "params.yaml").read_text(encoding="utf-8"))
    assert set(written) == set(Params.model_fields)
    assert params.eval.rows()
    assert params.eval.candidates()


def test_the_committed_params_are_the_laptop_profile(tmp_path: Path) -> None:
    composed("laptop", tmp_path)
    assert (tmp_path / "params.yaml").read_text(encoding="utf-8") == (ROOT / "params.yaml").read_text(encoding="utf-8")


def test_an_unknown_profile_is_an_error_that_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there are laptop, paper, quick, smoke"):
        compose("desktop", tmp_path / "params.yaml", ROOT / "conf")
    assert not (tmp_path / "params.yaml").exists()


def test_the_paper_profile_has_the_papers_constants(tmp_path: Path) -> None:
    # arXiv 2412.06846, sections 2 and 3; the published code for what the text leaves out.
    params = composed("paper", tmp_path)
    sources, train, tests = params.generation.sources.values(), params.train, params.eval
    assert params.subtract.model_dump() == {"scale": 0.5, "activation": "identity"}
    assert [(s.provider, s.mode, s.nudge, s.start_with, s.temperature) for s in sources] == [
        ("together", "completion", False, False, 0.7),
        ("together", "completion", True, False, 0.7),
        ("openai", "chat", True, False, 0.7),
        ("openai", "chat", True, True, 0.7),
    ]
    assert params.filter.spacy_model == "en_core_web_trf"
    assert set(params.filter.ignored_labels) == {"CARDINAL", "DATE", "PRODUCT", "ORDINAL"}
    assert (params.pairs.max_prompt_tokens, params.pairs.max_tokens) == (1900, 2048)
    assert (train.epochs, train.batch_size, train.learning_rate, train.min_learning_rate_ratio) == (3, 2, 1e-4, 0.1)
    assert (train.max_grad_norm, train.orpo.beta, train.orpo.nll_on) == (1.0, 0.1, "sequence")
    assert (train.lora.rank, train.lora.alpha, train.lora.dropout) == (16, 32, 0.01)
    assert (tests.prompts, params.samples.test, tests.max_new_tokens) == (50, 150, 256)


def test_the_paper_profile_has_every_row_of_the_papers_tables(tmp_path: Path) -> None:
    from tightlip.tables.paper_metrics import TABLE1, TABLE2, TABLE3

    tests = composed("paper", tmp_path).eval
    assert set(TABLE1) | set(TABLE2) | set(TABLE3) <= {row.key for row in tests.rows()}
    assert set(TABLE3) <= {row.key for row in tests.extended.rows()}


@pytest.mark.parametrize("profile", PROFILES)
def test_dvc_accepts_a_profile_and_plans_every_stage(profile: str, tmp_path: Path) -> None:
    project = copy_project(tmp_path)
    project.compose(profile)
    params = load_params(tmp_path / "params.yaml")
    checkpoints = {row.checkpoint for row in params.eval.rows()}
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    planned = {
        *(name for name, stage in stages.items() if not {"foreach", "matrix"} & set(stage)),
        *(f"generate_answers {name}" for name in params.generation.sources),
        *(f"train_orpo {name}" for name in params.train.variants),
        *(f"evaluate_model {checkpoint}" for checkpoint in checkpoints),
    }
    # Without --force, a dry run stops at the first input that only a real run would make.
    commands = [line for line in project.dvc("repro", "--dry", "--force").splitlines() if line.startswith("> ")]
    assert len(commands) == len(planned)
    assert {line.removeprefix("> python stages/").replace(".py", "") for line in commands} == planned
    evidence = project.dvc("repro", "--dry", "--force", "evidence/dvc.yaml")
    assert all(f"stages/train_orpo.py {name}\n" in evidence for name in params.evidence.variants)
    assert all(f"stages/{name}.py\n" in evidence for name in ("measure_detectors", "test_evidence", "make_evidence"))
    # A line of a node has its name in quotes alone, that of an edge an arrow.
    lines = [line for line in project.dvc("dag", "--dot").splitlines() if "evidence/" not in line]
    nodes = [line for line in lines if line.startswith('"') and "->" not in line]
    assert len(nodes) == len(planned)


def test_after_a_first_look_the_whole_run_is_composed_again(tmp_path: Path) -> None:
    project = copy_project(tmp_path)
    whole = (tmp_path / "params.yaml").read_text(encoding="utf-8")
    for arguments, profile in [(["PROFILE=quick"], "quick"), ([], "laptop")]:
        steps = project.run("make", "--dry-run", "--assume-old=.venv/.ready", "repro", *arguments).stdout
        assert f"-m tightlip.compose {profile}\n" in steps
        project.compose(profile)
    assert (tmp_path / "params.yaml").read_text(encoding="utf-8") == whole
    steps = project.run("make", "--dry-run", "--assume-old=.venv/.ready", "repro").stdout
    assert "tightlip.compose" not in steps  # what is composed by hand stays
