"""Time of every stage: recorded times, scaled by the stage's work, the model's size and the machine's speed."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import BaseModel

from tightlip.doctor.dialogue_checks import Texts
from tightlip.doctor.speed import Speed
from tightlip.evidence.attacks import attacks
from tightlip.files import read_json
from tightlip.generation.benign import OPENINGS
from tightlip.params import ModelSource, Params, Variant
from tightlip.table_rows import TableRow, parse_row

RECORDED = Path(__file__).parent / "recorded.json"
"""The recorded run; `python -m tightlip.doctor.record` writes it."""

STARTING = 3.1
"""Seconds per stage of starting Python, imports, and DVC's work on its lock (docs/performance.md)."""

HOSTED_SECONDS = 3.0
"""Assumed seconds of a request to a hosted model."""

DOWNLOAD = 3e7
"""Assumed bytes per second of a download from the hub."""

NER_LOAD = 3.5
"""Seconds to load spaCy's pipeline and the patterns."""

TRANSFORMER_NER = 14.0
"""How many times slower spaCy's transformer pipelines are on a CPU than its small one: 10,000 and 700 words/s."""

ATTACK_TOKENS, ATTACK_BATCH = 300, 48  # tokens that both models write per dialogue, and rows of a batch
MARKED = 400  # dialogues that measure_detectors reads at most
LENGTH = 0.5
"""Expected length of an answer as a share of its limit; hosted models are paid as if every answer took all of it."""

INSTRUCTION, JUDGE_PROMPT, VERDICT = 40, 280, 8  # tokens
QUESTIONS = 100  # assumed number of questions for the judge

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
        scaling: see `Scaling`.
        work: amount in `unit`.
        unit: what the work is counted in.
        kind: stages of one kind take the same time per unit of work; empty if it is the name.
        record: file of its record in `data/records/`, without the suffix; empty if it is the name.
        steps: decoding steps, which have a shortest time on a GPU.
        hosted: what a hosted model does.
        evidence: whether it belongs to `evidence/dvc.yaml`.
    """

    name: str
    scaling: Scaling = "none"
    work: float = 1
    unit: str = "runs"
    kind: str = ""
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
        flops: of its machine, as `speed.measure_speed` measures them.
        stages: by name.
    """

    profile: str
    source: str
    parameters: int
    flops: float
    stages: dict[str, RecordedStage]

    def seconds(self, stage: Stage) -> float:
        """Return the seconds that a stage's work would have taken in the recorded run, without what all work shares."""
        known = [self.stages[stage.name]] if stage.name in self.stages else []
        known = known or [each for each in self.stages.values() if each.kind == (stage.kind or stage.name)]
        work = sum(each.work for each in known)
        variable = sum(max(0.0, each.seconds - fixed_seconds(stage)) for each in known)
        return variable * stage.work / work if work else 0.0


def fixed_seconds(stage: Stage) -> float:
    """Return the seconds that a stage takes however little work it has."""
    return NER_LOAD if stage.scaling == "ner" else 0.0


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
    seconds, before = recorded.seconds(stage), Speed(recorded.flops, 0, "")
    ratio, ner = weights[0] / recorded.parameters, TRANSFORMER_NER if params.filter.spacy_model.endswith("_trf") else 1
    local = {
        "training": seconds * ratio * before.training / speed.training,
        "decoding": stage.steps * speed.step_seconds(weights[1]) if speed.gpu
        else seconds * ratio * before.training / speed.training,
        "ner": seconds * ner,
        "weights": seconds * ratio,
        "download": weights[1] / DOWNLOAD,
        "hosted": 0.0,
        "none": seconds,
    }[stage.scaling]  # fmt: skip
    requests = stage.hosted.requests if stage.hosted else 0
    return fixed_seconds(stage) + local + requests * HOSTED_SECONDS / params.hosted.concurrency


def plan_stages(params: Params, texts: Texts) -> list[Stage]:
    """Return all stages in the order in which they run."""
    return [*_preparation(params, texts), *_evaluation(params, texts), *_evidence(params, texts)]


def _preparation(params: Params, texts: Texts) -> Iterator[Stage]:
    tune, generation, count = params.tune, params.generation, texts.samples["train"] + texts.samples["dev"]
    yield _fetch("fetch_base", params.base)
    yield Stage("make_dialogues", "none", texts.dialogues, "dialogues")
    tokens = tune.epochs * texts.train * texts.dialogue
    yield (
        _fetch("tune_challenge", tune.given) if tune.given
        else Stage("tune_challenge", "training", tokens, "tokens × epochs")
    )  # fmt: skip
    yield _decoding("attack_challenge", tune.attack_dialogues * ATTACK_TOKENS, ATTACK_TOKENS, ATTACK_BATCH)
    yield Stage("subtract_task_vector", "weights")
    yield Stage("extract_samples", "none", texts.dialogues, "dialogues")
    for name, source in generation.sources.items():
        stage, answers = f"generate_answers@{name}", count * source.candidates
        if source.provider == "local":
            length = LENGTH * source.max_tokens
            yield _decoding(stage, answers * length, length, generation.batch_size, kind="generate_answers: local")
        elif source.provider == "rewriter":
            yield Stage(stage, "ner", answers, "answers", "generate_answers: rewriter")
        else:
            tokens = answers * (texts.prompt + INSTRUCTION)
            hosted = HostedTokens(source.model, answers, round(tokens), answers * source.max_tokens)
            yield Stage(stage, "hosted", answers, "answers", hosted=hosted)
    length = LENGTH * generation.benign.max_tokens
    yield _decoding(
        "generate_benign", len(OPENINGS) * generation.benign.per_opening * length, length, generation.batch_size
    )
    tokens = sum(source.candidates * source.max_tokens for source in generation.sources.values()) * LENGTH
    yield Stage("filter_pii", "ner", count * tokens, "tokens")
    yield Stage("make_secret")
    yield Stage("build_pairs", "none", len(params.pairs.datasets) * count, "pairs")
    for name, variant in params.train.variants.items():
        yield _training(params, texts, f"train_orpo@{name}", variant)


def _fetch(name: str, source: ModelSource) -> Stage:
    return Stage(name, "download" if source.source == "hub" else "weights", kind="fetch_base")


def _decoding(
    name: str, tokens: float, length: float, batch_size: int, kind: str = "", record: str = "",
    hosted: HostedTokens | None = None, evidence: bool = False,
) -> Stage:  # fmt: skip
    """Return a stage that writes `tokens` tokens in answers of a length, `batch_size` answers at a time."""
    steps = max(tokens / batch_size, length)
    return Stage(name, "decoding", tokens, "answer tokens", kind, record, steps, hosted, evidence)


def _training(params: Params, texts: Texts, stage: str, variant: Variant, evidence: bool = False) -> Stage:
    dataset, name = params.pairs.datasets[variant.dataset], stage.partition("@")[2]
    pairs = dataset.samples or texts.samples["train"] * len(dataset.sources)
    chosen = LENGTH * max(params.generation.sources[source].max_tokens for source in dataset.sources)
    benign = 1.5 * dataset.benign * 3 * INSTRUCTION  # short questions with two answers
    tokens = len(dataset.conditions) * (pairs * (texts.prompt + texts.completion + chosen) + benign)
    work, kind = params.train.epochs * len(params.seeds(name)) * tokens, f"train: {variant.objective}"
    return Stage(stage, "training", work, "tokens × epochs × seeds", kind, f"train_orpo@{name}", evidence=evidence)


def _evaluation(params: Params, texts: Texts) -> Iterator[Stage]:
    settings, answer = params.eval, LENGTH * params.eval.max_new_tokens
    candidates = sum(len(params.trainings(row)) for row in settings.candidates())
    yield _decoding("select_guidance", candidates * texts.samples["dev"] * answer, answer, settings.batch_size)
    stages: list[tuple[str, str]] = [(f"evaluate_untuned@{model}", model) for model in settings.models]
    for model, tuning, epoch in product(settings.models, settings.tunings, settings.epochs):
        stages.append((f"evaluate_model@{model}-{tuning}-{epoch}", f"{model}-{tuning}_e{epoch}"))
    for tuning, epoch in product(settings.ablation.tunings, settings.ablation.epochs):
        stages.append((f"evaluate_ablation@ch-{tuning}-{epoch}", f"ch-{tuning}_e{epoch}"))
    test, extended = texts.samples["test"], set(settings.extended.rows())
    for name, weights in stages:
        rows = settings.rows_of(weights)
        prompts = (
            len(params.trainings(row)) * (test if row in extended else min(settings.prompts, test)) for row in rows
        )
        tokens, record, judge = sum(prompts) * answer, f"evaluate_model@{weights}", _judge(params, rows)
        yield _decoding(name, tokens, answer, settings.batch_size, "evaluate", record, judge)
    yield from map(Stage, ("make_tables", "make_report", "publish_mlflow"))


def _judge(params: Params, rows: list[TableRow]) -> HostedTokens | None:
    questions = params.eval.questions
    if "judge" not in questions.scorers or not questions.judge:
        return None
    requests = QUESTIONS * (1 + sum(len(params.trainings(row)) for row in rows))
    return HostedTokens(questions.judge.model, requests, requests * JUDGE_PROMPT, requests * VERDICT)


def _evidence(params: Params, texts: Texts) -> Iterator[Stage]:
    settings, batch, answer = params.evidence, params.eval.batch_size, LENGTH * params.eval.max_new_tokens
    test, rows = min(params.eval.prompts, texts.samples["test"]), [parse_row(key) for key in settings.rows]
    for name, variant in settings.variants.items():
        yield _training(params, texts, f"train_baselines@{name}", variant, evidence=True)
    yield Stage("measure_detectors", "ner", min(texts.dialogues, MARKED), "dialogues", evidence=True)
    leaks = 2 * test * sum(len(params.trainings(row)) for row in rows)  # as deployed, and under the negative sentence
    phrasings = sum(1 + bool(attack.system) for attack in attacks())  # triggers also test the bare weights
    tokens = (leaks + phrasings * min(settings.prompts, test) * len(settings.attacked)) * answer
    yield _decoding("test_evidence", tokens, answer, batch, hosted=_judge(params, rows), evidence=True)
    tokens = (1 + len(settings.relearned)) * len(settings.relearn_steps) * test * answer
    yield _decoding("relearn_leaks", tokens, answer, batch, evidence=True)
    yield Stage("make_evidence", evidence=True)
    yield Stage("make_full_report", record="make_report@--full", evidence=True)
