"""Tables as the page shows them: figures apart from their intervals, two rows marked."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from tightlip.html_report.verdict import UNDEFENDED
from tightlip.tables import evidence_tables as evidence

# What comes before the first stop or colon of a caption: `Table 5. Attacks`.
_TITLE = re.compile(r"(Table \d+\. [^.:]+)[.:] (.+)")

# Columns that are aligned left, by their beginnings.
_TEXTS = ("row", "space", "attack", "type", "no loss", "paper's nearest", "variant")


class Column(NamedTuple):
    """Head of a column: its title, what its figures carry beside them, and whether it holds words."""

    title: str
    beside: str
    words: bool


class Grid(NamedTuple):
    """A table to show.

    Attributes:
        id: anchor.
        title: number and subject.
        caption: what it shows.
        columns: heads.
        rows: class of each row and its cells; a cell is a figure and its interval (or nothing).
        shares: the cells' shares from 0 to 1 in a heat table, else None.
    """

    id: str
    title: str
    caption: str
    columns: list[Column]
    rows: list[tuple[str, list[tuple[str, str]]]]
    heat: bool = False


def read_csv(path: Path, **options: Any) -> pd.DataFrame:
    """Read a table.

    Raises:
        ValueError: there is none, with the remedy.
    """
    remedy = "make evidence" if "evidence" in path.parts else "dvc repro"
    if not path.is_file():
        raise ValueError(f"{path}: no such file; run `{remedy}` to make it")
    try:
        table: pd.DataFrame = pd.read_csv(path, **options)
    except pd.errors.EmptyDataError:  # a table without rows
        return pd.DataFrame()
    return table


def grid(name: str, path: Path, caption: str, chosen: str) -> Grid:
    """Read a table to show, its undefended and its chosen row marked."""
    table = read_csv(path, dtype=str, keep_default_na=False)
    marks = {evidence.name(chosen): "chosen", evidence.name(UNDEFENDED): "undefended"}
    return frame_grid(name, caption, table, marks)


def frame_grid(name: str, caption: str, table: pd.DataFrame, marks: Mapping[str, str] | None = None) -> Grid:
    """Cut a table into heads and cells."""
    heads = [_cell(str(title)) for title in table.columns]
    columns = [Column(*head, head[0].startswith(_TEXTS)) for head in heads]
    rows = []
    for line in table.to_dict(orient="records"):
        space = f", {line['space']}" if line.get("space") else ""
        mark = (marks or {}).get(f"{line.get('row')}{space}", "")
        rows.append((mark, [_cell(str(cell)) for cell in line.values()]))
    found = _TITLE.fullmatch(caption)
    title, rest = found.groups() if found else (caption, "")
    return Grid(name, title, rest[:1].upper() + rest[1:], columns, rows)


def _cell(text: str) -> tuple[str, str]:
    figure, bracket, interval = text.partition(" [")
    return (figure or "–", bracket.strip() + interval)
