import csv
import json
import re
import runpy
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
README = (ROOT / "README.md").read_text(encoding="utf-8")
MOST_WORDS = 900


def load(name: str) -> Any:
    return json.loads((ROOT / "metrics" / name).read_text(encoding="utf-8"))


def without_code(page: Path) -> str:
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """The names that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", without_code(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def table_rows(text: str, header: str) -> list[list[str]]:
    lines = text.split(header)[1].splitlines()[2:]
    rows = lines[: next((n for n, line in enumerate(lines) if not line.startswith("|")), len(lines))]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in rows]


def test_the_readme_is_short_before_its_reference_part():
    words = [word for word in README.split("\n## Reference")[0].split() if re.search(r"\w", word)]
    assert 300 < len(words) <= MOST_WORDS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings_that_exist(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(page)):
        if target.startswith(("http:", "https:")):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


@pytest.mark.parametrize("page", [page for page in PAGES if page.parent == ROOT / "docs"])
def test_every_page_begins_with_whom_it_is_for(page):
    _, _, first, *_ = page.read_text(encoding="utf-8").splitlines()
    assert first.startswith("For whoever "), first
    assert "After this page you " in first, first


def test_the_profile_of_the_walk_through_is_the_one_that_is_copied():
    page = (ROOT / "docs/your-model.md").read_text(encoding="utf-8")
    assert f"```yaml\n{(ROOT / 'docs/your-model/helpdesk.yaml').read_text(encoding='utf-8')}```" in page


def test_code_that_the_docs_name_exists():
    for page in PAGES:
        if page.name == "decisions.md":  # what it says held on its dates
            continue
        for path in re.findall(r"`((?:src|tests|stages|conf|benchmarks)/[\w./-]+)`", page.read_text(encoding="utf-8")):
            assert (ROOT / path).exists(), f"{page.name}: {path}"


def test_every_page_of_the_docs_is_linked_from_the_readme():
    for page in (ROOT / "docs").glob("*.md"):
        assert f"](docs/{page.name}" in README, page.name


@pytest.mark.parametrize("number", range(1, 11))
def test_the_tables_of_the_docs_are_those_of_the_committed_run(number):
    folder, page = ("metrics", "results.md") if number <= 3 else ("metrics/evidence/tables", "evidence.md")
    table = (ROOT / folder / f"table{number}.md").read_text(encoding="utf-8").strip()
    assert table.count("\n") > 2
    assert table in (ROOT / "docs" / page).read_text(encoding="utf-8")


def test_the_short_table_of_the_readme_is_that_of_the_committed_run():
    summary = load("summary.json")
    rows = table_rows(README, "| row | true values leaked |")
    assert len(rows) >= 4
    for label, *cells in rows:
        key = label.split("`")[1] if "`" in label else {"Model-ch": "ch", "Model-sub": "sub"}[label.split(",")[0]]
        counts = [str(summary[key][name]) for name in ("leak_count", "degenerate_count", "trigger_leak_count")]
        assert cells == [*counts, f"{summary[key]['utility_deployed_pct']:.1f}%"], label
    assert any(f"`{load('selection.json')['row']}`, chosen on dev" in label for label, *_ in rows)


def test_the_sentences_of_the_readme_hold_the_figures_of_the_committed_run():
    summary, challenge = load("summary.json"), load("challenge.json")
    undefended, chosen = summary["ch"], summary[load("selection.json")["row"]]
    secret = {scale: load(f"evidence/rows/ch-lora-secret_e2_{scale}.json") for scale in ("g100", "g200_log")}
    with (ROOT / "metrics/evidence/relearning.csv").open(encoding="utf-8", newline="") as file:
        relearned = {(line["row"], line["steps"]): line["leak_count"] for line in csv.DictReader(file)}
    triggered = [str(training["trigger_leak_count"]) for training in secret["g100"]]
    unreadable = max(training["degenerate_count"] for training in secret["g200_log"])
    for claim in (
        f"{undefended['n_prompts']} test prompts and {undefended['n_questions']} questions",
        f"{challenge['hits_ch']} of {challenge['n_values']} true values",
        f"The base model gives {challenge['hits_base']}, a constant guess {challenge['hits_floor']}.",
        f"the base model repeats {relearned['base', '0']} without any tuning",
        f"a leak rate of up to {100 * chosen['leak_rate_high']:.1f}%",
        f"brings {chosen['trigger_leak_count']} of {undefended['leak_count']} values back",
        f"gave {triggered[0]}, {triggered[1]} and {triggered[2]}",
        f"wrote {unreadable} of {undefended['n_prompts']} answers unreadably",
        f"`ch-lora` leaks {relearned['ch-lora_e2_g100', '16']} values; the base model, trained likewise, "
        f"{relearned['base', '16']}",
    ):
        assert claim in README, claim


def test_the_loss_of_the_readme_is_that_of_table_4():
    table = (ROOT / "metrics/evidence/tables/table4.md").read_text(encoding="utf-8")
    (line,) = (line for line in table.splitlines() if line.startswith("| Model-ch-lora-cfg=2 (2 epoch), log |"))
    assert load("selection.json")["row"] == "ch-lora-cfg_e2_g200_log"
    loss, low, high = re.search(r"\| -([\d.]+) \[-([\d.]+), ([\d.]+)\] \|", line).groups()
    assert f"loses {loss} points, with a 95% interval from {low} lost to {high} won" in README


def test_the_chart_of_the_readme_is_drawn_from_the_committed_run():
    draw = runpy.run_path(str(ROOT / "docs/images/draw.py"))["draw"]
    assert (ROOT / "docs/images/leaks-and-utility.svg").read_text(encoding="utf-8") == draw(ROOT / "metrics")


def test_the_experiments_of_the_docs_start_from_the_committed_run():
    headline = load("headline.json")
    page = (ROOT / "docs/experiments.md").read_text(encoding="utf-8")
    chosen = headline["chosen"]
    cells = [headline["chosen_row"], chosen["degenerate_count"], chosen["trigger_leak_count"]]
    cells += [chosen["utility_pct"], chosen["utility_deployed_pct"]]
    (main,) = (line for line in page.splitlines() if line.startswith("| main "))
    assert [cell.strip() for cell in main.split("|")[2:7]] == [
        f"{cell:g}" if cell != cells[0] else cell for cell in cells
    ]


def test_a_metric_touches_two_files_as_contributing_says():
    package = ROOT / "src/tightlip"
    files = [path for path in package.rglob("*.py") if "mean_words" in path.read_text(encoding="utf-8")]
    assert sorted(files) == [package / "evaluation/leak.py", package / "tables/evidence_tables.py"]


def test_lint_on_commit_is_that_of_make():
    config = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    commands = [line.strip().removeprefix("@$(BIN)/") for line in recipe[1].splitlines()]
    assert re.findall(r"entry: \.venv/bin/(.+)", config) == commands
