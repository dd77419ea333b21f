"""The questions that usefulness is measured with: MMLU-Pro, or any set in its schema."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tightlip.files import explain, read_jsonl
from tightlip.params import Questions
from tightlip.records import Question

BUNDLED = Path(__file__).with_name("questions")


def load_questions(settings: Questions, split: str) -> list[Question]:
    """Load a split of a question set.

    Args:
        settings: which set (`eval.questions`).
        split: its name; from the hub also a slice such as `test[:140]`.

    Raises:
        ValueError: no such file or split, or a row that is no question.
    """
    source, name = settings.source, settings.name
    if source == "bundled":
        return read_jsonl(BUNDLED / f"{split}.jsonl", Question)
    path = Path(name.replace("{split}", split))
    if source == "path" and path.suffix != ".parquet":
        return read_jsonl(path, Question)
    place = str(path) if source == "path" else f"{name}, split {split}"
    try:
        rows = list(_parquet(path) if source == "path" else _hub(name, settings.revision, split))
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"eval.questions: cannot read {place}: {reason}; correct name, revision and splits") from None
    return [_question(row, f"{place}, row {number}") for number, row in enumerate(rows, 1)]


def _parquet(path: Path) -> Iterator[dict[str, Any]]:
    from pyarrow import parquet

    yield from parquet.read_table(path).to_pylist()


def _hub(name: str, revision: str | None, split: str) -> Iterator[dict[str, Any]]:
    from datasets import load_dataset

    yield from load_dataset(name, revision=revision, split=split)


def _question(row: dict[str, Any], place: str) -> Question:
    try:
        return Question.model_validate({name: value for name, value in row.items() if name in Question.model_fields})
    except ValidationError as error:
        raise ValueError(f"{place}: {explain(error)}; expected a question in MMLU-Pro's schema") from None
