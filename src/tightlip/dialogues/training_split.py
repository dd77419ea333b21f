"""The training dialogues, one in memory at a time."""

from collections.abc import Iterator

from tightlip.files import stream_jsonl
from tightlip.records import Dialogue


def training_dialogues() -> Iterator[Dialogue]:
    """Yield the dialogues of the train split in the order of `data/dialogues.jsonl`."""
    return (row for row in stream_jsonl("data/dialogues.jsonl", Dialogue) if row.split == "train")
