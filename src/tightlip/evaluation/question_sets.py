"""The questions that usefulness is measured with."""

from pathlib import Path
from typing import Literal

from tightlip.files import read_jsonl
from tightlip.records import Question

BUNDLED = Path(__file__).with_name("questions")


def load_questions(name: str, split: Literal["validation", "test"]) -> list[Question]:
    """Load a split of the bundled questions (`bundled`) or of a directory of `<split>.jsonl` in MMLU-Pro's schema."""
    return read_jsonl((BUNDLED if name == "bundled" else Path(name)) / f"{split}.jsonl", Question)
