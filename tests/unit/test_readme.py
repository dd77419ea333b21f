import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("number", range(1, 11))
def test_the_tables_of_the_docs_are_those_of_the_last_run(number: int) -> None:
    folder, page = ("metrics", "README.md") if number <= 3 else ("metrics/evidence/tables", "docs/evidence.md")
    figures = (ROOT / folder / f"table{number}.md").read_text(encoding="utf-8").strip()
    assert figures.count("\n") > 2
    assert figures in (ROOT / page).read_text(encoding="utf-8")


def test_the_short_table_of_the_readme_is_taken_from_the_last_run() -> None:
    summary = json.loads((ROOT / "metrics/summary.json").read_text(encoding="utf-8"))
    columns = ["leak_count", "pii_count", "degenerate_count", "trigger_leak_count"]
    shares = ["utility_pct", "utility_deployed_pct"]
    short = README.split("## Results")[1].split("<details>")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in short.splitlines() if line[:1] == "|"][2:]
    assert len(rows) >= 5
    for label, *figures in rows:
        key = label.split("`")[1] if "`" in label else {"Model-ch": "ch", "Model-sub": "sub"}[label.split(",")[0]]
        of = summary[key]
        assert figures == [str(of[name]) for name in columns] + [f"{of[name]:.1f}%" for name in shares], label
    chosen = json.loads((ROOT / "metrics/selection.json").read_text(encoding="utf-8"))["row"]
    assert any(f"`{chosen}`, chosen on dev" in label for label, *_ in rows)
