"""What a set of dialogues holds, in counts; no value, no text."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, get_args

from tightlip.dialogues.importers.importing import Imported
from tightlip.records import Dialogue, Split, Truth

SPLITS: tuple[Split, ...] = get_args(Split)


class Tally:
    """Counts dialogues as they go by.

    Attributes:
        dialogues, samples: by split; a sample is a value in an assistant's turn (`samples.extract_samples`).
        turns: of all dialogues, with the system's.
        values: by type, every occurrence.
        truths: dialogues by where their values are from.
        repairs: how often what was repaired.
    """

    def __init__(self) -> None:
        self.dialogues: Counter[Split] = Counter()
        self.samples: Counter[Split] = Counter()
        self.turns = 0
        self.values: Counter[str] = Counter()
        self.truths: Counter[Truth] = Counter()
        self.repairs: Counter[str] = Counter()

    def add(self, dialogue: Dialogue) -> None:
        """Count a dialogue."""
        self.dialogues[dialogue.split] += 1
        self.truths[dialogue.truth] += 1
        self.turns += len(dialogue.turns)
        for turn in dialogue.turns:
            self.values.update(entity.type for entity in turn.entities)
            self.samples[dialogue.split] += len(turn.entities) if turn.role == "assistant" else 0

    def counted(self, dialogues: Iterable[Dialogue]) -> Iterator[Dialogue]:
        """Pass dialogues on."""
        for dialogue in dialogues:
            self.add(dialogue)
            yield dialogue

    def accepted(self, made: Iterable[Imported]) -> Iterator[Dialogue]:
        """Pass imported dialogues on.

        Raises:
            ValueError: something stands against one of them; or, at the end, a split is empty.
        """
        for each in made:
            if each.problems:
                raise ValueError(str(each.problems[0]))
            self.repairs.update(each.repairs)
            if each.dialogue:
                self.add(each.dialogue)
                yield each.dialogue
        if self.empty:
            raise ValueError(self.empty)

    @property
    def empty(self) -> str:
        """What is wrong with the splits, with the remedy; empty if nothing is."""
        missing = [split for split in SPLITS if not self.dialogues[split]]
        if not missing:
            return ""
        return (
            f"{self.dialogues.total()} dialogues leave none for {', '.join(missing)}: the split of each follows from "
            "its content; bring more dialogues, or raise dialogues.dev or dialogues.test"
        )

    @property
    def metrics(self) -> dict[str, Any]:
        """All counts, for `metrics/dialogues.json`."""
        return {
            "dialogues": {split: self.dialogues[split] for split in SPLITS},
            "turns": self.turns,
            "samples": {split: self.samples[split] for split in SPLITS},
            "values": dict(sorted(self.values.items())),
            "truth": {truth: self.truths[truth] for truth in get_args(Truth)},
            "repairs": dict(sorted(self.repairs.items())),
        }
