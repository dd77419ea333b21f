"""All checks of the doctor, and the estimate of a run, put together."""

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tightlip.doctor import access, dialogue_checks, hub, machine, model_checks, model_size
from tightlip.doctor.dialogue_checks import Texts
from tightlip.doctor.findings import Finding
from tightlip.doctor.hub import HubRepo
from tightlip.doctor.model_size import ModelSize
from tightlip.doctor.speed import GPUS, Speed, measure_speed
from tightlip.doctor.stage_estimates import STARTING, Stage, estimate_seconds, load_recorded, plan_stages
from tightlip.files import read_json
from tightlip.params import ModelSource, Params, load_params

BUSY_SECONDS = 0.3
"""For how long the load of the processors is watched."""


@dataclass(frozen=True)
class Estimate:
    """Estimate of a stage.

    Attributes:
        stage: with its work.
        seconds: without the start.
        last_seconds: of its last run here with the same parameters, if it ran.
        dollars: at most; None if a price is not known.
    """

    stage: Stage
    seconds: float
    last_seconds: float | None
    dollars: float | None


@dataclass
class Examination:
    """Result of all checks, and the estimate.

    Attributes:
        profile: of the parameters; empty if they cannot be read.
        findings: one per check.
        estimates: one per stage; none if the run cannot be estimated.
        size: of the base model.
        speed: that the estimate is made with.
        source: run whose times are scaled.
    """

    profile: str = ""
    findings: list[Finding] = field(default_factory=list)
    estimates: list[Estimate] = field(default_factory=list)
    size: ModelSize | None = None
    speed: Speed | None = None
    source: str = ""

    @property
    def fails(self) -> bool:
        """Whether a run would fail."""
        return any(each.status == "fail" for each in self.findings)

    def totals(self, evidence: bool) -> dict[str, Any]:
        """Add up the stages of the main pipeline, or those of the evidence."""
        part = [each for each in self.estimates if each.stage.evidence == evidence]
        dollars = [each.dollars for each in part if each.dollars is not None]
        return {
            "seconds": sum(each.seconds for each in part),
            "starting_seconds": STARTING * len(part),
            "hosted_tokens": sum(hosted_tokens(each.stage) for each in part),
            "dollars": sum(dollars) if len(dollars) == len(part) else None,
        }


def examine(root: Path, profile: str | None, gpu: str | None) -> Examination:
    """Examine a project and this machine.

    Args:
        root: of the project.
        profile: of `conf/profile`; None takes the composed params.yaml.
        gpu: one of `speed.GPUS` to estimate for; None measures this machine.
    """
    import psutil

    load = psutil.cpu_percent(BUSY_SECONDS) / 100
    examination = Examination()
    packages = machine.installed_packages()
    examination.findings = [
        machine.check_python(),
        machine.check_packages(root / "constraints.txt", packages, machine.required_packages()),
        *machine.check_project(root),
    ]
    try:
        params = read_params(root, profile)
    except ValueError as error:
        remedy = "correct the profile in conf/" if profile else "correct it, or `make params`"
        examination.findings.append(Finding("parameters", "fail", str(error), remedy))
        return examination
    examination.profile = params.profile
    examination.findings.append(Finding("parameters", "ok", f"profile {params.profile}"))
    repos = _check_access(examination, root, params)
    try:
        texts = _check_texts(examination, root, params)
        _estimate(examination, root, params, texts, repos, gpu)
    except ValueError as error:
        examination.findings.append(Finding("estimate", "warn", str(error), "correct it, and run the doctor again"))
    examination.findings.append(machine.check_load(load))
    return examination


def read_params(root: Path, profile: str | None) -> Params:
    """Read params.yaml, or compose a profile without touching it.

    Raises:
        ValueError: the parameters are missing or wrong.
    """
    if profile is None:
        return load_params(root / "params.yaml")
    from tightlip.compose import compose

    with tempfile.TemporaryDirectory() as folder:
        compose(profile, Path(folder, "params.yaml"), root / "conf")
        return load_params(Path(folder, "params.yaml"))


def _check_access(examination: Examination, root: Path, params: Params) -> dict[str, HubRepo]:
    keys = access.read_keys(root)
    token = (keys.get(model_checks.HUB_KEY) or "").strip() or None

    def look_up_dataset(name: str, revision: str | None, token: str | None) -> HubRepo:
        return hub.look_up(name, revision, token, "dataset")

    models, repos = model_checks.check_models(params, root, token, hub.look_up)
    examination.findings += [
        *access.check_keys(access.needed_keys(params), keys),
        *access.check_env_file(root, machine.ignored_by_git(root, access.ENV)),
        *models,
        access.check_ner(params.filter.spacy_model),
        access.check_questions(params.eval.questions, token, look_up_dataset),
        *access.check_secret(params, root, keys),
    ]
    return repos


def _check_texts(examination: Examination, root: Path, params: Params) -> Texts:
    """Check the dialogues against the token limits, and measure them.

    Raises:
        ValueError: no sample can be cut from the dialogues.
    """
    try:
        tokenizer = model_checks.load_source_tokenizer(_base(root, params), root)
    except (ValueError, OSError):
        tokenizer = None
    dialogues, problem = dialogue_checks.load_dialogues(params, root, _is_current(root, params))
    samples = dialogue_checks.draw_samples(params, dialogues)
    if problem:
        examination.findings.append(problem)
    elif tokenizer is not None:
        drawn = [*samples["train"], *samples["dev"], *samples["test"]]
        examination.findings += dialogue_checks.check_lengths(params, dialogues, drawn, tokenizer)
    characters = dialogue_checks.characters_per_token(dialogues, tokenizer)
    return dialogue_checks.measure_texts(params, dialogues, samples, characters)


def _estimate(
    examination: Examination, root: Path, params: Params, texts: Texts, repos: dict[str, HubRepo], gpu: str | None
) -> None:
    repo, recorded = repos.get(params.base.name), load_recorded()
    config, origin = model_size.find_config(_base(root, params), root, repo.parameters if repo else None)
    speed = GPUS[gpu] if gpu else measure_speed(params.base.dtype)
    size = model_size.measure_size(config, params.base.dtype, origin, on_cpu=not speed.gpu)
    current = _is_current(root, params)
    for stage in plan_stages(params, texts):
        seconds = estimate_seconds(stage, params, (size.parameters, size.weights), speed, recorded)
        last = _last_seconds(root, stage) if current else None
        examination.estimates.append(Estimate(stage, seconds, last, dollars(stage, params)))
    examination.size, examination.speed, examination.source = size, speed, recorded.source
    examination.findings.append(machine.check_disk(shutil.disk_usage(root).free, model_size.disk_bytes(params, size)))
    examination.findings += _check_memory(params, texts, size, speed, gpu)


def _check_memory(params: Params, texts: Texts, size: ModelSize, speed: Speed, gpu: str | None) -> list[Finding]:
    process = 0.0 if speed.gpu else model_size.PROCESS
    stage, peak = max(memory_peaks(params, texts, size).items(), key=lambda item: item[1])
    if gpu:
        return [machine.check_memory(speed.memory, speed.memory, peak, stage, f"{gpu.upper()}'s memory")]
    dtype = params.base.dtype
    if speed.gpu:
        import torch

        free, total = map(float, torch.cuda.mem_get_info())
        return [machine.check_gpu(dtype), machine.check_memory(total, free, peak, stage, "GPU's memory")]
    memory = machine.check_memory(*machine.memory(), peak + process, stage)
    return [machine.check_gpu(dtype), memory, machine.check_cpu(dtype)]


def memory_peaks(params: Params, texts: Texts, size: ModelSize) -> dict[str, float]:
    """Return the bytes that the three stages with the highest peaks take, beside those of an empty process."""
    answers = max(source.max_tokens for source in params.generation.sources.values())
    pair = texts.longest_prompt + 2 * texts.completion + answers
    evaluation = model_size.evaluation_bytes(
        size, 2 * params.eval.batch_size, texts.longest_prompt + params.eval.max_new_tokens
    )
    peaks = {
        "train_orpo": model_size.training_bytes(size, params.train.batch_size, pair, params.train.lora.rank),
        "test_evidence": model_size.evidence_bytes(size, evaluation),
    }
    if not params.tune.given:
        tune = params.tune
        peaks["tune_challenge"] = model_size.training_bytes(size, tune.batch_size, texts.longest_dialogue, tune.rank)
    return peaks


def dollars(stage: Stage, params: Params) -> float | None:
    """Return what a stage costs at most; None if a price is not known."""
    if not stage.hosted:
        return 0.0
    price = params.hosted.prices.get(stage.hosted.model)
    tokens = stage.hosted
    return (tokens.prompt_tokens * price.input + tokens.completion_tokens * price.output) / 1e6 if price else None


def hosted_tokens(stage: Stage) -> int:
    """Return the tokens of all hosted prompts and, at most, of all hosted answers."""
    return stage.hosted.prompt_tokens + stage.hosted.completion_tokens if stage.hosted else 0


def _base(root: Path, params: Params) -> ModelSource:
    """Return the base model as fetched if it is here: its files are read faster than a package's."""
    if _is_current(root, params) and (root / "models/base/tokenizer_config.json").is_file():
        return ModelSource(source="path", name="models/base")
    return params.base


def _is_current(root: Path, params: Params) -> bool:
    """Return whether params.yaml has the same parameters, so that data and records here are of this run."""
    try:
        return load_params(root / "params.yaml") == params
    except ValueError:
        return False


def _last_seconds(root: Path, stage: Stage) -> float | None:
    path = root / f"data/records/{stage.record or stage.name}.json"
    return float(read_json(path)["seconds"]) if path.is_file() else None
