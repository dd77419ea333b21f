"""Tables and datasets: CSV, parquet and Hugging Face's; one row per turn, or one per dialogue."""

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from tightlip.dialogues.importers.messages import conversation
from tightlip.dialogues.importers.reading import LIMIT, REST, need_file, parse_json, read_lines
from tightlip.dialogues.importers.source import Cell, Conversation, Problem, RawTurn

_BATCH = 64  # rows of a parquet file at a time


class Row(NamedTuple):
    """A row with its place and number, from 1."""

    place: str
    number: int
    cells: Mapping[str, Any]

    def cell(self, column: str) -> Cell:
        """Return a cell; an empty one is None."""
        value = self.cells.get(column)
        return Cell(self.place, column, None if value == "" else value)


Rows = Iterator[Row | Problem]


def read_table(path: Path, columns: Mapping[str, str]) -> Iterator[Conversation | Problem]:
    """Read a CSV (`.csv`, `.tsv`) or parquet file.

    Args:
        path: of the file.
        columns: names of the columns by what they hold (`params.Columns`).
    """
    need_file(path)
    rows = _parquet(path, list(columns.values())) if path.suffix == ".parquet" else _csv(path)
    return _conversations(rows, columns)


def read_dataset(
    name: str, revision: str | None, split: str, columns: Mapping[str, str]
) -> Iterator[Conversation | Problem]:
    """Read a dataset of the hub, or one in a folder: what `save_to_disk` wrote, or files that `datasets` can read.

    Args:
        name: id of the hub, or the folder.
        revision: commit; makes the name one of the hub.
        split: name of the split; empty for `train`, or for a folder without splits.
        columns: as for `read_table`.
    """
    return _conversations(_dataset(name, revision, split, list(columns.values())), columns)


def _csv(path: Path) -> Rows:
    problems: list[Problem] = []
    before = csv.field_size_limit(LIMIT)
    reader = csv.reader(_text(path, problems), delimiter="\t" if path.suffix == ".tsv" else ",", strict=True)
    try:
        header = next(reader, [])
        if len(set(header)) < len(header):
            yield Problem(f"{path}:1", "", "two columns have the same name")
            return
        line = reader.line_num + 1
        for row in reader:
            place, number, line = f"{path}:{line}", line, reader.line_num + 1
            if len(row) == len(header):
                yield Row(place, number, dict(zip(header, row, strict=True)))
            elif row:
                yield Problem(place, "", f"{len(row)} columns, where the header has {len(header)}")
    except csv.Error:
        problems = problems or [Problem(f"{path}:{reader.line_num}", "", f"not CSV, or a quote is left open{REST}")]
    finally:
        csv.field_size_limit(before)
    yield from problems


def _text(path: Path, problems: list[Problem]) -> Iterator[str]:
    """Give the lines of a file up to the first that cannot be read."""
    for _, line in read_lines(path):
        if isinstance(line, Problem):
            problems.append(line._replace(text=line.text + REST))
            return
        yield line


def _parquet(path: Path, columns: list[str]) -> Rows:
    from pyarrow import ArrowException, parquet

    number = 0
    try:
        with parquet.ParquetFile(path, buffer_size=2**20, pre_buffer=False) as file:
            missing = _missing(path, file.schema_arrow.names, columns)
            if missing:
                yield missing
                return
            batches = file.iter_batches(batch_size=_BATCH, columns=columns, use_threads=False)
            rows = (row for batch in batches for row in batch.to_pylist())
            for row in tqdm(rows, path.name, file.metadata.num_rows, unit="row", delay=2, disable=None):
                number += 1
                yield Row(f"{path}, row {number}", number, row)
    except (ArrowException, OSError, UnicodeDecodeError) as error:
        yield Problem(f"{path}, row {number + 1}", "", f"not to be read as parquet ({type(error).__name__})")


def _missing(place: object, there: list[str], needed: list[str]) -> Problem | None:
    missing = [column for column in needed if column not in there]
    return Problem(str(place), missing[0], "no such column; correct dialogues.columns") if missing else None


def _dataset(name: str, revision: str | None, split: str, columns: list[str]) -> Rows:
    try:
        rows = _open(name, revision, split)
    except Exception as error:  # of `datasets`, of each of its file formats, of the network: there is no common one
        reason = (str(error).splitlines() or [""])[0]
        yield Problem(name, "", f"no such dataset or split: {reason}; correct path, revision and split")
        return
    if rows.column_names:
        if missing := _missing(name, rows.column_names, columns):
            yield missing
            return
        rows = rows.select_columns(list(dict.fromkeys(columns)))
    number = 0
    try:
        for row in tqdm(rows, name, unit="row", delay=2, disable=None):
            number += 1
            yield Row(f"{name}, row {number}", number, row)
    except Exception as error:
        yield Problem(f"{name}, row {number + 1}", "", f"cannot be read ({type(error).__name__}){REST}")


def _open(name: str, revision: str | None, split: str) -> Any:
    """Open a dataset without loading it."""
    from datasets import DatasetDict, load_dataset, load_from_disk

    path = Path(name)
    if revision is None and not path.is_dir():
        raise ValueError("no such folder")
    if revision is not None or not any((path / file).is_file() for file in ("state.json", "dataset_dict.json")):
        return load_dataset(name, revision=revision, split=split or "train", streaming=True)
    saved = load_from_disk(name)
    if isinstance(saved, DatasetDict):
        return saved[split or "train"]
    if split:
        raise ValueError("it has no splits")
    return saved


def _conversations(rows: Rows, columns: Mapping[str, str]) -> Iterator[Conversation | Problem]:
    if "conversation" in columns:
        yield from _grouped(rows, columns)
        return
    read = _from_messages if "messages" in columns else _from_exchange
    for row in _checked(rows, columns):
        yield row if isinstance(row, Problem) else read(row, columns)


def _checked(rows: Rows, columns: Mapping[str, str]) -> Rows:
    """Pass the rows on if the first has all columns."""
    for index, row in enumerate(rows):
        if (
            not index
            and isinstance(row, Row)
            and (missing := _missing(row.place, list(row.cells), [*columns.values()]))
        ):
            yield missing
            return
        yield row


def _from_messages(row: Row, columns: Mapping[str, str]) -> Conversation | Problem:
    messages = row.cell(columns["messages"])
    if isinstance(messages.value, str):
        parsed = parse_json(messages.value, row.place, messages.field)
        if isinstance(parsed, Problem):
            return parsed
        messages = messages._replace(value=parsed)
    pii = row.cell(columns["pii"]) if "pii" in columns else Cell(row.place, "pii", None)
    return conversation(row.number, messages, pii)


def _from_exchange(row: Row, columns: Mapping[str, str]) -> Conversation | Problem:
    turns = [
        RawTurn(Cell(row.place, columns[name], role), row.cell(columns[name]))
        for name, role in (("prompt", "user"), ("response", "assistant"))
    ]
    return Conversation(row.place, row.number, turns, _pii([row], columns))


def _pii(rows: list[Row], columns: Mapping[str, str]) -> list[Cell] | None:
    cells = [row.cell(columns["pii"]) for row in rows] if "pii" in columns else []
    return [cell for cell in cells if cell.value is not None] or None


def _grouped(rows: Rows, columns: Mapping[str, str]) -> Iterator[Conversation | Problem]:
    """Join the rows of a conversation; earlier ones leave their hashes alone, by which one that returns is noticed."""
    group: list[Row] = []
    seen: set[int] = set()
    size = 0
    for row in _checked(rows, columns):
        if isinstance(row, Problem):
            yield row
            continue
        name = row.cell(columns["conversation"])
        if name.value is None:
            yield name.problem("empty; every row must say to which conversation it belongs")
            continue
        if group and str(name.value) != str(group[0].cells[name.field]):
            yield _from_rows(group, columns)
            group, size = [], 0
        size += sum(len(str(value)) for value in row.cells.values())
        if size > LIMIT:
            yield name.problem(f"the conversation is longer than {LIMIT // 2**20} MB{REST}")
            return
        if not group and hash(str(name.value)) in seen:
            yield name.problem("the conversation was there before; sort the rows by conversation")
        seen.add(hash(str(name.value)))
        group.append(row)
    if group:
        yield _from_rows(group, columns)


def _from_rows(rows: list[Row], columns: Mapping[str, str]) -> Conversation:
    turns = [RawTurn(row.cell(columns["role"]), row.cell(columns["content"])) for row in rows]
    return Conversation(rows[0].place, rows[0].number, turns, _pii(rows, columns))
