"""The stages of `dvc.yaml` and `evidence/dvc.yaml` with the work of each, from parameters and counted texts."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace

from tightlip.doctor.costs import WORDS_PER_TOKEN, Costs
from tightlip.doctor.shapes import Shape
from tightlip.doctor.sizes import inference_bytes, one_after_another, training_bytes
from tightlip.doctor.texts import Texts
from tightlip.doctor.work import Hosted, Stage, Work, reading, together, training
from tightlip.evaluation.attack import ANSWER_TOKENS, CONTEXT_TOKENS
from tightlip.evaluation.over_refusal import benign_samples
from tightlip.evidence.attacks import attacks
from tightlip.evidence.relearning import BATCH, RANK
from tightlip.generation.benign import OPENINGS, QUESTION_TOKENS
from tightlip.guidance.prompt_setup import BARE, TRIGGER, PromptSetup
from tightlip.params import Dataset, ModelSource, Params, Scorer, Source, Variant
from tightlip.table_rows import TableRow, parse_row

ACCEPTED = 0.8
"""Share of the candidates that the filter accepts."""

INSTRUCTION = 40  # tokens of system sentence and nudge in front of a prompt
HARMLESS = 35, 20  # tokens of a benign question, and of its answer
EXTRACTED = 48  # batch of the extraction attack
CONVERTED = 1e7  # weights of a GGUF file made safetensors per second
DOWNLOADED = 3e7  # bytes fetched from the hub per second
COPIED = 2e9  # bytes of safetensors read and written per second
DETECTORS = 3.5  # seconds to load spaCy's pipeline and the patterns


class Planner:
    """Plans a run.

    Args:
        params: of the run.
        texts: what it reads.
        shape: of its base model.
        written_out: whether the model is a Llama on a CPU, which this project runs by code of its own.
    """

    def __init__(self, params: Params, texts: Texts, shape: Shape, written_out: bool) -> None:
        self.params, self.texts, self.shape, self.written_out = params, texts, shape, written_out
        self.costs = Costs(params, texts, shape, written_out)

    def stages(self) -> list[Stage]:
        """Return all stages in the order in which they run."""
        return [*self._models(), *self._candidates(), *self._training(), *self._evaluation(), *self._evidence()]

    def _models(self) -> Iterator[Stage]:
        params, texts, shape = self.params, self.texts, self.shape
        tune = params.tune
        copies = 3 if params.base.source == "package" else 1  # a GGUF's weights pass through float32
        fetched = Work(seconds=self._fetch(params.base))
        yield Stage("fetch_base", "fetch_base", fetched, copies * self._loaded(), on_cpu=True)
        yield _light("make_dialogues", texts.dialogues / 1000)
        tokens = tune.epochs * texts.dialogues * texts.dialogue
        updates = tune.epochs * texts.dialogues / tune.batch_size
        tuned = training(shape, tokens, tokens / 2, tune.rank, updates) + Work(loads=2)
        memory = training_bytes(shape, tune.batch_size, texts.longest_dialogue, tune.rank, self.written_out)
        if tune.given:
            tuned, memory = Work(seconds=self._fetch(tune.given)), self._loaded()
        yield Stage("tune_challenge", "tune_challenge", tuned, memory, on_cpu=bool(tune.given))
        yield self._challenge()
        yield _light("subtract_task_vector", 3 * shape.weights / COPIED)
        yield _light("extract_samples", texts.dialogues / 2000)

    def _challenge(self) -> Stage:
        attacked = self._extracted(self.texts.prompt) + Work(loads=1)
        return Stage("attack_challenge", "attack_challenge", attacked.times(2), self._inference(EXTRACTED))

    def _extracted(self, context: float) -> Work:
        """Continue what precedes every personal value of the attacked dialogues."""
        return self.costs.answers(self.texts.probes, context, ANSWER_TOKENS, ANSWER_TOKENS, EXTRACTED, [BARE])

    def _candidates(self) -> Iterator[Stage]:
        params, count = self.params, self.params.generation
        samples = self.texts.samples["train"] + self.texts.samples["dev"]
        for name, source in count.sources.items():
            work, rows = self._source(source, samples), count.batch_size if source.provider == "local" else 0
            yield Stage(f"generate_answers@{name}", f"generate_answers@{name}", work, self._inference(rows))
        benign, asked = count.benign, len(OPENINGS) * count.benign.per_opening
        work = self.costs.answers(asked, HARMLESS[0], QUESTION_TOKENS, QUESTION_TOKENS, count.batch_size, [BARE])
        work += self.costs.answers(ACCEPTED * asked, HARMLESS[0], benign.max_tokens, benign.max_tokens,
                              count.batch_size, [BARE])  # fmt: skip
        work += Work(loads=1, words=asked * benign.max_tokens * WORDS_PER_TOKEN)
        yield Stage("generate_benign", "generate_benign", work, self._inference(count.batch_size))
        candidates = sum(samples * source.candidates * self.costs.length(source) for source in count.sources.values())
        yield Stage("filter_pii", "filter_pii", Work(words=candidates * WORDS_PER_TOKEN, seconds=DETECTORS))
        yield _light("make_secret", 0)
        yield _light("build_pairs", sum(map(self._rows, params.pairs.datasets.values())) / 1000)

    def _source(self, source: Source, samples: int) -> Work:
        count, texts = samples * source.candidates, self.texts
        if source.provider == "rewriter":
            return Work(words=count * texts.completion * WORDS_PER_TOKEN, seconds=DETECTORS)
        prompt = texts.prompt + INSTRUCTION
        if source.provider == "local":
            batch, length = self.params.generation.batch_size, self.costs.length(source)
            return self.costs.answers(count, prompt, length, source.max_tokens, batch, [BARE]) + Work(loads=1)
        asked = Hosted(source.model, round(count * prompt), count * source.max_tokens, count)
        return Work(hosted=(asked,))

    def _training(self) -> Iterator[Stage]:
        for name, variant in self.params.train.variants.items():
            yield self._train(name, variant, "train_orpo", evidence=False)

    def _train(self, name: str, variant: Variant, stage: str, *, evidence: bool) -> Stage:
        train, texts, dataset = self.params.train, self.texts, self.params.pairs.datasets[variant.dataset]
        pairs, benign = self._private(dataset), self._benign(dataset)
        answers = self.costs.chosen(dataset) + texts.completion
        tokens = pairs * (texts.prompt + answers) + benign * (HARMLESS[0] + 2 * HARMLESS[1])
        scored = pairs * answers + 2 * benign * HARMLESS[1]
        if (variant.nll_on or train.orpo.nll_on) == "sequence":
            scored = tokens
        dev = texts.samples["dev"] * len(dataset.sources) * ACCEPTED * len(dataset.conditions)
        updates = (pairs + benign) / train.batch_size
        work = training(self.shape, tokens, scored, train.lora.rank, updates)
        if variant.objective == "dpo":
            work += reading(self.shape, tokens, scored)
        work += reading(self.shape, dev * (texts.prompt + answers), dev * answers)
        work = work.times(train.epochs) + Work(loads=1)
        longest = (
            texts.longest
            + 2 * texts.completion
            + max(self.params.generation.sources[name].max_tokens for name in dataset.sources)
        )
        memory = training_bytes(self.shape, train.batch_size, longest, train.lora.rank, self.written_out)
        trainings = len(self.params.seeds(name))
        return Stage(f"{stage}@{name}", f"train_orpo@{name}", work.times(trainings), memory, evidence)

    def _private(self, dataset: Dataset) -> float:
        accepted = ACCEPTED * self.texts.samples["train"] * len(dataset.sources)
        return (dataset.samples or accepted) * len(dataset.conditions)

    def _benign(self, dataset: Dataset) -> float:
        return 1.5 * dataset.benign * len(dataset.conditions)

    def _rows(self, dataset: Dataset) -> float:
        return self._private(dataset) + self._benign(dataset)

    def _evaluation(self) -> Iterator[Stage]:
        settings = self.params.eval
        memory = self._inference(2 * settings.batch_size)
        dev = self.texts.samples["dev"]
        work = self.costs.utility("select", self.texts.dev_questions, [BARE]) + Work(loads=1)
        for of_weights in _by_weights(settings.candidates()):
            for trained in zip(*map(self.params.trainings, of_weights), strict=True):
                setups, weights = self.costs.setups(trained), ("dev", trained[0].checkpoint, trained[0].seed)
                work += self.costs.leaks((*weights, "leaks"), dev, setups) + Work(loads=1)
                work += self.costs.utility(weights, self.texts.dev_questions, setups)
                work += self.costs.leaks((*weights, "benign"), len(benign_samples("dev")), setups, HARMLESS[0])
        yield Stage("select_guidance", "select_guidance", work, memory)
        for model in settings.models:
            yield Stage(f"evaluate_untuned@{model}", f"evaluate_model@{model}", self._evaluate(model), memory)
        for model, tuning, epoch in itertools.product(settings.models, settings.tunings, settings.epochs):
            work = self._evaluate(f"{model}-{tuning}_e{epoch}")
            record = f"evaluate_model@{model}-{tuning}_e{epoch}"
            yield Stage(f"evaluate_model@{model}-{tuning}-{epoch}", record, work, memory)
        for tuning, epoch in itertools.product(settings.ablation.tunings, settings.ablation.epochs):
            work = self._evaluate(f"ch-{tuning}_e{epoch}")
            yield Stage(f"evaluate_ablation@{tuning}-{epoch}", f"evaluate_model@ch-{tuning}_e{epoch}", work, memory)
        rows = len(settings.rows())
        yield _light("make_tables", rows / 100)
        yield _light("make_report", 5)
        adapters = sum(len(self.params.seeds(name)) for name in self.params.train.variants) * self.params.train.epochs
        stored = 4 * adapters * self.shape.adapter * self.params.train.lora.rank
        yield _light("publish_mlflow", rows / 10 + 2 * stored / COPIED)

    def _evaluate(self, checkpoint: str) -> Work:
        settings, texts = self.params.eval, self.texts
        extended = {row.key for row in settings.extended.rows()}
        work = Work()
        rows = [row for row in settings.rows() if row.checkpoint == checkpoint]
        for trained in self.params.by_weights(rows):
            weights, setups = (checkpoint, trained[0].seed), self.costs.setups(trained)
            further = self.costs.setups([row for row in trained if row.key in extended])
            first = min(settings.prompts, texts.samples["test"])
            work += self.costs.leaks((*weights, "leaks"), first, [*setups, TRIGGER]) + Work(loads=1)
            work += self.costs.leaks((*weights, "extended"), texts.samples["test"] - first, further)
            work += self.costs.utility(weights, texts.test_questions, [*setups, BARE])
            work += self.costs.written(weights, [*setups, BARE], settings.questions.scorers)
        return work

    def _evidence(self) -> Iterator[Stage]:
        params, texts, settings = self.params, self.texts, self.params.evidence
        for name, variant in settings.variants.items():
            yield self._train(name, variant, "train_baselines", evidence=True)
        yield Stage("measure_detectors", "measure_detectors", Work(words=2 * texts.turns, seconds=DETECTORS), 0, True)
        work = together(self._examined(parse_row(key)) for key in settings.rows)
        one = self._inference(2 * params.eval.batch_size)
        yield Stage(
            "test_evidence", "test_evidence", work, self._in_turn(one + self._loaded()), True
        )  # beside the base
        yield Stage("relearn_leaks", "relearn_leaks", self._relearned(), self._in_turn(one), True)
        yield _light("make_evidence", 1, evidence=True)
        yield _light("make_full_report", 5, evidence=True)

    def _examined(self, row: TableRow) -> Work:
        """Test a row of the evidence (`evidence.rows`)."""
        settings, texts = self.params.evidence, self.texts
        first, work = min(self.params.eval.prompts, texts.samples["test"]), Work()
        for each in self.params.trainings(row):
            weights, (setup,) = (each.checkpoint, each.seed), self.costs.setups([each])
            work += self.costs.leaks((*weights, "leaks"), first, [setup, replace(TRIGGER, redacted=setup.redacted)])
            work += self.costs.utility(weights, texts.test_questions, [setup, BARE])
            work += self.costs.leaks((*weights, "benign"), len(benign_samples("test")), [setup], HARMLESS[0]) + Work(
                loads=1
            )
        weights, (setup,) = (row.checkpoint, row.seed), self.costs.setups([row])
        scorers: list[Scorer] = ["match"] if row.key in settings.scored else []
        work += self.costs.written(weights, [setup, BARE], [*scorers, *self.params.eval.questions.scorers])
        work += self._extracted(min(CONTEXT_TOKENS, texts.prompt))
        work += reading(self.shape, first * (texts.prompt + texts.completion), first * texts.completion)
        if row.key in settings.attacked:
            work += self._attacked(weights, setup, settings.prompts)
        return work

    def _attacked(self, weights: tuple[object, ...], setup: PromptSetup, conversations: int) -> Work:
        count = min(conversations, self.texts.samples["test"])
        work = Work()
        for number, attack in enumerate(attacks()):
            work += self.costs.leaks((*weights, "attack", number), count, [setup, BARE] if attack.system else [setup])
        return work

    def _relearned(self) -> Work:
        params, settings, texts = self.params, self.params.evidence, self.texts
        work = Work()
        for row in (None, *map(parse_row, settings.relearned)):
            setup = self.costs.setups([row])[0] if row else BARE
            for steps in settings.relearn_steps:
                tokens = steps * BATCH * texts.dialogue
                work += training(self.shape, tokens, tokens / 2, RANK, steps) + Work(loads=1)
                work += self.costs.leaks(
                    ("relearn", row, steps), min(params.eval.prompts, texts.samples["test"]), [setup]
                )
        return work

    def _fetch(self, source: ModelSource) -> float:
        """Return the seconds to bring a model here."""
        if source.source == "package":
            return self.shape.parameters / CONVERTED
        return self.shape.weights / (DOWNLOADED if source.source == "hub" else COPIED)

    def _loaded(self) -> float:
        return float(self.shape.weights)

    def _in_turn(self, one: float) -> float:
        return one_after_another(self.shape, one, self.written_out)

    def _inference(self, rows: int) -> float:
        length = self.texts.longest + self.params.eval.max_new_tokens
        return inference_bytes(self.shape, rows, length, self.written_out) if rows else 0


def _light(name: str, seconds: float, *, evidence: bool = False) -> Stage:
    """Return a stage that runs no model."""
    return Stage(name, name, Work(seconds=seconds), 0, evidence)


def _by_weights(rows: Sequence[TableRow]) -> Iterator[list[TableRow]]:
    for _, same in itertools.groupby(rows, key=lambda row: row.checkpoint):
        yield list(same)
