import json
import re
import shutil
import subprocess

import pytest
import yaml
from click.testing import CliRunner
from compared_project import (
    AFTER,
    BEFORE,
    LEAKY,
    PROMPTS,
    SAFE,
    commit,
    git,
    make_repository,
    metrics,
    read,
    write_items,
    write_project,
)

from tightlip.cli import main
from tightlip.comparison.compare import compare
from tightlip.comparison.gates import check_gates, parse_gate
from tightlip.comparison.revisions import load_revisions
from tightlip.files import write_json, write_text
from tightlip.tracking.links import row_keys


def run(*arguments):
    return CliRunner().invoke(main, ["compare", *arguments], env={"COLUMNS": "120"})


@pytest.fixture
def project(tmp_path, monkeypatch):
    root = tmp_path / "project"
    root.mkdir()
    make_repository(root)
    monkeypatch.chdir(root)
    return root


def compared(project, *names, rows=(), every=False):
    return compare(load_revisions(project, names), rows, every)


def cells(project, *names, **options):
    """Metrics of the last revision's chosen row."""
    return compared(project, *names, **options).rows[0].lines[-1]


# --- Revisions -----------------------------------------------------------------------------------------------------


def test_a_revision_an_experiment_and_the_workspace_are_read(project):
    write_json("metrics/selection.json", {"row": LEAKY})
    base = git(project, "rev-parse", "before")
    found = load_revisions(project, ["before", "bolder", "workspace", base[:8]])
    assert [each.commit for each in found] == [base, git(project, "for-each-ref", "--format=%(objectname)",
                                                         "refs/exps"), None, base]  # fmt: skip
    assert [each.chosen for each in found] == [SAFE, SAFE, LEAKY, SAFE]
    assert [each.params["train.orpo.beta"] for each in found] == [0.5, 0.25, 0.5, 0.5]


def test_a_project_below_the_root_of_the_repository_is_read(tmp_path):
    folder = tmp_path / "models/privacy"
    folder.mkdir(parents=True)
    git(tmp_path, "init", "-qb", "main")
    write_project(folder, BEFORE)
    commit(tmp_path)
    assert [each.chosen for each in load_revisions(folder, ["main", "workspace"])] == [SAFE, SAFE]


def test_an_unknown_name_is_named_with_the_remedy(project):
    result = run("before", "gamma-9")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: gamma-9: unknown Git revision 'gamma-9'; `dvc exp show` lists")


def test_a_name_twice_is_refused(project):
    assert "before: named twice" in run("before", "before").stderr


@pytest.mark.parametrize("path", ["metrics/items/leaks.csv", "metrics/summary.json", "dvc.lock", "params.yaml"])
def test_a_revision_without_a_file_is_named(project, path):
    git(project, "rm", "-q", path)
    git(project, "commit", "-qm", "x")
    result = run("before", "main")
    assert result.stderr == f"Error: main: has no {path}; run it again with the present version\n"
    assert run("before", "workspace").stderr == f"Error: workspace: has no {path}; run `dvc repro`\n"


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("metrics/summary.json", "{"), ("metrics/summary.json", "[1]"), ("metrics/summary.json", '{"ch": {"n": "x"}}'),
        ("metrics/selection.json", "{}"), ("params.yaml", "- a"), ("dvc.lock", "a: ["), ("dvc.lock", "schema: '2.0'"),
        ("metrics/items/correct.csv", ""), ("metrics/items/correct.csv", "a,b\n1,2\n"),
    ],
)  # fmt: skip
def test_a_broken_file_is_named(project, path, content):
    write_text(path, content)
    result = run("before", "workspace")
    assert result.stderr == f"Error: workspace: {path} is broken; run `dvc repro` in that revision\n"


def test_outside_of_a_repository_or_project_it_says_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "no dvc.yaml here" in run("a", "b").stderr
    write_text("dvc.yaml", "")
    assert "not in a git repository" in run("a", "b").stderr


# --- Differences ---------------------------------------------------------------------------------------------------


def test_differences_are_those_derived_by_hand(project):
    """12 prompts of 12 dialogues lose 2 leaks each; 4 of 8 questions are answered rightly that were not.

    Flipping signs of 12 equal differences reaches their sum in 2 of 2¹² ways, of 4 equal ones in 2 of 2⁴.
    """
    found = cells(project, "before", "bolder")
    assert found["leak_count"][:7] == (0, None, None, -24, True, -24, -24)
    assert found["leak_count"].p == pytest.approx(2 / 4096)
    assert found["leak_rate"].delta == found["leak_rate"].delta_low == -1
    assert found["utility_deployed_pct"].delta == 50
    assert found["utility_deployed_pct"].p == pytest.approx(2 / 16)
    low, high = found["utility_deployed_pct"].delta_low, found["utility_deployed_pct"].delta_high
    assert low < 50 < high


def test_p_values_are_adjusted_over_all_that_differs(project):
    """Three tests: 3 · 2/4096, at least as much for the next, and 1/8 once."""
    comparison = compared(project, "before", "bolder")
    found = comparison.rows[0].lines[1]
    assert comparison.tests == 3
    assert found["leak_count"].p_adjusted == found["leak_rate"].p_adjusted == pytest.approx(6 / 4096)
    assert found["utility_deployed_pct"].p_adjusted == pytest.approx(1 / 8)
    assert [cell.verdict for cell in found.values()] == ["better", "better", None, None, None, None, None]
    assert compared(project, "bolder", "before").rows[0].lines[1]["leak_count"].verdict == "worse"


def test_prompts_of_one_dialogue_go_together(project):
    """12 prompts of 6 dialogues: 2 of 2⁶ ways reach their sum."""
    ids = [f"d{number // 2}:0:{number}" for number in range(12)]
    write_items(project, "leaks", {key: dict(zip(ids, row[0], strict=True)) for key, row in BEFORE.items()})
    commit(project)
    write_project(project, AFTER)
    write_items(project, "leaks", {key: dict(zip(ids, row[0], strict=True)) for key, row in AFTER.items()})
    assert cells(project, "main", "workspace")["leak_count"].p == pytest.approx(2 / 64)


def test_what_no_item_shows_has_a_difference_alone(project):
    found = cells(project, "before", "bolder")
    assert found["utility_pct"].delta == 50
    assert (found["utility_pct"].paired, found["utility_pct"].delta_low, found["utility_pct"].p) == (False, None, None)


def test_equal_items_are_paired_but_no_test(project):
    found = cells(project, "before", "bolder")["pii_count"]
    assert (found.delta, found.paired, found.delta_low, found.p) == (0, True, None, None)


def test_equal_metrics_of_other_prompts_are_not_called_the_same(project):
    write_project(project, BEFORE, prompts="p2")
    lines = [line.split() for line in run("before", "workspace").stdout.splitlines()]
    assert ["+0", "+0.000", "+0", "same", "same", "same", "same"] in lines


def test_items_that_differ_show_although_their_sums_are_equal(project):
    """One leak from the first prompt to the second: the sum is 0 and both signs of both reach it, so p = 1."""
    moved = {**BEFORE, LEAKY: ([0, 2] + [1] * 10, [1] * 8)}
    write_project(project, moved)
    comparison = compared(project, "before", "workspace")
    assert [block.subject.name for block in comparison.rows] == ["chosen", LEAKY]
    cell = comparison.rows[1].lines[1]["leak_count"]
    assert (cell.delta, cell.p, cell.verdict) == (0, 1, None)
    assert cell.delta_low < 0 < cell.delta_high


def test_rows_are_compared_over_the_mean_of_their_trainings(project):
    """Two trainings with 0 and 1 leaks a prompt, against 2 before: −24 and −12 over 12 prompts, a mean of −18.

    The sums lie 12 apart: their standard error is 6, and Student's t with one degree of freedom 12.706.
    """
    rows = {**BEFORE, SAFE: ([0] * 12, [1] * 4 + [0] * 4)}
    write_project(project, rows)
    lines = (project / "metrics/items/leaks.csv").read_text().splitlines()
    second = [line.replace("0,", "1,", 1).rsplit(",", 1)[0] + ",1" for line in lines[1:]]
    write_text("metrics/items/leaks.csv", "\n".join([*lines, *second]) + "\n")
    summary = read(project, "metrics/summary.json")
    summary[SAFE] |= {"leak_count": 6, "leak_rate": 0.5}
    write_json("metrics/summary.json", summary)
    found = cells(project, "before", "workspace")
    assert found["leak_count"].delta == -18
    assert found["leak_count"].delta_low == pytest.approx(-18 - 6 * 12.706, abs=0.01)
    assert found["leak_rate"].delta == -0.5


def test_further_prompts_of_table_3_do_not_count(project):
    """Only the first three prompts are those of every row; the nine others come from a row's further prompts."""
    few = {LEAKY: ([1] * 3, [1] * 8), SAFE: ([0] * 3, [1] * 8)}
    write_project(project, few)
    write_items(project, "leaks", {SAFE: dict.fromkeys(PROMPTS, 0), LEAKY: dict.fromkeys(PROMPTS[:3], 1)})
    commit(project)
    write_project(project, {**few, SAFE: ([1] * 3, [1] * 8)})
    write_items(project, "leaks", {SAFE: dict.fromkeys(PROMPTS, 1), LEAKY: dict.fromkeys(PROMPTS[:3], 1)})
    found = cells(project, "main", "workspace")["leak_count"]
    assert (found.delta, found.delta_low, found.delta_high) == (3, 3, 3)
    assert found.p == pytest.approx(2 / 8)


@pytest.mark.parametrize("others", [PROMPTS, ["e0:0:0", "e1:0:0", "e2:0:0"]])
def test_without_knowing_which_prompts_count_there_is_no_pairing(project, others):
    """The row has 12 prompts, its metrics are over three, and no other row has three of the 12."""
    write_project(project, {LEAKY: ([1] * 3, [1] * 8), SAFE: ([0] * 3, [1] * 8)})
    write_items(project, "leaks", {SAFE: dict.fromkeys(PROMPTS, 0), LEAKY: dict.fromkeys(others, 1)})
    commit(project)
    write_json("metrics/selection.json", {"row": SAFE, "again": True})
    cell = cells(project, "main", "workspace")["leak_count"]
    assert (cell.delta, cell.paired) == (0, False)
    assert "workspace, main: it is not known which prompts the metrics are over" in run("main", "workspace").stdout


def test_items_that_do_not_add_up_are_an_error(project):
    write_items(project, "leaks", {key: dict.fromkeys(PROMPTS, 5) for key in BEFORE})
    assert "metrics/items/leaks.csv does not add up to leak_count of row" in run("before", "workspace").stderr


def test_a_row_without_items_is_an_error(project):
    write_items(project, "leaks", {LEAKY: dict.fromkeys(PROMPTS, 1)})
    assert f"metrics/items/leaks.csv has no row {SAFE}" in run("before", "workspace").stderr


@pytest.mark.parametrize("change", ["prompts", "ids"])
def test_other_prompts_are_not_paired_and_it_says_so(project, change):
    if change == "prompts":
        write_project(project, AFTER, prompts="p2")
    else:
        write_project(project, {key: (leaks[:11], correct) for key, (leaks, correct) in AFTER.items()})
    found = cells(project, "before", "workspace")
    assert found["leak_count"].delta == -24
    assert (found["leak_count"].paired, found["leak_count"].p) == (False, None)
    assert found["utility_deployed_pct"].paired
    assert "workspace was tested on other prompts than before: differences without interval" in run(
        "before", "workspace"
    ).stdout.replace("\n", " ").replace("  ", " ")


def test_other_questions_under_the_same_numbers_are_not_paired(project):
    write_project(project, AFTER)
    write_text("src/tightlip/evaluation/questions/test.jsonl", "{}")
    found = cells(project, "before", "workspace")
    assert (found["utility_deployed_pct"].paired, found["leak_count"].paired) == (False, True)


# --- Rows ----------------------------------------------------------------------------------------------------------


def test_rows_that_differ_and_the_chosen_ones_are_shown(project):
    comparison = compared(project, "before", "bolder")
    assert [block.subject.title for block in comparison.rows] == [f"{SAFE}, chosen on dev"]
    assert comparison.hidden == (LEAKY,)
    everything = compared(project, "before", "bolder", every=True)
    assert [block.subject.name for block in everything.rows] == ["chosen", LEAKY]
    assert (everything.hidden, everything.tests) == ((), comparison.tests)


def test_other_chosen_rows_are_compared_with_each_other(project):
    """From the safe row with 24 leaks to the other with 12."""
    write_project(project, BEFORE, chosen=LEAKY)
    comparison = compared(project, "before", "workspace")
    assert comparison.rows[0].subject.keys == (SAFE, LEAKY)
    assert comparison.rows[0].lines[1]["leak_count"].delta == -12
    assert comparison.hidden == (LEAKY, SAFE)


def test_what_is_both_a_row_and_the_chosen_one_is_tested_once(project):
    write_project(project, BEFORE, chosen=LEAKY)
    comparison = compared(project, "before", "bolder", "workspace")
    assert [block.subject.name for block in comparison.rows] == ["chosen", SAFE]
    assert comparison.tests == 3 + 2  # leaks, rate and usefulness of the row; leaks and usefulness of the other choice


def test_a_new_row_stands_alone(project):
    new = "ch-lora_e1_g150_prob"
    write_project(project, {**BEFORE, new: AFTER[SAFE]})
    block = compared(project, "before", "workspace").rows[1]
    assert block.subject.keys == (None, new)
    assert [line["leak_count"].value for line in block.lines] == [None, 0]
    assert block.lines[1]["leak_count"].delta is None


def test_named_rows_alone_are_shown(project):
    comparison = compared(project, "before", "bolder", rows=[LEAKY, "chosen"])
    assert [block.subject.name for block in comparison.rows] == [LEAKY, "chosen"]
    assert (
        "best: no such row in any of the revisions; there are ch_g100, ch-lora"
        in run("before", "bolder", "--row", "best").stderr
    )


# --- What changed --------------------------------------------------------------------------------------------------


def test_changed_parameters_and_inputs_are_listed(project):
    write_project(project, AFTER, beta=0.25, adapter="a2", code="c2")
    (project / "params.yaml").write_text(yaml.safe_dump({"train": {"orpo": {"beta": 0.25}}, "new": None}))
    comparison = compared(project, "before", "bolder", "workspace")
    assert comparison.params == (
        ("eval.epochs", {"before": [1], "bolder": [1]}),
        ("train.orpo.beta", {"before": 0.5, "bolder": 0.25, "workspace": 0.25}),
        ("new", {"workspace": None}),
    )
    assert comparison.inputs == (
        ("adapters/ch-lora", {"before": "a1", "bolder": "a2", "workspace": "a2"}),
        ("adapters/ch-lora/epoch_1", {"before": "a1", "bolder": "a2", "workspace": "a2"}),
        ("src/code.py", {"before": "c1", "bolder": "c1", "workspace": "c2"}),
    )
    out = run("before", "bolder", "workspace").stdout
    assert "train.orpo.beta: 0.5 → 0.25 → 0.25" in out
    assert "new: – → – → null" in out
    assert "bolder: changed: adapters/ch-lora\n" in re.sub(r" +\n", "\n", out)
    assert "workspace: changed: adapters/ch-lora, src/code.py" in out


# --- Gates ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gate", "value", "passed"),
    [
        ("leak_rate<=0.05", 0, True), ("leak_count < 0", 0, False), ("leak_count<=0", 0, True),
        ("utility_pct>=100", 100, True), ("utility_pct>100", 100, False), ("n_prompts>=13", 12, False),
        ("utility_pct>=-2", 50, True), ("utility_pct>=+50", 50, True), ("utility_pct>+50", 50, False),
        ("leak_count<=-25", -24, False), ("leak_rate_high<=0.3", 0.25, True), ("leak_rate_high<=0.2", 0.25, False),
        ("pii_count<=-0", 0, True), ("leak_count_high<=100", None, False), ("leak_count_high<=+100", -24, True),
        ("pii_count_high<=+0", 0, True), ("utility_pct_low>=-5", None, False),
    ],
)  # fmt: skip
def test_a_gate_without_sign_is_on_the_metric_and_with_a_sign_on_the_difference(project, gate, value, passed):
    (outcome,) = check_gates([parse_gate(gate)], compared(project, "before", "bolder"))
    assert (outcome.value, outcome.passed) == (value, passed)


@pytest.mark.parametrize("text", ["leak_rate", "leak_rate=0.1", "leak_rate<=", "<=1", "leak_rate<=nan", "a<=1<=2", ""])
def test_a_malformed_gate_is_wrong_usage(project, text):
    result = run("before", "bolder", "--gate", text)
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"Error: {text!r} is no gate; write" in result.stderr


def test_a_gate_on_an_unknown_metric_is_wrong_usage(project):
    result = run("before", "bolder", "--gate", "leaks<=1")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Error: leaks<=1: no metric leaks; there are n_prompts, " in result.stderr


def test_gates_that_pass_exit_with_0(project):
    result = run("before", "bolder", "--gate", "leak_rate<=0.05", "--gate", "utility_pct>=-2")
    assert result.exit_code == 0, result.output
    assert f"passed: leak_rate<=0.05 (bolder, {SAFE}: 0)" in result.stdout
    assert f"passed: utility_pct>=-2 (bolder, {SAFE}: +50)" in result.stdout


def test_gates_that_fail_exit_with_1_and_say_which(project):
    result = run("bolder", "before", "workspace", "--gate", "leak_rate<=0.05", "--gate", "n_prompts>=1")
    assert result.exit_code == 1
    assert result.stderr == (
        f"Error: 2 of 4 gates: FAILED: leak_rate<=0.05 (before, {SAFE}: 1); "
        f"FAILED: leak_rate<=0.05 (workspace, {SAFE}: 1)\n"
    )


def test_gates_apply_to_the_rows_that_the_user_names(project):
    assert run("before", "bolder", "--gate", "leak_rate<=0.05", "--row", LEAKY).exit_code == 1
    assert run("before", "bolder", "--gate", "leak_rate<=0.05", "--row", "chosen").exit_code == 0


@pytest.mark.parametrize("value", ["NaN", "Infinity", "null"])
def test_what_is_no_number_passes_no_gate(project, value):
    summary = json.dumps(read(project, "metrics/summary.json") | {SAFE: metrics(AFTER[SAFE])})
    write_text("metrics/summary.json", summary.replace('"trigger_leak_count": 3', f'"trigger_leak_count": {value}'))
    write_items(project, "leaks", {LEAKY: dict.fromkeys(PROMPTS, 1), SAFE: dict.fromkeys(PROMPTS, 0)})
    write_items(project, "correct", {key: {str(n): 1 for n in range(1, 9)} for key in BEFORE})
    for gate in ("trigger_leak_count<=99", "trigger_leak_count>=-99"):
        result = run("before", "workspace", "--gate", gate)
        assert result.exit_code == 1
        assert f"{gate} (workspace, {SAFE}: no such metric)" in result.stderr


def test_a_chosen_row_without_metrics_passes_no_gate(project):
    write_project(project, BEFORE, chosen="ch-lora_e2_g100")
    result = run("before", "workspace", "--gate", "leak_rate<=1")
    assert result.exit_code == 1
    assert "no such metric" in result.stderr


# --- Usage and forms -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [[], ["main"]])
def test_one_revision_is_wrong_usage(names):
    result = run(*names)
    assert result.exit_code == 2
    assert "Error: name two revisions or more, the reference first" in result.stderr


def test_two_forms_are_wrong_usage(project):
    result = run("before", "bolder", "--md", "--html")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--md and --html exclude each other" in result.stderr


def test_the_terminal_shows_value_difference_interval_and_mark(project):
    out = run("before", "bolder").stdout
    lines = [line.split() for line in out.splitlines()]
    assert ["before", "24", "1.000", "0", "3", "0", "50.0", "50.0"] in lines
    assert ["bolder", "0", "0.000", "0", "3", "0", "100.0", "100.0"] in lines
    deltas = next(line for line in lines if line[:1] == ["-24"])
    assert deltas == ["-24", "*better", "-1.000", "*better", "same", "same", "same", "+50.0", "+50.0"]
    assert "1 row with the same metrics everywhere is not shown; --all shows it" in out


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_table_is_wider_than_the_terminal(project, width):
    write_project(project, BEFORE, chosen=LEAKY)
    result = CliRunner().invoke(main, ["compare", "before", "bolder", "workspace"], env={"COLUMNS": str(width)})
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= width
    assert result.stdout.count("deployed_pct") == 2  # of two blocks, however many tables


def test_markdown_is_one_table_with_escaped_names(project):
    git(project, "branch", "a|b", "before")
    out = run("a|b", "bolder", "--md", "--gate", "leak_count<=3").stdout
    assert out.startswith("## bolder against a\\|b\n")
    rows = [line for line in out.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + 2
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {10}
    assert r"0<br>-24 \*better<br>\[-24, -24\]" in rows[3]
    assert r"- passed: leak\_count\<=3 (bolder, ch-lora\_e1\_g100: 0)" in out


def test_json_says_everything(project):
    result = run("before", "bolder", "--json", "--gate", "leak_count<=3", "--gate", "leak_count_high<=3")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert [each["name"] for each in found["revisions"]] == ["before", "bolder"]
    (row,) = found["rows"]
    assert row["subject"] == "chosen"
    assert row["lines"][1]["row"] == SAFE
    assert row["lines"][1]["mlflow"] is None
    cell = row["lines"][1]["metrics"]["leak_count"]
    assert (cell["value"], cell["delta"], cell["verdict"]) == (0, -24, "better")
    assert found["same_rows"] == [LEAKY]
    assert found["changed_params"] == [{"name": "train.orpo.beta", "values": {"before": 0.5, "bolder": 0.25}}]
    assert [(each["value"], each["passed"]) for each in found["gates"]] == [(0, True), (None, False)]


def test_the_page_escapes_what_it_shows_and_needs_no_network(project):
    git(project, "branch", "<script>alert(1)</script>&x", "before")
    write_project(project, AFTER)
    (project / "params.yaml").write_text(yaml.safe_dump({"note": "<img src=x>"}))
    page = run("<script>alert(1)</script>&x", "workspace", "--html", "--gate", "leak_rate<=0.05").stdout
    assert page.startswith("<!DOCTYPE html>")
    assert not re.search(r"<script|<img|<link|https?://|url\(", page)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&amp;x" in page
    assert "default-src 'none'" in page
    assert "prefers-color-scheme: dark" in page
    assert '<small class="better">-24 *better</small><small>[-24, -24]</small>' in page


def test_runs_in_mlflow_are_linked_in_every_form(project, monkeypatch):
    (bolder,) = load_revisions(project, ["bolder"])
    (key,) = row_keys(bolder.stages, SAFE, bolder.summary[SAFE])
    monkeypatch.setattr("tightlip.comparison.command.run_urls", lambda root: {key: "http://127.0.0.1:5000/#/r"})
    assert f"bolder, {SAFE}: http://127.0.0.1:5000/#/r\n" in run("before", "bolder").stdout
    assert "| [bolder](http://127.0.0.1:5000/#/r) |" in run("before", "bolder", "--md").stdout
    assert (
        '<a href="http://127.0.0.1:5000/#/r" title="Run in MLflow">bolder</a>'
        in run("before", "bolder", "--html").stdout
    )
    lines = json.loads(run("before", "bolder", "--json").stdout)["rows"][0]["lines"]
    assert [line["mlflow"] for line in lines] == [None, "http://127.0.0.1:5000/#/r"]


def test_help_teaches_with_an_example():
    result = run("--help")
    assert result.exit_code == 0
    assert "  tightlip compare main gamma-1.5\n" in result.output


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
@pytest.mark.parametrize("width", [1280, 500])
def test_the_page_fits_its_window(project, width, tmp_path):
    git(project, "branch", "a-long-name-of-a-revision-" * 4, "before")
    page = run("a-long-name-of-a-revision-" * 4, "bolder", "--html", "--gate", "leak_rate_high<=0.1").stdout
    script = "<script>document.title = document.documentElement.scrollWidth + ' of ' + innerWidth</script></body>"
    policy = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')  # it forbids the script
    (tmp_path / "page.html").write_text(policy.sub("", page).replace("</body>", script))
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
        f"--user-data-dir={tmp_path}/profile", f"--window-size={width},900", "--dump-dom", f"file://{tmp_path}/page.html",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert f"<title>{width} of {width}</title>" in done.stdout
