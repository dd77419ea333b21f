"""`tightlip data check`: what a file of dialogues holds, what becomes of it, and all that stands against it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tightlip.dialogues.importers.importing import Shares, import_dialogues, read_conversations
from tightlip.dialogues.importers.messages import MESSAGES
from tightlip.dialogues.importers.reading import need_file, read_items
from tightlip.dialogues.importers.source import Problem
from tightlip.dialogues.synthesis import synthesise
from tightlip.dialogues.tally import SPLITS, Tally
from tightlip.files import explain
from tightlip.params import Dialogues, need_watched
from tightlip.pii.spans import FindSpans

MOST = 1000
"""Problems that are listed."""


class Checked(NamedTuple):
    """What was found.

    Attributes:
        problems: the first of them.
        more: how many there are beyond these.
    """

    tally: Tally
    problems: list[Problem]
    more: int


def source_settings(params: Dialogues, file: str | None, changes: Mapping[str, Any]) -> tuple[Dialogues, str]:
    """Return what is to be checked, and where its format comes from.

    Args:
        params: what params.yaml names.
        file: another file; None for that of params.yaml.
        changes: fields that are given beside it, `format` among them or not.

    Raises:
        ValueError: a field is missing for the format, or the format cannot be guessed.
    """
    given = {name: value for name, value in changes.items() if value}
    if file is None:
        if given:
            raise ValueError(f"{min(given)}: name the FILE too, or set it in params.yaml")
        need_watched(params)
        return params, "as params.yaml says"
    format_ = given.get("format") or ("dataset" if "revision" in given else guess(Path(file)))
    fields = {"format": format_, "path": file, "dev": params.dev, "test": params.test}
    try:
        return Dialogues.model_validate(fields | given), "as you say" if "format" in given else "guessed"
    except ValidationError as error:
        problem = explain(error).removeprefix("row: ").replace("Value error, ", "")
        raise ValueError(f"{file}: {problem}; see `tightlip data check --help`") from None


def pairs(columns: Sequence[str]) -> dict[str, str]:
    """Read `role=who`, as the command line has it.

    Raises:
        ValueError: no such pair.
    """
    for column in columns:
        if not all(column.partition("=")):
            raise ValueError(f"--column {column}: expected KIND=NAME, such as role=who")
    return {kind: name for kind, _, name in (column.partition("=") for column in columns)}


def guess(path: Path) -> str:
    """Guess the format by what kind of file it is and by its first record."""
    if path.is_dir():
        return "dataset"
    if path.suffix in (".csv", ".tsv", ".parquet"):
        return "table"
    need_file(path)
    first = next((record for _, _, record in read_items(path) if isinstance(record, dict)), {})
    for name, field in MESSAGES.items():
        if isinstance(first.get(field), list):
            return name
    if isinstance(first.get("messages"), str):
        return "challenge"
    raise ValueError(f"{path}: no format fits the first record; name it with --format")


def check(source: Dialogues, seed: int, detect: FindSpans) -> Checked:
    """Read all dialogues and count; problems are collected, not raised.

    Args:
        source: what to read.
        seed: decides the split.
        detect: proposes the personal values where the source does not give them.

    Raises:
        ValueError: there is no file, or no detector where one is needed.
    """
    tally, problems, more = Tally(), list[Problem](), 0
    if source.format == "synthetic":
        for dialogue in synthesise(source.count or 0, source.dev, source.test, seed):
            tally.add(dialogue)
        return Checked(tally, [], 0)
    conversations = read_conversations(
        source.format, source.path, source.values, source.revision, source.split, source.columns.named
    )
    for each in import_dialogues(
        conversations, source.path, Shares(source.dev, source.test, seed), source.count, detect
    ):
        tally.repairs.update(each.repairs)
        if each.dialogue:
            tally.add(each.dialogue)
        room = MOST - len(problems)
        problems += each.problems[:room]
        more += len(each.problems[room:])
    if tally.empty:
        problems.append(Problem(source.path, "", tally.empty))
    return Checked(tally, problems, more)


def show(checked: Checked, source: Dialogues, origin: str, spacy_model: str, console: Console) -> None:
    """Print what was found; no value, no text of a message."""
    tally = checked.tally
    name = source.path or "synthetic dialogues"
    console.print(Text.assemble((name, "bold"), f": format {source.format} ({origin})"))
    table = Table("", *SPLITS, "all", box=None)
    for title, counts in (("dialogues", tally.dialogues), ("samples to expect", tally.samples)):
        table.add_row(title, *(f"{counts[split]:,}" for split in SPLITS), f"{counts.total():,}")
    table.add_row("turns", "", "", "", f"{tally.turns:,}")
    console.print(table)
    console.print(f"Personal values: given for {tally.truths['given']:,} dialogues", end="")
    console.print(
        f", proposed for {tally.truths['proposed']:,} by detectors ({spacy_model} and patterns): leaks of these are "
        "judged against what detectors found"
        if tally.truths["proposed"]
        else ""
    )
    _counts("personal values by type", tally.values, console)
    _counts("repairs", tally.repairs, console)
    for problem in checked.problems:
        console.print(Text(str(problem), style="red"), soft_wrap=True)
    if checked.more:
        console.print(f"… and {checked.more:,} problems more")


def _counts(title: str, counts: Mapping[str, int], console: Console) -> None:
    table = Table(title, "count", box=None)
    for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        table.add_row(Text(name), f"{count:,}")
    if counts:
        console.print(table)
