"""Tests of one model's weights: its answers to prompts and questions, cached, and what they are worth."""

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from pydantic import BaseModel

from tightlip.cache import MODEL_CODE, ResultCache
from tightlip.evaluation.leak import score_leaks
from tightlip.files import read_jsonl
from tightlip.guidance.prompt_setup import PromptSetup
from tightlip.models.adapter_metadata import trained_negative
from tightlip.params import Params, Scorer
from tightlip.pii.detectors import load_ner
from tightlip.records import Dialogue, LeakOutcome, Negative, Question, Sample, ScoredAnswer, UtilityOutcome, Value
from tightlip.secret import condition_sentence
from tightlip.table_rows import TableRow

if TYPE_CHECKING:
    from tightlip.guidance.completion import Completion

CHUNK = 512
"""Items answered together, and lost together by an interruption. Fixed: what is batched together decides last bits."""

CODE = ("evaluation/attack.py", "evaluation/generated.py", "evaluation/utility.py", *MODEL_CODE)
"""What decides a model's answers, given its weights. How answers are scored is not in it: scores are made anew."""

Item = TypeVar("Item", bound=BaseModel)


class LoadedModel(NamedTuple):
    """A model under test and its tokenizer."""

    model: Any
    tokenizer: Any


@dataclass(frozen=True)
class Evaluator:
    """Runs the tests of one model's weights.

    Every answer is cached: after an interruption, or with one more γ, the model is loaded for missing answers only.

    Attributes:
        load: loads the model.
        cache: of the model's answers; its key holds the weights.
        params: parameters of the project.
        negative: the sentence that guidance leads away from.
    """

    load: Callable[[], LoadedModel]
    cache: ResultCache
    params: Params
    negative: Negative = "negative"

    def leaks(self, samples: Sequence[Sample], setups: Sequence[PromptSetup]) -> dict[PromptSetup, list[LeakOutcome]]:
        """Answer the samples' prompts under every setup and score the leaks, in the samples' order.

        What a prompt leaves in the model's attention cache is the same under every γ and is shared.
        """
        from tightlip.guidance.completion import Completion, complete

        def answers(chunk: Sequence[Sample], missing: Sequence[PromptSetup]) -> Iterator[list[list[str]]]:
            settings, prompt_cache = self.params.eval, dict[tuple[int, ...], Any]()
            contexts = [(sample.messages, sample.prefix) for sample in chunk]
            for setup in missing:
                completions = complete(
                    *self.loaded, contexts, setup, max_prompt_tokens=self.params.pairs.max_prompt_tokens,
                    max_new_tokens=settings.max_new_tokens, batch_size=settings.batch_size, prompt_cache=prompt_cache,
                    progress=f"answer prompts, {setup}",
                )  # fmt: skip
                yield [[completion.text, completion.finish] for completion in completions]

        outcomes, settings = {}, self.params.filter
        for setup, texts in self._cached("leaks", samples, setups, answers).items():
            completions = _redacted([Completion(*each) for each in texts], setup)
            outcomes[setup] = score_leaks(completions, samples, self.ner, settings.ignored_labels, settings.min_words)
        return outcomes

    def utility(
        self, questions: Sequence[Question], setups: Sequence[PromptSetup]
    ) -> dict[PromptSetup, list[UtilityOutcome]]:
        """Score the options of the questions under every setup; all setups share the forwards.

        No answer is written, so that a setup which masks answers makes no difference.
        """
        from tightlip.evaluation.utility import score_options, utility_outcomes

        def scores(chunk: Sequence[Question], missing: Sequence[PromptSetup]) -> list[list[tuple[float, ...]]]:
            return score_options(*self.loaded, chunk, missing, progress="answer questions")

        cached = self._cached("utility", questions, setups, scores)
        return {setup: utility_outcomes(questions, cached[setup]) for setup in setups}

    def scored(
        self, questions: Sequence[Question], setups: Sequence[PromptSetup], scorers: Sequence[Scorer]
    ) -> dict[PromptSetup, dict[Scorer, list[ScoredAnswer]]]:
        """Let the model write answers to the questions, and score them by scorers other than the likelihood."""
        from tightlip.evaluation.generated import generate_answers, match_answers
        from tightlip.guidance.completion import Completion

        numbered = self.params.eval.questions.numbered

        def answers(chunk: Sequence[Question], missing: Sequence[PromptSetup]) -> Iterator[list[list[str]]]:
            for setup in missing:
                completions = generate_answers(
                    *self.loaded, chunk, setup, numbered=numbered,
                    max_prompt_tokens=self.params.pairs.max_prompt_tokens, batch_size=self.params.eval.batch_size,
                    progress=f"write answers, {setup}",
                )  # fmt: skip
                yield [[completion.text, completion.finish] for completion in completions]

        results: dict[PromptSetup, dict[Scorer, list[ScoredAnswer]]] = {setup: {} for setup in setups}
        if not set(scorers) - {"likelihood"}:
            return results
        for setup, texts in self._cached(f"written, numbered={numbered}", questions, setups, answers).items():
            completions = _redacted([Completion(*each) for each in texts], setup)
            matched = match_answers(completions, questions, numbered=numbered)
            if "match" in scorers:
                results[setup]["match"] = matched
            if "judge" in scorers:
                results[setup]["judge"] = self._judge([each.answer for each in matched], questions)
        return results

    def _judge(self, answers: Sequence[str], questions: Sequence[Question]) -> list[ScoredAnswer]:
        from tightlip.evaluation.judge import judge_answers

        judge, hosted = self.params.eval.questions.judge, self.params.hosted
        assert judge is not None  # noqa: S101  (params see to it)
        return judge_answers(answers, questions, judge, hosted, self._private_values if hosted.pseudonymise else [])

    def _cached(
        self,
        test: str,
        items: Sequence[Item],
        setups: Sequence[PromptSetup],
        answer: Callable[[Sequence[Item], Sequence[PromptSetup]], Iterable[Sequence[Any]]],
    ) -> dict[PromptSetup, list[Any]]:
        """Return one JSON value per item under every setup; `answer` is called for what is missing of a chunk."""
        distinct = list(dict.fromkeys(replace(setup, redacted=False) for setup in setups))
        values: dict[PromptSetup, list[Any]] = {setup: [] for setup in distinct}
        for start in range(0, len(items), CHUNK):
            chunk = items[start : start + CHUNK]
            contents = [item.model_dump_json() for item in chunk]
            keys = [(test, *_setup_key(setup), *contents) for setup in distinct]
            compute = functools.partial(_for_places, answer, chunk, distinct)
            for setup, chunk_values in zip(distinct, self.cache.get_all(keys, compute), strict=True):
                values[setup] += chunk_values
        return {setup: values[replace(setup, redacted=False)] for setup in setups}

    @functools.cached_property
    def loaded(self) -> LoadedModel:
        """The model and its tokenizer, loaded when first used."""
        return self.load()

    @functools.cached_property
    def ner(self) -> Any:
        """The NER model that counts entities, loaded when first used."""
        return load_ner(self.params.filter.spacy_model)

    @functools.cached_property
    def _private_values(self) -> list[Value]:
        """True values of all dialogues, which the judge must not read."""
        return [value for dialogue in read_jsonl("data/dialogues.jsonl", Dialogue) for value in dialogue.values]


def _for_places(
    answer: Callable[[Sequence[Item], Sequence[PromptSetup]], Iterable[Sequence[Any]]],
    chunk: Sequence[Item],
    setups: Sequence[PromptSetup],
    places: Sequence[int],
) -> Iterable[Sequence[Any]]:
    return answer(chunk, [setups[place] for place in places])


def _setup_key(setup: PromptSetup) -> tuple[str, ...]:
    """Sentences and guidance of a setup. The sentences are spelled out, since a wrong secret may be corrected."""
    sentence = condition_sentence(setup.condition)
    if not setup.guidance.needs_negative:
        return (sentence,)
    return (sentence, repr(setup.guidance), condition_sentence(setup.negative))


def _redacted(completions: "list[Completion]", setup: PromptSetup) -> "list[Completion]":
    """Mask personal data in the answers where the setup says so."""
    from tightlip.pii.redaction import redact

    if not setup.redacted:
        return completions
    texts = redact([completion.text for completion in completions])
    return [replace(completion, text=text) for completion, text in zip(completions, texts, strict=True)]


def make_evaluator(row: TableRow, params: Params) -> Evaluator:
    """Prepare the tests of a row's weights; nothing is loaded yet."""
    model_dir = Path("models", row.model)
    adapter = [row.adapter] if row.adapter else []

    def load() -> LoadedModel:
        from tightlip.models.loading import load_model
        from tightlip.models.quantise import round_to_int8
        from tightlip.models.tokenizer import load_tokenizer

        model = load_model(model_dir, adapter=row.adapter)
        if row.treatment == "int8":
            round_to_int8(model)
        return LoadedModel(model, load_tokenizer(model_dir))

    cache = answer_cache([model_dir, *adapter], params, {"int8": row.treatment == "int8"})
    return Evaluator(load, cache, params, trained_negative(row.adapter))


def answer_cache(
    weights: Iterable[Path], params: Params, further: dict[str, Any], code: Iterable[str] = ()
) -> ResultCache:
    """Cache a model's answers.

    Args:
        weights: files and directories of the model.
        params: parameters of the project.
        further: JSON values that decide the weights too, by name.
        code: modules that decide the weights.
    """
    limits = {"max_prompt_tokens": params.pairs.max_prompt_tokens}
    limits |= {"max_new_tokens": params.eval.max_new_tokens, "batch_size": params.eval.batch_size}
    return ResultCache("answers", inputs=weights, params={**limits, **further}, code=[*CODE, *code])
