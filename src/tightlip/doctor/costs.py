"""The work of tests: answering prompts, scoring questions, and what is known of how long answers are."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import mean

from tightlip.doctor.shapes import Shape
from tightlip.doctor.texts import Texts
from tightlip.doctor.work import Hosted, Work, reading, together, writing
from tightlip.evaluation.generated import ANSWER_TOKENS
from tightlip.guidance.prompt_setup import PromptSetup, as_deployed
from tightlip.params import Dataset, Params, Scorer, Source
from tightlip.records import Negative
from tightlip.table_rows import TableRow

RAMBLING, HOSTED = 1.5, 0.5
"""Answers of a small model that was never tuned are so much longer than the dialogues'; hosted models' answers are
expected to take this share of `max_tokens`, and are paid for as if they took all."""

WORDS_PER_TOKEN = 0.75
JUDGED, VERDICT = 90, 8  # tokens of the judge's prompt beside question and options, and of its answer


@dataclass
class Costs:
    """What tests cost in a run.

    Attributes:
        params: of the run.
        texts: what it reads.
        shape: of its base model.
        written_out: whether the model is a Llama on a CPU, whose prompts are read once for all ways of asking.
        tested: weights, test and way of asking of what is tested already: later stages read it from `.scratch`.
    """

    params: Params
    texts: Texts
    shape: Shape
    written_out: bool
    tested: set[tuple[object, ...]] = field(default_factory=set)

    def setups(self, rows: Sequence[TableRow]) -> list[PromptSetup]:
        """Return how rows are asked as deployed."""
        return [as_deployed(row, self._negative(row)) for row in rows]

    def _negative(self, row: TableRow) -> Negative:
        if not row.variant:
            return "negative"
        return self.params.pairs.datasets[self.params.variants[row.variant].dataset].negative

    def leaks(
        self, test: tuple[object, ...], count: int, setups: Sequence[PromptSetup], prompt: float | None = None
    ) -> Work:
        """Answer prompts in several ways, and judge the answers."""
        missing = [setup for setup in dict.fromkeys(setups) if (test, setup) not in self.tested]
        self.tested |= {(test, setup) for setup in missing}
        settings, expected = self.params.eval, self.answered()
        work = self.answers(count, prompt or self.texts.prompt, expected, settings.max_new_tokens,
                             settings.batch_size, missing)  # fmt: skip
        return work + Work(words=len(missing) * count * expected * WORDS_PER_TOKEN)

    def answers(
        self, count: float, prompt: float, length: float, limit: int, batch_size: int, setups: Sequence[PromptSetup]
    ) -> Work:
        """Read prompts and write answers, every way of asking by itself; the written-out decoder reads prompts once."""
        read = [condition for setup in setups for condition in _conditions(setup)]
        share = self.texts.distinct if self.written_out else 1.0
        times = len(set(read)) if self.written_out else len(read)
        written = [writing(count, length, limit, batch_size, len(_conditions(setup))) for setup in setups]
        return reading(self.shape, times * count * prompt * share, times * count) + together(written)

    def utility(self, weights: object, count: int, setups: Sequence[PromptSetup]) -> Work:
        """Score the options of questions; all ways of asking share a forward per condition."""
        plain = dict.fromkeys(replace(setup, redacted=False) for setup in setups)
        missing = [setup for setup in plain if (weights, "utility", setup) not in self.tested]
        self.tested |= {(weights, "utility", setup) for setup in missing}
        times = len({condition for setup in missing for condition in _conditions(setup)})
        texts = self.texts
        return reading(self.shape, times * count * (texts.question + texts.options), times * count * texts.options)

    def written(self, weights: object, setups: Sequence[PromptSetup], scorers: Sequence[Scorer]) -> Work:
        """Let the model write answers to the questions, and perhaps a judge read them."""
        texts, asked = self.texts, self.params.eval.questions
        missing = [each for each in dict.fromkeys(setups) if (weights, "written", each) not in self.tested]
        if set(scorers) <= {"likelihood"} or not missing:
            return Work()
        self.tested |= {(weights, "written", setup) for setup in missing}
        prompt, count = texts.question + (texts.options if asked.numbered else 0), texts.test_questions
        work = self.answers(count, prompt, ANSWER_TOKENS, ANSWER_TOKENS, self.params.eval.batch_size, missing)
        if "judge" in scorers and asked.judge:
            requests = count * len(missing)
            tokens = round(requests * (texts.question + texts.options + JUDGED + ANSWER_TOKENS))
            work += Work(hosted=(Hosted(asked.judge.model, tokens, requests * VERDICT, requests),))
        return work

    def length(self, source: Source) -> float:
        """Return how long a source's answers are expected to be."""
        if source.hosted:
            return HOSTED * source.max_tokens
        expected = self.texts.completion * (1 if source.provider == "rewriter" else RAMBLING)
        return min(expected, source.max_tokens)

    def chosen(self, dataset: Dataset) -> float:
        """Return how long a dataset's chosen answers are expected to be."""
        return mean(self.length(self.params.generation.sources[name]) for name in dataset.sources)

    def answered(self) -> float:
        """Return how long answers of a model under test are expected to be: as what it was trained on."""
        variant = self.params.variants.get(f"ch-{self.params.eval.select}")
        return self.chosen(self.params.pairs.datasets[variant.dataset]) if variant else self.texts.completion


def _conditions(setup: PromptSetup) -> tuple[str, ...]:
    """Return the sentences of the branches."""
    return (setup.condition,) if setup.scale == 1 else (setup.condition, setup.negative)
