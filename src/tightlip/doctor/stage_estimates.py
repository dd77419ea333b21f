"""Time of every stage: recorded times, scaled by the stage's work, the model's size and the machine's speed."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import BaseModel

from tightlip.doctor.dialogue_checks import Texts
from tightlip.doctor.speed import LAUNCHES, Speed
from tightlip.evidence.attacks import attacks
from tightlip.files import read_json
from tightlip.params import ModelSource, Params, Source, Variant
from tightlip.table_rows import TableRow, parse_row

RECORDED = Path(__file__).parent / "recorded.json"
"""The recorded run; `python -m tightlip.doctor.record` writes it."""

STARTING = 3.1
"""Seconds per stage of starting Python, imports, and DVC's work on its lock (docs/performance.md)."""

HOSTED_SECONDS = 3.0
"""Assumed seconds of a request to a hosted model."""

DOWNLOAD = 3e7
"""Assumed bytes per second of a download from the hub."""

TRANSFORMER_NER = 14.0
"""How many times slower spaCy's transformer pipelines are on a CPU than its small one: 10,000 and 700 words/s."""

MARKED = 400  # dialogues that measure_detectors reads at most
INSTRUCTION, JUDGE_PROMPT, VERDICT = 40, 400, 8  # tokens
QUESTIONS = 154  # assumed number of questions for the judge

Scaling = Literal["training", "decoding", "ner", "weights", "download", "hosted", "none"]
"""What the seconds per unit of work depend on: `training`, `decoding` and `weights` on the model's size, all but
`weights`, `download` and `hosted` on the machine's speed."""


class HostedTokens(NamedTuple):
    """Tokens of requests to a hosted model; answers are counted at their limit."""

    model: str
    requests: int
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True)
class Stage:
    """A stage of `dvc.yaml` or `evidence/dvc.yaml` and its work.

    Attributes:
        name: as DVC calls it.
        kind: stages of one kind take the same time per unit of work.
        work: in `unit`.
        unit: what the work is counted in.
        scaling: see `Scaling`.
        record: file of its record in `data/records/`, without the suffix; empty if it is the name.
        steps: decoding steps, which have a shortest time on a GPU.
        hosted: what a hosted model does.
        evidence: whether it belongs to `evidence/dvc.yaml`.
    """

    name: str
    kind: str
    work: float
    unit: str
    scaling: Scaling
    record: str = ""
    steps: float = 0
    hosted: HostedTokens | None = None
    evidence: bool = False


class RecordedStage(BaseModel):
    """A stage of the recorded run, with the work that it did there; the peak is None where nobody wrote it down."""

    kind: str
    work: float
    unit: str
    scaling: str
    seconds: float
    rows: int | None = None
    peak_memory_mb: float | None = None


class Recorded(BaseModel):
    """The recorded run: whose times are scaled.

    Attributes:
        profile: of its parameters.
        source: where the figures are from.
        parameters: number of parameters of its base model.
        flops, bandwidth: of its machine, as `speed.measure_speed` measures them.
        stages: by name.
    """

    profile: str
    source: str
    parameters: int
    flops: float
    bandwidth: float
    stages: dict[str, RecordedStage]

    @property
    def speed(self) -> Speed:
        """Speed of its machine."""
        return Speed(self.flops, self.bandwidth, False, "the recorded machine")

    def seconds(self, stage: Stage) -> float:
        """Return the seconds that a stage's work would have taken in the recorded run."""
        known = [self.stages[stage.name]] if stage.name in self.stages else []
        known = known or [each for each in self.stages.values() if each.kind == stage.kind]
        work = sum(each.work for each in known)
        return sum(each.seconds for each in known) * stage.work / work if work else 0.0


def load_recorded() -> Recorded:
    """Read the recorded run that comes with the package."""
    return Recorded.model_validate(read_json(RECORDED))


def estimate_seconds(stage: Stage, params: Params, weights: tuple[int, int], speed: Speed, recorded: Recorded) -> float:
    """Estimate how long a stage takes, without its start.

    Args:
        stage: with its work.
        params: of the run.
        weights: number of parameters of the base model, and bytes of them.
        speed: of the machine.
        recorded: the run whose times are scaled.
    """
    seconds, ratio, before = recorded.seconds(stage), weights[0] / recorded.parameters, recorded.speed
    by_scaling = {
        "training": seconds * ratio * before.training / speed.training,
        "decoding": seconds * ratio * before.decoding / speed.decoding if speed.gpu
        else seconds * ratio * before.flops / speed.flops,
        "ner": seconds * (TRANSFORMER_NER if params.filter.spacy_model.endswith("_trf") else 1.0),
        "weights": seconds * ratio,
        "download": weights[1] / DOWNLOAD,
        "hosted": 0.0,
        "none": seconds,
    }  # fmt: skip
    local = by_scaling[stage.scaling]
    if speed.gpu:
        local = max(local, stage.steps * LAUNCHES)
    requests = stage.hosted.requests if stage.hosted else 0
    return local + requests * HOSTED_SECONDS / params.hosted.concurrency


def plan_stages(params: Params, texts: Texts) -> list[Stage]:
    """Return all stages in the order in which they run."""
    return [*_preparation(params, texts), *_evaluation(params, texts), *_evidence(params, texts)]


def _preparation(params: Params, texts: Texts) -> Iterator[Stage]:
    tune, generation = params.tune, params.generation
    drawn = texts.samples["train"] + texts.samples["dev"]
    yield _fetch("fetch_base", params.base)
    yield Stage("make_dialogues", "make_dialogues", texts.dialogues, "dialogues", "none")
    tokens = tune.epochs * texts.train * texts.dialogue
    trained = Stage("tune_challenge", "tune_challenge", tokens, "tokens × epochs", "training")
    yield _fetch("tune_challenge", tune.given) if tune.given else trained
    yield Stage("attack_challenge", "attack_challenge", tune.attack_dialogues, "dialogues", "decoding")
    yield Stage("subtract_task_vector", "subtract_task_vector", 1, "models", "weights")
    yield Stage("extract_samples", "extract_samples", texts.dialogues, "dialogues", "none")
    for name, source in generation.sources.items():
        yield _answers(params, texts, name, source, drawn)
    limit = generation.benign.max_tokens
    yield _decoding("generate_benign", generation.benign.per_opening * limit, limit, generation.batch_size)
    lengths = (source.candidates * min(source.max_tokens, 2 * texts.completion) for source in generation.sources.values())
    yield Stage("filter_pii", "filter_pii", drawn * sum(lengths), "tokens", "ner")
    yield Stage("make_secret", "make_secret", 1, "files", "none")
    yield Stage("build_pairs", "build_pairs", len(params.pairs.datasets) * drawn, "pairs", "none")
    for name, variant in params.train.variants.items():
        yield _training(params, texts, f"train_orpo@{name}", name, variant)


def _fetch(name: str, source: ModelSource) -> Stage:
    scaling: Scaling = "download" if source.source == "hub" else "weights"
    return Stage(name, "fetch_base", 1, "models", scaling)


def _decoding(name: str, tokens: float, limit: float, batch_size: int, **more: object) -> Stage:
    """Return a stage that mostly decodes."""
    kind = str(more.pop("kind", name))
    steps = max(tokens / batch_size, limit)
    return Stage(name, kind, tokens, "answer tokens", "decoding", steps=steps, **more)  # type: ignore[arg-type]


def _answers(params: Params, texts: Texts, name: str, source: Source, drawn: int) -> Stage:
    stage, count = f"generate_answers@{name}", drawn * source.candidates
    kind = f"generate_answers: {'hosted' if source.hosted else source.provider}"
    if source.hosted:
        tokens = round(count * (texts.prompt + INSTRUCTION)), count * source.max_tokens
        return Stage(stage, kind, count, "answers", "hosted", hosted=HostedTokens(source.model, count, *tokens))
    if source.provider == "rewriter":
        return Stage(stage, kind, count, "answers", "ner")
    limit = min(source.max_tokens, 2 * texts.completion)
    return _decoding(stage, count * limit, limit, params.generation.batch_size, kind=kind)


def _training(params: Params, texts: Texts, stage: str, name: str, variant: Variant, evidence: bool = False) -> Stage:
    dataset, train = params.pairs.datasets[variant.dataset], params.train
    pairs = dataset.samples or texts.samples["train"] * len(dataset.sources)
    private = pairs * (texts.prompt + 2 * texts.completion)
    benign = 1.5 * dataset.benign * 3 * INSTRUCTION  # short questions with two answers
    tokens = train.epochs * len(params.seeds(name)) * len(dataset.conditions) * (private + benign)
    return Stage(
        stage, f"train: {variant.objective}", tokens, "tokens × epochs × seeds", "training", f"train_orpo@{name}",
        evidence=evidence,
    )  # fmt: skip


def _answer_length(params: Params, texts: Texts) -> float:
    """Return the expected tokens of a tuned model's answer."""
    return min(params.eval.max_new_tokens, 2 * texts.completion)


def _evaluation(params: Params, texts: Texts) -> Iterator[Stage]:
    settings = params.eval
    answer = _answer_length(params, texts)
    candidates = sum(len(params.trainings(row)) for row in settings.candidates())
    yield _decoding("select_guidance", candidates * texts.samples["dev"] * answer, answer, settings.batch_size)
    stages = [(f"evaluate_untuned@{model}", model) for model in settings.models]
    for model, tuning, epoch in product(settings.models, settings.tunings, settings.epochs):
        stages.append((f"evaluate_model@{model}-{tuning}-{epoch}", f"{model}-{tuning}_e{epoch}"))
    for tuning, epoch in product(settings.ablation.tunings, settings.ablation.epochs):
        stages.append((f"evaluate_ablation@{tuning}-{epoch}", f"ch-{tuning}_e{epoch}"))
    for name, checkpoint in stages:
        yield _evaluate(params, texts, name, checkpoint, answer)
    for name in ("make_tables", "make_report", "publish_mlflow"):
        yield Stage(name, name, 1, "runs", "none")


def _evaluate(params: Params, texts: Texts, name: str, checkpoint: str, answer: float) -> Stage:
    settings, extended = params.eval, set(params.eval.extended.rows())
    rows = settings.rows_of(checkpoint)
    first = min(settings.prompts, texts.samples["test"])
    prompts = {row: texts.samples["test"] if row in extended else first for row in rows}
    tokens = sum(len(params.trainings(row)) * prompts[row] for row in rows) * answer
    return _decoding(
        name, tokens, answer, settings.batch_size, kind="evaluate", record=f"evaluate_model@{checkpoint}",
        hosted=_judge(params, rows),
    )  # fmt: skip


def _judge(params: Params, rows: list[TableRow]) -> HostedTokens | None:
    questions = params.eval.questions
    if "judge" not in questions.scorers or not questions.judge:
        return None
    requests = QUESTIONS * (1 + sum(len(params.trainings(row)) for row in rows))
    return HostedTokens(questions.judge.model, requests, requests * JUDGE_PROMPT, requests * VERDICT)


def _evidence(params: Params, texts: Texts) -> Iterator[Stage]:
    settings, answer = params.evidence, _answer_length(params, texts)
    for name, variant in settings.variants.items():
        yield _training(params, texts, f"train_baselines@{name}", name, variant, evidence=True)
    marked = min(texts.dialogues, MARKED)
    yield Stage("measure_detectors", "measure_detectors", marked, "dialogues", "ner", evidence=True)
    rows, first = [parse_row(key) for key in settings.rows], min(params.eval.prompts, texts.samples["test"])
    leaks = 2 * first * sum(len(params.trainings(row)) for row in rows)
    phrasings = sum(1 + bool(attack.system) for attack in attacks())  # triggers also test the bare weights
    attacked = phrasings * min(settings.prompts, texts.samples["test"]) * len(settings.attacked)
    for name, tokens in (
        ("test_evidence", (leaks + attacked) * answer),
        ("relearn_leaks", (1 + len(settings.relearned)) * len(settings.relearn_steps) * first * answer),
    ):
        judge = _judge(params, rows) if name == "test_evidence" else None
        yield _decoding(name, tokens, answer, params.eval.batch_size, evidence=True, hosted=judge)
    for name in ("make_evidence", "make_full_report"):
        yield Stage(name, name, 1, "runs", "none", evidence=True)
