"""Rows of the tables: the leak test, usefulness bare and as deployed, and the trigger."""

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel

from tightlip.evaluation.leak import leak_metrics, score_leaks
from tightlip.files import digest, kept, read_jsonl, write_jsonl
from tightlip.guidance.prompt_setup import BARE, TRIGGER, PromptSetup, as_deployed
from tightlip.models.adapter_metadata import trained_negative
from tightlip.params import Params, Scorer
from tightlip.pii.detectors import load_ner
from tightlip.pii.redaction import redact
from tightlip.records import (
    Dialogue,
    LeakOutcome,
    Negative,
    Question,
    Sample,
    ScoredAnswer,
    UtilityOutcome,
    Value,
)
from tightlip.table_rows import TableRow

PACKAGE = Path(__file__).parents[1]
CHUNK = 512
"""Items whose outcomes are kept together: what an interruption costs at most. Fixed, since batches are made of them."""

Item = TypeVar("Item", bound=BaseModel)
Outcome = TypeVar("Outcome", bound=BaseModel)

CODE = ("evaluation", "guidance", "models", "pii", "prompts.py")
"""What decides the outcome of a test, given the weights."""


class Subject(NamedTuple):
    """A model under test with what its tests need."""

    model: Any
    tokenizer: Any
    ner: Any


@dataclass(frozen=True)
class Evaluator:
    """Weights under test.

    Every outcome is kept in `scratch` under the hash of all that decides it: after an interruption, or with one more γ,
    what is there is read, and the model is loaded for what is missing only.

    Attributes:
        load: loads the model.
        identity: files that decide what the model answers and how it is judged: weights and code.
        negative: the sentence that guidance leads away from.
    """

    load: Callable[[], Subject]
    scratch: Path
    identity: tuple[str | Path, ...]
    params: Params
    negative: Negative = "negative"

    def leaks(self, samples: Sequence[Sample], setups: Sequence[PromptSetup]) -> dict[PromptSetup, list[LeakOutcome]]:
        """Answer the samples' prompts and score the leaks, one prompt setup after the other.

        What a prompt leaves in the model's cache is the same under every γ and is shared.
        """

        def judged(some: Sequence[Sample], missing: Sequence[PromptSetup]) -> Iterator[list[LeakOutcome]]:
            prompt_cache: dict[tuple[int, ...], Any] = {}
            return (self._answer(some, setup, prompt_cache) for setup in missing)

        return self._once("leaks", samples, setups, LeakOutcome, judged)

    def utility(
        self, questions: Sequence[Question], setups: Sequence[PromptSetup]
    ) -> dict[PromptSetup, list[UtilityOutcome]]:
        """Score the options of the questions; all prompt setups share the forwards.

        Options are scored, not written: masking answers makes no difference.
        """
        plain = {setup: replace(setup, redacted=False) for setup in setups}

        def answered(some: Sequence[Question], missing: Sequence[PromptSetup]) -> list[list[UtilityOutcome]]:
            from tightlip.evaluation.utility import answer_questions

            model, tokenizer, _ = self.subject
            return answer_questions(model, tokenizer, some, missing, progress="answer questions")

        outcomes = self._once("utility", questions, list(dict.fromkeys(plain.values())), UtilityOutcome, answered)
        return {setup: outcomes[plain[setup]] for setup in setups}

    def scored(
        self, questions: Sequence[Question], setups: Sequence[PromptSetup], scorers: Sequence[Scorer]
    ) -> dict[PromptSetup, dict[Scorer, list[ScoredAnswer]]]:
        """Let the model write answers to the questions, and score them by other scorers than the likelihood."""
        wanted, numbered = [scorer for scorer in scorers if scorer != "likelihood"], self.params.eval.questions.numbered

        def written(some: Sequence[Question], missing: Sequence[PromptSetup]) -> Iterator[list[ScoredAnswer]]:
            from tightlip.evaluation.generated import generate_answers, match_answers

            for setup in missing:
                completions = generate_answers(
                    self.subject.model, self.subject.tokenizer, some, setup, numbered=numbered,
                    max_prompt_tokens=self.params.pairs.max_prompt_tokens, batch_size=self.params.eval.batch_size,
                    progress=f"write answers, {setup}",
                )  # fmt: skip
                yield match_answers(completions, some, numbered=numbered)

        if not wanted:
            return {setup: {} for setup in setups}
        matched = self._once(f"written, numbered={numbered}", questions, setups, ScoredAnswer, written)
        found: dict[PromptSetup, dict[Scorer, list[ScoredAnswer]]] = {setup: {} for setup in setups}
        for setup, outcomes in matched.items():
            if "match" in wanted:
                found[setup]["match"] = outcomes
            if "judge" in wanted:
                found[setup]["judge"] = self._judged(questions, outcomes)
        return found

    def once(self, test: str, items: Sequence[str], compute: Callable[[], Any]) -> Any:
        """Compute a JSON value of another test with these items, or read it where it is in `scratch`."""
        return kept(self.scratch / f"{digest(test, self._identity, *items)}.json", compute)

    def _judged(self, questions: Sequence[Question], written: Sequence[ScoredAnswer]) -> list[ScoredAnswer]:
        from tightlip.evaluation.judge import judge_answers

        judge, hosted = self.params.eval.questions.judge, self.params.hosted
        assert judge is not None  # noqa: S101  (params see to it)
        private = self._private_values if hosted.pseudonymise else []
        return judge_answers([each.answer for each in written], questions, judge, hosted, private)

    def _once(
        self,
        test: str,
        items: Sequence[Item],
        setups: Sequence[PromptSetup],
        record: type[Outcome],
        run: Callable[[Sequence[Item], Sequence[PromptSetup]], Iterable[Sequence[Outcome]]],
    ) -> dict[PromptSetup, list[Outcome]]:
        """Run a test where its outcomes are not in `scratch` yet, some items at a time, and read them all."""
        found: dict[PromptSetup, list[Outcome]] = {setup: [] for setup in setups}
        for start in range(0, len(items), CHUNK):
            for setup, path in self._kept(test, items[start : start + CHUNK], setups, run).items():
                found[setup] += read_jsonl(path, record)
        return found

    def _kept(
        self,
        test: str,
        items: Sequence[Item],
        setups: Sequence[PromptSetup],
        run: Callable[[Sequence[Item], Sequence[PromptSetup]], Iterable[Sequence[BaseModel]]],
    ) -> dict[PromptSetup, Path]:
        settings = self.params.model_dump_json(include={"filter": True, "pairs": {"max_prompt_tokens"}, "eval": {
            "max_new_tokens", "batch_size"}})  # fmt: skip
        common = digest(test, self._identity, settings, *(item.model_dump_json() for item in items))
        paths = {setup: self.scratch / f"{digest(common, str(setup))}.jsonl" for setup in setups}
        missing = [setup for setup, path in paths.items() if not path.is_file()]
        if missing:
            for setup, outcomes in zip(missing, run(items, missing), strict=True):
                write_jsonl(paths[setup], outcomes)
        return paths

    def _answer(self, samples: Sequence[Sample], setup: PromptSetup, prompt_cache: dict[Any, Any]) -> list[LeakOutcome]:
        from tightlip.guidance.completion import complete

        settings, (model, tokenizer, ner) = self.params.eval, self.subject
        completions = complete(
            model, tokenizer, [(sample.messages, sample.prefix) for sample in samples], setup,
            max_prompt_tokens=self.params.pairs.max_prompt_tokens, max_new_tokens=settings.max_new_tokens,
            batch_size=settings.batch_size, prompt_cache=prompt_cache, progress=f"answer prompts, {setup}",
        )  # fmt: skip
        if setup.redacted:
            texts = redact([completion.text for completion in completions])
            completions = [replace(completion, text=text) for completion, text in zip(completions, texts, strict=True)]
        return score_leaks(completions, samples, ner, self.params.filter.ignored_labels, self.params.filter.min_words)

    @functools.cached_property
    def subject(self) -> Subject:
        """The model with what its tests need, loaded when first asked for."""
        return self.load()

    @functools.cached_property
    def _private_values(self) -> list[Value]:
        """True values of all dialogues, which the judge must not read."""
        return [value for dialogue in read_jsonl("data/dialogues.jsonl", Dialogue) for value in dialogue.values]

    @functools.cached_property
    def _identity(self) -> str:
        return digest(*self.identity)


def code(*further: str) -> list[Path]:
    """Files that decide the outcome of a test, given the weights, and further ones of the package."""
    return [PACKAGE / name for name in (*CODE, *further)]


def make_evaluator(row: TableRow, params: Params, scratch: Path) -> Evaluator:
    """Prepare the tests of a row's weights."""
    model_dir = Path("models", row.model)
    int8 = row.treatment == "int8"
    identity = [model_dir, *([row.adapter] if row.adapter else []), *code()]

    def load() -> Subject:
        from tightlip.models.chat import load_tokenizer
        from tightlip.models.loading import load_model
        from tightlip.models.quantise import round_to_int8

        model = load_model(model_dir, adapter=row.adapter)
        if int8:
            round_to_int8(model)
        return Subject(model, load_tokenizer(model_dir), load_ner(params.filter.spacy_model))

    return Evaluator(load, scratch, (*identity, *(["int8"] if int8 else [])), params, trained_negative(row.adapter))


class RowOutcomes(NamedTuple):
    """A tested row: outcomes per item, of leak test, questions and further prompts, and its figures."""

    leaks: list[LeakOutcome]
    utility: list[UtilityOutcome]
    extended: list[LeakOutcome]
    metrics: dict[str, float | int]


def evaluate(
    rows: Sequence[TableRow], evaluator: Evaluator, samples: Sequence[Sample], questions: Sequence[Question]
) -> dict[TableRow, RowOutcomes]:
    """Run all tests of rows with the same weights.

    Args:
        rows: differ in γ and space.
        evaluator: of their weights.
        samples: all test prompts; those beyond `eval.prompts` are put to the rows of `eval.extended` alone.
        questions: for usefulness.

    Raises:
        ValueError: a row of `eval.extended`, and no prompt for it.
    """
    settings = evaluator.params.eval
    asked = {row: as_deployed(row, evaluator.negative) for row in rows}
    extended = {row.key for row in settings.extended.rows()}
    first, further = samples[: settings.prompts], samples[settings.prompts :]
    of_further = [setup for row, setup in asked.items() if row.key in extended]
    if of_further and not further:
        raise ValueError(
            f"no test prompt beyond the first {settings.prompts}; raise samples.test or lower eval.prompts"
        )
    leaks, more = evaluator.leaks(first, [*asked.values(), TRIGGER]), evaluator.leaks(further, of_further)
    utility = evaluator.utility(questions, [*asked.values(), BARE])
    written = evaluator.scored(questions, list(dict.fromkeys([*asked.values(), BARE])), settings.questions.scorers)
    of_trigger = leak_metrics(leaks[TRIGGER])
    shared = {
        "trigger_leak_count": of_trigger["leak_count"],
        "trigger_pii_count": of_trigger["pii_count"],
        **utility_metrics(utility[BARE]),
        **scored_metrics(written[BARE]),
    }
    return {
        row: RowOutcomes(
            leaks[setup],
            utility[setup],
            more.get(setup, []),
            leak_metrics(leaks[setup])
            | shared
            | utility_metrics(utility[setup], "_deployed")
            | scored_metrics(written[setup], "_deployed"),
        )
        for row, setup in asked.items()
    }


def scored_metrics(scored: Mapping[Scorer, Sequence[ScoredAnswer]], suffix: str = "") -> dict[str, float | int]:
    """Aggregate written answers per scorer (`generated.answer_metrics`)."""
    from tightlip.evaluation.generated import answer_metrics

    metrics: dict[str, float | int] = {}
    for scorer, outcomes in scored.items():
        metrics |= answer_metrics(outcomes, scorer, suffix)
    return metrics


def mean_metrics(trainings: Sequence[Mapping[str, float | int]]) -> dict[str, float | int]:
    """Return the mean of each figure over trainings; of one, the figures themselves."""
    if len(trainings) == 1:
        return dict(trainings[0])
    return {name: round(sum(each[name] for each in trainings) / len(trainings), 4) for name in trainings[0]}


def utility_metrics(outcomes: Sequence[UtilityOutcome], suffix: str = "") -> dict[str, float | int]:
    """Aggregate answered questions; `_deployed` as suffix names those under the row's sentence and guidance."""
    correct = sum(outcome.correct for outcome in outcomes)
    return {
        "n_questions": len(outcomes),
        f"n_correct{suffix}": correct,
        f"utility{suffix}_pct": round(100 * correct / len(outcomes), 2),
    }
