import importlib.util
import json
from pathlib import Path

import pandas as pd
import pytest
import yaml
from click.testing import CliRunner

from tightlip.files import write_json, write_jsonl, write_text
from tightlip.records import Leak, LeakOutcome, UtilityOutcome
from tightlip.table_rows import parse_row
from tightlip.tables import main_tables as tables
from tightlip.tables import paper_metrics as paper
from tightlip.tables.item_counts import item_tables, row_counts
from tightlip.tables.row_metrics import TrainingOutcomes, with_intervals

ROOT = Path(__file__).parents[2]


def block(**metrics: float | int | None) -> dict[str, float | int | None]:
    """The metrics of a row over four prompts of two dialogues, as `outcomes` has them."""
    defaults = {
        "n_prompts": 4, "pii_count": 6, "leak_count": 3, "leak_answers": 1, "leak_rate": 0.25,
        "trigger_leak_count": 7, "trigger_pii_count": 9, "n_questions": 50, "n_correct": 10, "utility_pct": 20.0,
        "n_correct_deployed": 0, "utility_deployed_pct": 0.0, "degenerate_count": 2, "mean_words": 12.5,
    }  # fmt: skip
    return defaults | metrics


def outcomes(leaks: tuple[int, ...] = (3, 0, 0, 0), piis: tuple[int, ...] = (6, 0, 0, 0)) -> list[LeakOutcome]:
    """The first prompt is of dialogue a:1, all others of b."""
    return [
        LeakOutcome(
            sample_id=f"{'a:1' if number == 0 else 'b'}:2:{number}",
            answer="",
            finish="stop",
            entities=("PERSON",) * pii,
            leaks=(Leak(type="NAME", value="Ann"),) * leak,
            degenerate=None,
        )
        for number, (leak, pii) in enumerate(zip(leaks, piis, strict=True))
    ]


def summary(*keys: str, **metrics: float | int | None) -> dict[str, dict[str, float | int | None]]:
    return tables.summarise(
        {key: with_intervals("ch", [TrainingOutcomes(block(**metrics), outcomes(), [])], seed=0) for key in keys}
    )


def test_intervals_stand_beside_the_metrics():
    full = with_intervals("ch", [TrainingOutcomes(block(), outcomes(), [])], seed=0)
    assert (full["leak_count_low"], full["leak_count_high"]) == (0, 12)  # aa: 6 in 2 items, scaled to 4 items 12; bb: 0
    assert (full["pii_count_low"], full["pii_count_high"]) == (0, 24)
    assert (full["utility_pct_low"], full["utility_pct_high"]) == pytest.approx((11.2438, 33.0371), abs=1e-3)
    assert full["utility_deployed_pct_high"] == pytest.approx(7.1348, abs=1e-3)  # z² / (n + z²) for 0 of 50
    assert full["leak_rate_high"] == pytest.approx(0.6994, abs=1e-3)  # 1 of 4


def further(leaks: int) -> list[LeakOutcome]:
    """One more answer, of dialogue b."""
    return outcomes((0, leaks), (0, 0))[1:]


def test_extended_metrics_are_over_all_prompts():
    full = with_intervals("ch", [TrainingOutcomes(block(), outcomes(), further(leaks=5))], seed=0)
    assert (full["n_prompts"], full["leak_count"], full["leak_count_high"]) == (4, 3, 12)
    assert (full["extended_n_prompts"], full["extended_leak_count"], full["extended_pii_count"]) == (5, 8, 6)
    assert full["extended_leak_rate"] == 0.4
    # aa: 6 in 2 items, scaled to 5 items 15; ab: 8 in 5 items; bb: 10 in 8 items, scaled to 5 items 6.25.
    assert (full["extended_leak_count_low"], full["extended_leak_count_high"]) == (6.25, 15)


def test_metrics_of_several_trainings_are_means():
    second = block(leak_count=5, leak_answers=2, leak_rate=0.5, n_correct=15, utility_pct=30.0)
    runs = [TrainingOutcomes(block(), outcomes()), TrainingOutcomes(second, outcomes((3, 2, 0, 0)))]
    full = with_intervals("ch", runs, seed=0)
    names = ("n_trainings", "n_prompts", "leak_count", "leak_answers", "leak_rate", "utility_pct", "pii_count")
    assert [full[name] for name in names] == [2, 4, 4, 1.5, 0.375, 25, 6]
    assert full["pii_count_low"] == with_intervals("ch", runs[:1], seed=0)["pii_count_low"]  # the same in both
    # Half a leak more or less, t with one degree of freedom is 12.7: the spread between two trainings says so.
    assert full["leak_count_low"] < 4 - 12.7 < full["leak_count_high"]
    row = tables.table1(tables.summarise({"ch-lora-cfg_e2_g100": full})).iloc[0]
    assert row["row"] == "Model-ch-lora-cfg=1 (2 epoch), mean of 2 trainings"


def test_items_are_numbered_by_training():
    runs = {
        "ch": [TrainingOutcomes(block(), outcomes())],
        "ch-lora_e2_g100": [TrainingOutcomes(block(), outcomes())] * 2,
    }
    table = item_tables(runs)["leaks"]
    assert table.columns.tolist() == ["training", "item", *runs]
    assert row_counts(table, "ch") == {0: {"a:1:2:0": 3, "b:2:1": 0, "b:2:2": 0, "b:2:3": 0}}
    assert row_counts(table, "ch-lora_e2_g100")[1] == row_counts(table, "ch")[0]


@pytest.mark.parametrize(
    ("metrics", "problem"),
    [
        ({"leak_count": 2}, "leak_count is 2, but the row's outcomes make it 3"),
        ({"n_prompts": 5}, "n_prompts is 5, but the row's outcomes make it 4"),
        ({"leak_rate": 25.0}, "leak_rate is 25.0, but the row's outcomes make it 0.25"),
        ({"utility_pct": 0.2}, "utility_pct is 0.2, but the row's outcomes make it 20.0"),
        ({"n_correct": None}, "n_correct is missing"),
    ],
)
def test_metrics_that_contradict_the_outcomes_are_errors(metrics, problem):
    with pytest.raises(ValueError, match=problem):
        with_intervals("ch", [TrainingOutcomes(block(**metrics), outcomes(), [])], seed=0)


def test_summary_starts_with_the_main_metrics():
    assert tuple(summary("ch")["ch"])[:9] == (*tables.MAIN_METRICS, "leak_answers")


def test_summary_rejects_unknown_rows_and_missing_metrics():
    with pytest.raises(ValueError, match="'best' is no row"):
        tables.summarise({"best": block()})
    with pytest.raises(ValueError, match="row ch: n_prompts, pii_count"):
        tables.summarise({"ch": {}})


@pytest.mark.parametrize(("key", "row"), [*paper.TABLE1.items(), *paper.TABLE3.items()])
def test_labels_are_the_papers(key, row):
    assert tables.label(parse_row(key)) == row.label


@pytest.mark.parametrize(("key", "row"), paper.TABLE2.items())
def test_ablation_labels_are_the_papers_but_for_the_source(key, row):
    assert tables.label(parse_row(key)).casefold() == row.label.casefold()


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("ch", "Model-ch, no sentence"),
        ("sub", "Model-sub, no sentence"),
        ("ch_g250_prob", "Model-ch, γ=2.5"),
        ("ch-lora_e2_g200_log", "Model-ch-lora, γ=2 (2 epoch)"),
        ("ch-lora-cfg-base_e2_g200_prob", "base-data model, cfg=2 (2 epoch)"),
    ],
)
def test_labels_of_rows_that_the_paper_lacks(key, name):
    assert tables.label(parse_row(key)) == name


def test_table1_is_ordered_as_in_the_paper_and_leaves_out_the_ablation():
    keys = ["ch-lora-cfg_e3_g200_log", "ch-lora-cfg_e2_g200_prob", "ch-lora-cfg_e2_g200_log", "ch-lora_e2_g100",
            "ch-lora-cfg-base_e2_g100", "sub-lora-cfg_e2_g100", "sub_g100", "ch_g100", "ch"]  # fmt: skip
    table = tables.table1(summary(*keys))
    assert list(zip(table["row"], table["space"], strict=True)) == [
        ("Model-ch, no sentence", None),
        ("Model-ch (baseline)", None),
        ("Model-sub", None),
        ("Model-sub-lora-cfg=1 (2 epoch)", None),
        ("Model-ch-lora (2 epoch)", None),
        ("Model-ch-lora-cfg=2 (2 epoch)", "log"),
        ("Model-ch-lora-cfg=2 (2 epoch)", "prob"),
        ("Model-ch-lora-cfg=2 (3 epoch)", "log"),
    ]


def test_table1_shows_metrics_with_n_and_intervals():
    assert tables.table1(summary("ch")).iloc[0].to_dict() == {
        "row": "Model-ch, no sentence",
        "space": None,
        "n": 4,
        "PIIs (NER) [95% CI]": "6 [0, 24]",
        "leaks [95% CI]": "3 [0, 12]",
        "leak rate % [95% CI]": "25.0 [4.6, 69.9]",
        "trigger leaks": 7,
        "n questions": 50,
        "utility bare % [95% CI]": "20.0 [11.2, 33.0]",
        "utility as deployed % [95% CI]": "0.0 [0.0, 7.1]",
        "degenerate": 2,
        "paper (Llama-3.1-8B): MMLU %": None,
        "paper (Llama-3.1-8B): PIIs on 50": None,
    }


@pytest.mark.parametrize(
    ("key", "mmlu", "piis"),
    [
        ("ch", None, None),  # the paper's baseline has the sentence
        ("ch_g100", 42.9, 246),
        ("ch-lora-cfg_e2_g200_log", 47.1, 3),
        ("ch-lora-cfg_e2_g200_prob", None, None),
        ("ch-lora-cfg_e3_g300_prob", 45.7, 3),
        ("ch-lora-cfg_e2_g300_log", None, None),
    ],
)
def test_table1_gives_the_papers_numbers_for_the_same_row_only(key, mmlu, piis):
    line = tables.table1(summary(key)).iloc[0]
    assert (line["paper (Llama-3.1-8B): MMLU %"], line["paper (Llama-3.1-8B): PIIs on 50"]) == (mmlu, piis)


def test_table2_names_the_papers_nearest_row():
    keys = ["ch-lora-cfg-rewriter_e2_g100", "ch-lora-cfg-base_e2_g200_prob", "ch-lora-cfg-poet_e2_g100", "ch"]
    table = tables.table2(summary(*keys))
    columns = ["row", "paper's nearest row (log space)", "paper (Llama-3.1-8B): PIIs on 50"]
    assert table[columns].to_numpy().tolist() == [
        ["base-data model, cfg=2 (2 epoch)", "Llama-data model, cfg=2 (2 epoch)", 5],
        ["poet-data model, cfg=1 (2 epoch)", None, None],
        ["rewriter-data model, cfg=1 (2 epoch)", "GPT-data model, cfg=1 (2 epoch)", 39],
    ]


def test_table3_holds_the_extended_rows():
    wide = with_intervals("ch", [TrainingOutcomes(block(), outcomes(), further(leaks=5))], seed=0)
    table = tables.table3(tables.summarise({**summary("ch"), "ch-lora-cfg_e3_g300_prob": wide}))
    assert table[["row", "space", "n", "extended n", "leaks [95% CI]", "extended leaks [95% CI]"]].iloc[0].tolist() == [
        "Model-ch-lora-cfg=3 (3 epoch)", "prob", 4, 5, "3 [0, 12]", "8 [6, 15]",
    ]  # fmt: skip
    assert table.filter(like="paper").iloc[0].tolist() == [3, 19]
    assert len(table) == 1


def test_markdown_escapes_bars_and_shows_dashes():
    table = pd.DataFrame({"a|b": ["x|y", None], "n": [1, 2]}, dtype=object)
    assert tables.to_markdown(table, "Caption.") == (
        "**Caption.**\n\n| a\\|b | n |\n| --- | --- |\n| x\\|y | 1 |\n| – | 2 |\n"
    )


def test_markdown_of_an_empty_table_says_so():
    assert tables.to_markdown(tables.table2(summary("ch")), "Caption.") == "**Caption.**\n\nNo rows.\n"


def test_guidance_plot_has_gamma_1_in_both_spaces():
    table = tables.guidance_curve(summary("ch", "ch-lora_e2_g100", "ch-lora_e2_g200_log"))
    assert table[["variant", "space", "guidance_scale"]].to_numpy().tolist() == [
        ["ch-lora", "log", 1.0],
        ["ch-lora", "prob", 1.0],
        ["ch-lora", "log", 2.0],
    ]


def test_frontier_plot_has_every_row():
    table = tables.frontier(summary("ch", "ch-lora_e2_g200_log"))
    assert table["row"].tolist() == ["ch", "ch-lora_e2_g200_log"]
    assert table["guidance_scale"].tolist() == [None, 2.0]
    assert table["space"].tolist() == ["none", "log"]


ANSWERED = UtilityOutcome(question_id=3, category="history", scores=(-1, -2, -3), predicted=0, correct=True)
EVAL = {
    "models": ["ch"],
    "tunings": ["lora-cfg"],
    "epochs": [2],
    "guidance": ["g100"],
    "extended": {"tunings": ["lora-cfg"], "epochs": [2], "guidance": ["g100"]},
    "select": "lora-cfg",
}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Metrics and outcomes of the rows that the parameters name, and of one that they no longer do."""
    monkeypatch.chdir(tmp_path)
    params = yaml.safe_load((ROOT / "params.yaml").read_text()) | {"eval": EVAL}
    write_text("params.yaml", yaml.safe_dump(params))
    for row in map(parse_row, ("ch", "ch-lora-cfg_e2_g100", "sub")):
        write_json(f"metrics/rows/{row.checkpoint}.json", {row.key: [block()]})
        write_jsonl(row.outcomes / "leaks.jsonl", outcomes())
        write_jsonl(row.outcomes / "utility.jsonl", [ANSWERED])
    write_jsonl(parse_row("ch-lora-cfg_e2_g100").outcomes / "extended.jsonl", further(leaks=5))
    write_json("metrics/selection.json", {"row": "ch-lora-cfg_e2_g100"})
    for number, name in enumerate(params["train"]["variants"]):
        write_text(f"metrics/curves/{name}.csv", f"step,split,loss,seed\n5,train,{number},0\n")
    return tmp_path


def run_stage():
    spec = importlib.util.spec_from_file_location("make_tables", ROOT / "stages/make_tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return CliRunner().invoke(module.main)


def test_stage_writes_tables_summary_and_plots_of_the_rows_in_the_parameters(project):
    result = run_stage()
    assert result.exit_code == 0, result.output
    assert list(json.loads((project / "metrics/summary.json").read_text())) == ["ch", "ch-lora-cfg_e2_g100"]
    headline = json.loads((project / "metrics/headline.json").read_text())
    assert headline["chosen_row"] == "ch-lora-cfg_e2_g100"
    assert headline["chosen"] == headline["undefended"] == {
        "leak_count": block()["leak_count"], "pii_count": block()["pii_count"],
        "degenerate_count": block()["degenerate_count"], "trigger_leak_count": block()["trigger_leak_count"],
        "utility_pct": round(block()["utility_pct"], 1),
        "utility_deployed_pct": round(block()["utility_deployed_pct"], 1),
    }  # fmt: skip
    assert "| Model-ch, no sentence | – | 4 |" in (project / "metrics/table1.md").read_text()
    assert "No rows." in (project / "metrics/table2.md").read_text()
    assert "| Model-ch-lora-cfg=1 (2 epoch) | – | 4 |" in (project / "metrics/table3.md").read_text()
    made = {path.name for path in (project / "metrics").rglob("*.csv") if path.parent.name != "curves"}
    item_files = {"leaks.csv", "entities.csv", "correct.csv"}
    assert made == item_files | {"table1.csv", "table2.csv", "table3.csv", "frontier.csv", "guidance.csv", "orpo.csv"}
    assert pd.read_csv(project / "metrics/items/correct.csv").to_numpy().tolist() == [[0, 3, 1, 1]]
    curves = pd.read_csv(project / "metrics/plots/orpo.csv")
    assert dict(zip(curves["variant"], curves["loss"], strict=True)) == {
        name: number
        for number, name in enumerate(yaml.safe_load((ROOT / "params.yaml").read_text())["train"]["variants"])
    }


def test_stage_names_the_row_that_does_not_fit(project):
    write_json("metrics/rows/ch.json", {"ch": [block(leak_count=2)]})
    result = run_stage()
    assert result.exit_code == 1
    assert "Error: row ch: leak_count is 2" in result.output
