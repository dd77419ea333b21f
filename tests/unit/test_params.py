import copy
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tightlip.params import Dialogues, Grid, Hosted, Params, find_named, load_params, need_watched
from tightlip.table_rows import UNGUIDED, Guidance, TableRow, parse_guidance, parse_row

ROOT = Path(__file__).parents[2]
RAW: dict[str, Any] = {
    "profile": "test",
    "seed": 0,
    "base": {"source": "random"},
    "dialogues": {"count": 10, "dev": 0.1, "test": 0.2},
    "tune": {},
    "subtract": {},
    "samples": {},
    "generation": {"sources": {"base": {"provider": "local"}, "rewriter": {"provider": "rewriter"}}},
    "filter": {"spacy_model": "en_core_web_sm"},
    "pairs": {"datasets": {"cfg": {"sources": ["base", "rewriter"], "version": "cfg"}}},
    "train": {
        "epochs": 2,
        "variants": {"ch-lora": {"model": "ch", "dataset": "cfg"}, "sub-lora": {"model": "sub", "dataset": "cfg"}},
    },
    "eval": {
        "untuned": ["g100"],
        "tunings": ["lora"],
        "epochs": [1, 2],
        "guidance": ["g100", "g250_prob"],
        "select": "lora",
    },
    "evidence": {"rows": ["ch"]},
}


def changed(path: str, value: Any) -> dict[str, Any]:
    raw = copy.deepcopy(RAW)
    *parents, last = path.split(".")
    block = raw
    for parent in parents:
        block = block.setdefault(parent, {})
    block[last] = value
    return raw


def problem(tmp_path: Path, raw: Any) -> str:
    """What `load_params` says about these parameters, after the file's name."""
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(raw), encoding="utf-8")
    with pytest.raises(ValueError, match=re.escape(f"{path}: ")) as caught:
        load_params(path)
    text = str(caught.value)
    assert "\n" not in text
    assert text.endswith("; see src/tightlip/params/ for what is allowed")
    return text.removeprefix(f"{path}: ")


def test_parameters_come_back_typed_and_immutable(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(RAW))
    params = load_params(tmp_path / "params.yaml")
    assert params == Params.model_validate(RAW)
    assert params.eval.epochs == (1, 2)
    assert params.subtract.scale == 0.5
    with pytest.raises(ValueError, match="frozen"):
        params.seed = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        ("sed", 1, "sed: Extra inputs are not permitted"),
        ("subtract.lambda", 1, "subtract.lambda: Extra inputs are not permitted"),
        ("train.lora.r", 1, "train.lora.r: Extra inputs are not permitted"),
        ("generation.sources.base.top_p", 1, "generation.sources.base.top_p: Extra inputs"),
    ],
)
def test_unknown_keys_are_errors(tmp_path: Path, path: str, value: Any, field: str) -> None:
    assert problem(tmp_path, changed(path, value)).startswith(field)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("seed", -1),
        ("dialogues.count", 0),
        ("dialogues.dev", 0),
        ("dialogues.test", 1),
        ("tune.learning_rate", 0),
        ("subtract.scale", -0.1),
        ("subtract.scale", 2.1),
        ("subtract.activation", "gelu"),
        ("samples.dev", 0),
        ("generation.batch_size", 0),
        ("generation.sources.base.temperature", 2.5),
        ("generation.sources.base.base_url", "localhost:8000/v1"),
        ("hosted.max_cost", -1),
        ("hosted.concurrency", 0),
        ("hosted.timeout", 0),
        ("hosted.prices.m", {"input": 1}),
        ("filter.min_words", -1),
        ("train.orpo.beta", 0),
        ("train.orpo.nll_on", "prompt"),
        ("train.lora.dropout", 1),
        ("train.min_learning_rate_ratio", 1.1),
        ("eval.max_new_tokens", 0),
        ("eval.models", ["tuned"]),
        ("profile", None),
    ],
)
def test_values_out_of_range_are_errors_that_name_their_key(tmp_path: Path, path: str, value: Any) -> None:
    assert problem(tmp_path, changed(path, value)).startswith(path)


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("base.source", "hub", "base: Value error, name is required"),
        ("base", {"source": "hub", "name": "a/b"}, "base: Value error, revision is required for a hub model"),
        ("dialogues", {"count": 9, "dev": 0.5, "test": 0.5}, "dialogues: Value error, dev + test must leave"),
        ("generation.sources", {}, "generation.sources: Dictionary should have at least 1"),
        ("generation.sources.gpt", {"provider": "openai"}, "generation.sources.gpt: Value error, model is required"),
        ("pairs.max_prompt_tokens", 2048, "pairs: Value error, max_prompt_tokens must be below max_tokens"),
        ("pairs.datasets.cfg.sources", ["gpt"], "row: Value error, pairs.datasets.cfg.sources: 'gpt' is not defined"),
        ("pairs.datasets.cfg.sources", [], "pairs.datasets.cfg.sources: "),
        ("train.variants.ch-lora.dataset", "plain", "row: Value error, train.variants.ch-lora.dataset: 'plain' is not"),
        ("train.variants.ch-lora.model", "sub", "row: Value error, train.variants.ch-lora: the name must start with"),
        ("eval.epochs", [3], "row: Value error, eval: row ch-lora_e3_g100 is beyond train.epochs = 2"),
        ("eval.tunings", ["lora-cfg"], "row: Value error, eval: row ch-lora-cfg_e1_g100: 'ch-lora-cfg' is not defined"),
        ("eval.select", "lora-cfg", "row: Value error, eval: row ch-lora-cfg_e1_g100: 'ch-lora-cfg' is not defined"),
        ("eval.guidance", ["g2"], "eval: Value error, 'g2' is no guidance"),
        ("eval.guidance", ["g100", "g100"], "eval: Value error, row ch-lora_e1_g100 is there twice; name every"),
        (
            "eval.ablation",
            {"tunings": ["lora"], "epochs": [2], "guidance": ["g300_log"]},
            "eval: Value error, ablation.tunings: lora is in tunings too; a tuning belongs to one of them",
        ),
        ("evidence.rows", ["ch", "ch_2"], "evidence: Value error, 'ch_2' is no row"),
        ("evidence.rows", ["ch-x_e1_g100"], "row: Value error, evidence: row ch-x_e1_g100: 'ch-x' is not defined"),
        ("evidence.attacked", ["sub"], "evidence: Value error, attacked: sub is not among the rows"),
        (
            "evidence.variants",
            {"ch-lora": {"model": "ch", "dataset": "cfg"}},
            "row: Value error, evidence.variants.ch-lora: there is a variant of that name",
        ),
        ("train.seeds", [1, 1], "train.seeds: Value error, a seed is there twice"),
        ("eval.questions", {"source": "hub", "name": "a/b"}, "eval.questions: Value error, revision is required"),
        ("eval.questions", {"test": "validation"}, "eval.questions: Value error, dev and test must be different"),
        (
            "eval.questions",
            {"scorers": ["likelihood", "judge"]},
            "eval.questions: Value error, judge is required for the scorer judge",
        ),
        ("eval.questions", {"scorers": ["likelihood"] * 2}, "eval.questions: Value error, scorers: one is there twice"),
        ("eval.questions", {"scorers": []}, "eval.questions: Value error, scorers: likelihood must be there"),
        ("eval.questions", {"judge": {"model": ""}}, "eval.questions.judge.model: "),
        ("eval.ablation", {"tunings": ["x"], "epochs": [1], "guidance": ["g100"]}, "row: Value error, eval: row ch-x_"),
        (
            "eval.extended",
            {"tunings": ["lora"], "epochs": [1], "guidance": ["g300_log"]},
            "row: Value error, eval.extended: ch-lora_e1_g300_log is no row of Table 1 or 2; add it there too",
        ),
    ],
)
def test_references_that_lead_nowhere_are_errors(tmp_path: Path, path: str, value: Any, expected: str) -> None:
    assert problem(tmp_path, changed(path, value)).startswith(expected)


def test_a_file_that_is_empty_missing_or_no_yaml_is_an_error_in_one_line(tmp_path: Path) -> None:
    assert problem(tmp_path, None).startswith("row: ")
    path = tmp_path / "params.yaml"
    path.write_text("seed: 0\nbase: [\n")
    with pytest.raises(ValueError, match=r"params\.yaml:\d: not YAML; fix the syntax$"):
        load_params(path)
    with pytest.raises(ValueError, match=r"no such file; run from the project's root$"):
        load_params(tmp_path / "other.yaml")


@pytest.mark.parametrize("profile", sorted(path.stem for path in (ROOT / "conf/profile").glob("*.yaml")))
def test_every_profile_composes(profile: str, tmp_path: Path) -> None:
    from tightlip.compose import compose

    compose(profile, tmp_path / "params.yaml", ROOT / "conf")
    assert load_params(tmp_path / "params.yaml").profile == profile


def test_the_defaults_of_the_profiles_are_those_of_the_fields(tmp_path: Path) -> None:
    written = yaml.safe_load((ROOT / "conf/defaults.yaml").read_text(encoding="utf-8"))
    assert written["train"].pop("seeds") == ["${seed}"]
    bare = changed("evidence.rows", ["ch"])
    bare["train"].pop("epochs")
    bare["eval"]["untuned"] = []
    read = Params.model_validate(bare | {"tune": {}, "samples": {}}).model_dump(mode="json")

    def compare(said: dict[str, Any], meant: dict[str, Any], where: str) -> None:
        for name, value in said.items():
            if isinstance(value, dict) and value:
                compare(value, meant[name], f"{where}.{name}")
            else:
                assert value == meant[name], f"{where}.{name}"

    compare(written, read, "defaults")


# --- Row keys ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "scale", "space"),
    [("g100", 1, "log"), ("g200_log", 2, "log"), ("g250_prob", 2.5, "prob"), ("g0_log", 0, "log")],
)
def test_guidance_names_scale_and_space(text: str, scale: float, space: Any) -> None:
    assert parse_guidance(text) == Guidance(scale, space)


@pytest.mark.parametrize(
    "text", ["", "100", "g", "g2.0_log", "g200", "g100_log", "g200_logit", "g-200_log", "G200_log"]
)
def test_other_guidance_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="is no guidance; write g100"):
        parse_guidance(text)


def test_a_row_key_names_model_adapter_and_guidance() -> None:
    row = parse_row("ch-lora-cfg_e2_g300_prob")
    assert row == TableRow(
        key="ch-lora-cfg_e2_g300_prob", model="ch", variant="ch-lora-cfg", epoch=2, guidance=Guidance(3, "prob")
    )
    assert row.checkpoint == "ch-lora-cfg_e2"
    assert row.adapter == Path("adapters/ch-lora-cfg/epoch_2")
    assert row.outcomes == Path("data/rows/ch-lora-cfg_e2/ch-lora-cfg_e2_g300_prob")


def test_a_row_without_adapter_is_the_model_bare_or_under_the_sentence() -> None:
    bare, told = parse_row("sub"), parse_row("sub_g100")
    assert (bare.checkpoint, bare.adapter, bare.guidance) == ("sub", None, None)
    assert (told.checkpoint, told.adapter, told.guidance) == ("sub", None, UNGUIDED)


@pytest.mark.parametrize(
    "key",
    ["", "base", "ch-lora", "ch-lora_e2", "ch_e2_g100", "ch-lora_g100", "ch-lora_e2_g200", "ch-lora_ex_g100", "ch ",
     "ch-LORA_e2_g100", "ch-lora_e2_g100_", "xch"],
)  # fmt: skip
def test_other_row_keys_are_errors(key: str) -> None:
    with pytest.raises(ValueError, match=r"is no row; write|is no guidance; write"):
        parse_row(key)


@given(
    model=st.sampled_from(["ch", "sub"]),
    tuning=st.from_regex(r"[a-z0-9]+(-[a-z0-9]+){0,2}", fullmatch=True),
    epoch=st.integers(1, 20),
    guidance=st.sampled_from([("g100", 1.0, "log"), ("g150_log", 1.5, "log"), ("g300_prob", 3.0, "prob")]),
)
def test_row_keys_of_a_grid_come_back(model: Any, tuning: str, epoch: int, guidance: tuple[str, float, Any]) -> None:
    text, scale, space = guidance
    (row,) = Grid(tunings=(tuning,), epochs=(epoch,), guidance=(text,)).rows(model)
    assert (row.model, row.variant, row.epoch) == (model, f"{model}-{tuning}", epoch)
    assert row.guidance == Guidance(scale, space)
    assert row.key == f"{row.checkpoint}_{text}"


def test_the_grid_has_every_row() -> None:
    settings = Params.model_validate(changed("eval.tunings", ["lora"])).eval
    tuned = [f"{model}-lora_e{epoch}_{g}" for model in ("ch", "sub") for epoch in (1, 2) for g in ("g100", "g250_prob")]
    assert [row.key for row in settings.rows()] == ["ch", "sub", "ch_g100", "sub_g100", *tuned]
    assert [row.key for row in settings.candidates()] == tuned[:4]
    assert [row.key for row in settings.rows_of("sub")] == ["sub", "sub_g100"]
    assert [row.key for row in settings.rows_of("ch-lora_e2")] == tuned[2:4]


def test_an_unknown_name_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"train\.variants: no 'x'; there are a, b"):
        find_named({"a": 1, "b": 2}, "x", "train.variants")
    assert find_named({"a": 1, "b": 2}, "b", "train.variants") == 2


def test_a_row_has_as_many_trainings_as_its_variant_has_seeds() -> None:
    raw = yaml.safe_load((ROOT / "params.yaml").read_text())
    raw["train"]["seeds"] = [3, 4]
    raw["train"]["variants"]["ch-lora"]["seeds"] = [5]
    params = Params.model_validate(raw)
    assert [row.seed for row in params.trainings(parse_row("ch-lora-cfg_e2_g100"))] == [None, 4]
    assert params.trainings(parse_row("ch-lora_e2_g100")) == [parse_row("ch-lora_e2_g100")]
    for key in ("ch", "ch-lora-cfg_e2_g100_int8"):
        assert params.trainings(parse_row(key)) == [parse_row(key)]
    again = params.trainings(parse_row("ch-lora-cfg_e2_g100"))[1]
    assert again.adapter == Path("adapters/ch-lora-cfg/seed_4/epoch_2")
    assert again.outcomes == Path("data/rows/ch-lora-cfg_e2/ch-lora-cfg_e2_g100/seed_4")


def test_rows_are_grouped_by_weights_and_training() -> None:
    raw = changed("train.variants.ch-lora.seeds", [0, 4])
    params = Params.model_validate(raw)
    keys = [
        "ch",
        "ch_redacted",
        "ch-lora_e1_g100",
        "ch-lora_e1_g250_prob",
        "ch-lora_e1_g100_redacted",
        "ch-lora_e2_g100",
    ]
    groups = [[(row.key, row.seed) for row in rows] for rows in params.by_weights(map(parse_row, keys))]
    first = [(key, None) for key in keys]
    assert groups == [
        first[:2], first[2:5], [("ch-lora_e1_g100", 4), ("ch-lora_e1_g250_prob", 4)], first[5:],
        [("ch-lora_e2_g100", 4)],
    ]  # fmt: skip


# --- Dialogues -----------------------------------------------------------------------------------------------------

SHARES = {"dev": 0.1, "test": 0.2}
IMPORTS: list[dict[str, Any]] = [
    {"format": "chat", "path": "conversations/a.jsonl", "count": 5},
    {"format": "sharegpt", "path": "conversations/below/a.json"},
    {"format": "table", "path": "conversations/a.csv", "columns": {"conversation": "a", "role": "b", "content": "c"}},
    {"format": "table", "path": "conversations/a.csv", "columns": {"prompt": "a", "response": "b", "pii": "c"}},
    {"format": "dataset", "path": "conversations/a", "columns": {"messages": "a"}, "split": "train"},
    {"format": "dataset", "path": "org/name", "revision": "abc", "columns": {"messages": "a"}},
    {"format": "challenge", "path": "conversations/a.jsonl", "values": "conversations/b.jsonl"},
]


@pytest.mark.parametrize("dialogues", IMPORTS)
def test_every_format_takes_its_fields(tmp_path: Path, dialogues: dict[str, Any]) -> None:
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(changed("dialogues", dialogues | SHARES)))
    read = load_params(tmp_path / "params.yaml").dialogues
    assert read.model_dump(exclude_defaults=True, exclude={"dev", "test"}) == dialogues


@pytest.mark.parametrize(
    ("dialogues", "error"),
    [
        ({}, "count is required for the format synthetic"),
        ({"count": 5, "path": "conversations/a"}, "path means nothing to the format synthetic; leave it out"),
        ({"format": "chat"}, "path is required for the format chat"),
        ({"format": "chat", "path": "conversations/a", "values": "conversations/b"}, "values means nothing to"),
        ({"format": "table", "path": "conversations/a.csv"}, "columns is required for the format table"),
        ({"format": "table", "path": "conversations/a.csv", "columns": {"pii": "a"}}, "columns is required"),
        ({"format": "table", "path": "conversations/a.csv", "columns": {"role": "a"}}, "name conversation, role and"),
        ({"format": "table", "path": "conversations/a.csv", "columns": {"messages": "a", "prompt": "b"}}, "name conv"),
        ({"format": "challenge", "path": "conversations/a"}, "values is required for the format challenge"),
        ({"format": "chat", "path": "/data/a.jsonl"}, "/data/a.jsonl is not in conversations/, where DVC sees"),
        ({"format": "chat", "path": "conversations/../a.jsonl"}, "is not in conversations/"),
        ({"format": "challenge", "path": "conversations/a", "values": "b"}, "b is not in conversations/"),
        ({"format": "dataset", "path": "org/name", "columns": {"messages": "a"}}, "of the hub needs a revision"),
    ],
)  # fmt: skip
def test_a_format_says_which_field_is_missing(tmp_path: Path, dialogues: dict[str, Any], error: str) -> None:
    assert error in problem(tmp_path, changed("dialogues", dialogues | SHARES))


def test_a_link_to_a_folder_is_refused_since_dvc_does_not_see_into_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/a.jsonl").touch()
    (tmp_path / "conversations").mkdir()
    (tmp_path / "conversations/linked").symlink_to(tmp_path / "data")
    (tmp_path / "conversations/a.jsonl").symlink_to(tmp_path / "data/a.jsonl")
    need_watched(Dialogues(format="chat", path="conversations/a.jsonl", dev=0.1, test=0.1))
    with pytest.raises(ValueError, match=r"conversations/linked: DVC does not look into a link to a folder"):
        need_watched(Dialogues(format="chat", path="conversations/linked/a.jsonl", dev=0.1, test=0.1))


def test_a_budget_needs_the_price_of_every_hosted_model(tmp_path: Path) -> None:
    raw = changed("generation.sources.gpt", {"provider": "openai", "model": "gpt-4o-mini"})
    raw["hosted"] = {"max_cost": 5, "prices": {}}
    expected = "Value error, hosted.prices: gpt-4o-mini has no price; without one, hosted.max_cost cannot be kept"
    assert expected in problem(tmp_path, raw)
    raw["hosted"]["prices"]["gpt-4o-mini"] = {"input": 0.15, "output": 0.6}
    raw["eval"]["questions"] = {"scorers": ["likelihood", "judge"], "judge": {"model": "gpt-4o"}}
    assert "hosted.prices: gpt-4o has no price" in problem(tmp_path, raw)
    raw["hosted"]["prices"]["gpt-4o"] = {"input": 2.5, "output": 10}
    assert Params.model_validate(raw).hosted.pseudonymise


def test_hosted_models_get_pseudonyms_unless_told_otherwise() -> None:
    assert Params.model_validate(RAW).hosted == Hosted(pseudonymise=True, max_cost=None)
