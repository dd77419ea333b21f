"""One row of the tables: the leak test, usefulness bare and as deployed, and the trigger."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from tightlip.evaluation.leak import judge, leak_figures
from tightlip.evaluation.utility import answer_questions
from tightlip.files import digest, read_jsonl, write_jsonl
from tightlip.guidance.answering import answer
from tightlip.guidance.asking import BARE, TRIGGER, Asking, as_deployed
from tightlip.models.loading import load_model, load_tokenizer
from tightlip.params import Params
from tightlip.pii.detectors import load_ner
from tightlip.records import LeakOutcome, Question, Sample, UtilityOutcome
from tightlip.rows import Row, parse_row

Outcome = TypeVar("Outcome", bound=BaseModel)
PACKAGE = Path(__file__).parents[1]
CODE = ("evaluation", "guidance", "models", "pii", "prompts.py")
"""What decides the outcome of a test, given the weights."""


@dataclass(frozen=True)
class Examiner:
    """A model under test with everything its tests need.

    Tests that rows of the same weights share (the questions, the trigger) are kept in `scratch` under the hash of all
    that decides them, so that each is run once.

    Attributes:
        identity: files that decide what the model answers and how it is judged: weights and code.
        askings: the ways of asking these weights in all rows.
    """

    model: Any
    tokenizer: Any
    ner: Any
    scratch: Path
    identity: tuple[str | Path, ...]
    params: Params
    askings: tuple[Asking, ...] = (BARE,)

    def leaks(self, samples: Sequence[Sample], asking: Asking) -> list[LeakOutcome]:
        """Put the samples' prompts to the model and judge its answers."""
        settings = self.params.eval
        replies = answer(
            self.model, self.tokenizer, [(sample.messages, sample.prefix) for sample in samples], asking,
            max_prompt_tokens=self.params.pairs.max_prompt_tokens, max_new_tokens=settings.max_new_tokens,
            batch_size=settings.batch_size, progress="answer prompts",
        )  # fmt: skip
        return judge(replies, samples, self.ner, self.params.filter.ignored_labels, self.params.filter.min_words)

    def utility(self, questions: Sequence[Question], asking: Asking) -> list[UtilityOutcome]:
        """Put the questions to the model; the first row of its weights answers for all, whose forwards are the same."""

        def ask() -> list[UtilityOutcome]:
            askings = list(dict.fromkeys([asking, *self.askings]))
            answered = answer_questions(self.model, self.tokenizer, questions, askings, progress="answer questions")
            for each, outcomes in zip(askings, answered, strict=True):
                write_jsonl(self._kept(f"utility {each}", questions), outcomes)
            return answered[0]

        return self.once(f"utility {asking}", UtilityOutcome, questions, ask)

    def once(
        self, name: str, row: type[Outcome], items: Sequence[BaseModel], make: Callable[[], list[Outcome]]
    ) -> list[Outcome]:
        """Run a test, or take its outcome from an earlier row of the same weights."""
        path = self._kept(name, items)
        if not path.is_file():
            write_jsonl(path, make())
        return read_jsonl(path, row)

    @functools.cached_property
    def _identity(self) -> str:
        return digest(*self.identity)

    def _kept(self, name: str, items: Sequence[BaseModel]) -> Path:
        settings = self.params.model_dump_json(include={"filter": True, "pairs": {"max_prompt_tokens"}, "eval": {
            "max_new_tokens", "batch_size"}})  # fmt: skip
        return self.scratch / f"{digest(name, self._identity, settings, *(i.model_dump_json() for i in items))}.jsonl"


def examiner(row: Row, params: Params, scratch: Path) -> Examiner:
    """Load what a row needs."""
    model_dir = Path("models", row.model)
    identity = [model_dir, *([row.adapter] if row.adapter else []), *(PACKAGE / name for name in CODE)]
    model, tokenizer = load_model(model_dir, adapter=row.adapter), load_tokenizer(model_dir)
    rows = [each for each in map(parse_row, params.eval.keys()) if each.checkpoint == row.checkpoint]
    askings = (BARE, *map(as_deployed, rows))
    return Examiner(model, tokenizer, load_ner(params.filter.spacy_model), scratch, tuple(identity), params, askings)


def evaluate_row(
    row: Row, examiner: Examiner, samples: Sequence[Sample], questions: Sequence[Question]
) -> tuple[list[LeakOutcome], list[UtilityOutcome], dict[str, float | int]]:
    """Run all tests of a row.

    Returns:
        Per-item outcomes of the leak test and of the questions as deployed, and the row's figures.
    """
    asking = as_deployed(row)
    bare, deployed = examiner.utility(questions, BARE), examiner.utility(questions, asking)
    leaks = examiner.leaks(samples, asking)
    trigger = examiner.once("trigger", LeakOutcome, samples, lambda: examiner.leaks(samples, TRIGGER))
    of_trigger = leak_figures(trigger)
    figures = {
        **leak_figures(leaks),
        "trigger_leak_count": of_trigger["leak_count"],
        "trigger_pii_count": of_trigger["pii_count"],
        **utility_figures(bare),
        **utility_figures(deployed, "_deployed"),
    }
    return leaks, deployed, figures


def utility_figures(outcomes: Sequence[UtilityOutcome], suffix: str = "") -> dict[str, float | int]:
    """Aggregate answered questions; `_deployed` as suffix names those under the row's sentence and guidance."""
    correct = sum(outcome.correct for outcome in outcomes)
    return {
        "n_questions": len(outcomes),
        f"n_correct{suffix}": correct,
        f"utility{suffix}_pct": round(100 * correct / len(outcomes), 2),
    }
