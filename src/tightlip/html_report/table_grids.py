"""Tables as the report shows them: values apart from their intervals, two rows marked."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from tightlip.html_report.verdict import UNDEFENDED
from tightlip.tables import evidence_tables as evidence
from tightlip.tables.formatting import MISSING, split_interval

_CAPTION = re.compile(r"(Table \d+\. [^.:]+)[.:] (.+)")  # its title, `Table 5. Attacks`, and the rest
_WORD_COLUMNS = ("row", "space", "attack", "type", "no loss", "paper's nearest", "variant")


class Column(NamedTuple):
    """Head of a column: its title, the name of its cells' intervals, and whether it holds words."""

    title: str
    interval: str
    words: bool


class GridCell(NamedTuple):
    """A cell: its text without the interval, and the interval, empty if there is none."""

    text: str
    interval: str

    @property
    def share(self) -> float | None:
        """The cell's percentage as a share; None if it is no number with an interval."""
        return float(self.text) / 100 if self.interval else None


class Grid(NamedTuple):
    """A table to show.

    Attributes:
        id: anchor.
        title: number and subject.
        caption: what it shows.
        columns: heads.
        rows: CSS class of each row (or nothing) and its cells.
        heat: whether cells are coloured by their share.
    """

    id: str
    title: str
    caption: str
    columns: list[Column]
    rows: list[tuple[str, list[GridCell]]]
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
    """Read a table to show, with the undefended and the chosen row marked."""
    table = read_csv(path, dtype=str, keep_default_na=False)
    marks = {evidence.name(chosen): "chosen", evidence.name(UNDEFENDED): "undefended"}
    return frame_grid(name, caption, table, marks)


def frame_grid(name: str, caption: str, table: pd.DataFrame, marks: Mapping[str, str] | None = None) -> Grid:
    """Split a table into heads and cells."""
    heads = [split_interval(str(title)) for title in table.columns]
    columns = [Column(*head, head[0].startswith(_WORD_COLUMNS)) for head in heads]
    rows = []
    for line in table.to_dict(orient="records"):
        space = f", {line['space']}" if line.get("space") else ""
        mark = (marks or {}).get(f"{line.get('row')}{space}", "")
        rows.append((mark, [_cell(str(cell)) for cell in line.values()]))
    match = _CAPTION.fullmatch(caption)
    title, rest = match.groups() if match else (caption, "")
    return Grid(name, title, rest[:1].upper() + rest[1:], columns, rows)


def _cell(text: str) -> GridCell:
    value, interval = split_interval(text)
    return GridCell(value or MISSING, interval)
