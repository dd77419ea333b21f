from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("table", ["table1", "table2", "table3"])
def test_the_tables_of_the_readme_are_those_of_the_last_run(table: str) -> None:
    figures = (ROOT / f"metrics/{table}.md").read_text(encoding="utf-8").strip()
    assert figures.count("\n") > 2
    assert figures in (ROOT / "README.md").read_text(encoding="utf-8")
