"""An examination: checks, plan and speed put together."""

import shutil
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tightlip.doctor import access, hub, machine
from tightlip.doctor.findings import Finding
from tightlip.doctor.shapes import Shape, find_config, measure_shape
from tightlip.doctor.sizes import PROCESS, disk_bytes
from tightlip.doctor.speed import GPUS, Speed, import_seconds, measure, ner_words, on_gpu
from tightlip.doctor.texts import Texts, count_texts, find_counter, the_dialogues
from tightlip.doctor.work import Stage
from tightlip.files import read_json
from tightlip.params import Params, load_params

DIALOGUES = "data/dialogues.jsonl"
BUSY_SECONDS = 0.3
"""For how long the processors are watched."""


@dataclass
class Examination:
    """All that was found out.

    Attributes:
        profile: of the parameters; empty if they cannot be read.
        findings: one per check.
        stages: of the run; none if they cannot be planned.
        texts, shape, speed: what they were planned with.
        last: seconds that stages took when they last ran here, by name.
        prices: $ per million tokens of prompts and answers, by hosted model.
    """

    profile: str = ""
    findings: list[Finding] = field(default_factory=list)
    stages: list[Stage] = field(default_factory=list)
    texts: Texts | None = None
    shape: Shape | None = None
    speed: Speed | None = None
    last: dict[str, float] = field(default_factory=dict)
    prices: dict[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def fails(self) -> bool:
        """Whether a run would fail."""
        return any(finding.status == "fail" for finding in self.findings)


def examine(root: Path, profile: str | None, gpu: str | None) -> Examination:
    """Examine a project and this machine.

    Args:
        root: of the project.
        profile: of `conf/profile`; without, the composed params.yaml.
        gpu: reckon for this one of `speed.GPUS`, instead of measuring this machine.
    """
    import psutil

    busy = psutil.cpu_percent(BUSY_SECONDS) / 100
    found = Examination()
    packages = machine.installed_packages()
    found.findings = [
        machine.check_python(),
        machine.check_packages(root / "constraints.txt", packages, machine.required_packages()),
        *machine.check_project(root),
    ]
    try:
        params = read_params(root, profile)
    except ValueError as error:
        remedy = "correct the profile in conf/" if profile else "correct it, or `make params`"
        found.findings.append(Finding("parameters", "fail", str(error), remedy))
        return found
    found.profile = params.profile
    found.findings.append(Finding("parameters", "ok", f"profile {params.profile}"))
    imports = import_seconds()  # before anything else imports the same
    said = _look_elsewhere(found, root, params)
    _plan(found, root, params, said, gpu, busy, imports)
    return found


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


def hosted_terms(params: Params) -> tuple[dict[str, tuple[float, float]], int]:
    """Return what hosted models cost, $ per million tokens of prompts and of answers, and how many requests may run."""
    priced = {model: (price.input, price.output) for model, price in params.hosted.prices.items()}
    return priced, params.hosted.concurrency


def cost(stage: Stage, known: dict[str, tuple[float, float]]) -> float | None:
    """Return what a stage costs at most, in $; None if a price is not known."""
    if any(asked.model not in known for asked in stage.work.hosted):
        return None
    return sum(
        (asked.prompt_tokens * known[asked.model][0] + asked.completion_tokens * known[asked.model][1]) / 1e6
        for asked in stage.work.hosted
    )


def _look_elsewhere(found: Examination, root: Path, params: Params) -> dict[str, hub.Said]:
    keys = access.read_keys(root)
    token = (keys.get(access.HUB_KEY) or "").strip() or None

    def ask_dataset(name: str, revision: str | None, token: str | None) -> hub.Said:
        return hub.ask(name, revision, token, "dataset")

    models, said = access.check_models(params, root, token, hub.ask)
    found.findings += [
        *access.check_keys(access.needed_keys(params), keys),
        *access.check_env_file(root, machine.ignored_by_git(root, access.ENV)),
        *models,
        access.check_ner(params.filter.spacy_model),
        access.check_questions(params.eval.questions, token, ask_dataset),
        *access.check_secret(params, root, keys),
    ]
    return said


def _plan(
    found: Examination, root: Path, params: Params, said: dict[str, hub.Said], gpu: str | None, busy: float,
    imports: float,
) -> None:  # fmt: skip
    from tightlip.doctor.plan import Planner  # it imports what was timed

    same = (root / "params.yaml").is_file() and _is_current(root, params)
    made = root / "models/base" if same else None
    try:
        answer = said.get(params.base.name)
        here = same and (root / DIALOGUES).is_file()
        if params.dialogues.format != "synthetic" and not here:
            text = "not imported yet; invented ones stand in for them in the estimate"
            found.findings.append(Finding("dialogues", "warn", text, "dvc repro make_dialogues, and ask again"))
        config, origin, exact = find_config(params.base, answer.parameters if answer else None)
        shape = measure_shape(config, params.base.dtype, origin, exact)
        dialogues = the_dialogues(params, root / DIALOGUES if here else None)
        texts = count_texts(params, dialogues, *find_counter(params.base, made))
    except ValueError as error:
        found.findings.append(Finding("estimate", "warn", str(error), "put right what is named, and ask again"))
        return
    ner = next(finding for finding in found.findings if finding.name == "NER")
    some = [turn.content for dialogue in dialogues[:100] for turn in dialogue.turns]
    words = ner_words(params.filter.spacy_model, ner.status == "ok", some)
    length = round(texts.prompt + 2 * texts.completion)
    if gpu:
        speed = on_gpu(gpu, shape, words, imports)
    else:
        train = params.train
        speed = measure(config, shape, train.lora.rank, train.batch_size, length, words, imports, busy > machine.BUSY)
    planner = Planner(params, texts, shape, written_out=_on_cpu(gpu) and config.model_type == "llama")
    found.prices, workers = hosted_terms(params)
    stages = planner.stages()
    if _on_cpu(gpu):
        stages = [replace(each, memory=each.memory + PROCESS) if each.memory else each for each in stages]
    found.stages, found.texts, found.shape = stages, texts, shape
    found.speed = replace(speed, workers=workers)
    found.last = _last_times(root, found.stages) if same else {}
    found.findings += _capacity(root, params, found.stages, shape, gpu, busy)


def _capacity(
    root: Path, params: Params, stages: list[Stage], shape: Shape, gpu: str | None, busy: float
) -> list[Finding]:
    largest = max(stages, key=lambda stage: 0 if stage.on_cpu and not _on_cpu(gpu) else stage.memory)
    disk = machine.check_disk(
        shutil.disk_usage(root).free, disk_bytes(params, shape, copies=not machine.shares_blocks(root))
    )
    if gpu:
        total = GPUS[gpu].memory * 1e9
        return [disk, machine.check_memory(total, total, largest.memory, largest.name, f"{gpu.upper()}'s memory")]
    checks = [disk, machine.check_gpu(params.base.dtype)]
    if _on_cpu():
        total, free = machine.memory()
        checks += [
            machine.check_memory(total, free, largest.memory, largest.name),
            machine.check_cpu(params.base.dtype),
        ]
    else:
        import torch

        free, total = map(float, torch.cuda.mem_get_info())
        checks.append(machine.check_memory(total, free, largest.memory, largest.name, "GPU's memory"))
    return [*checks, machine.check_load(busy)]


def _on_cpu(gpu: str | None = None) -> bool:
    """Say whether the processor computes everything."""
    import torch

    return not gpu and not torch.cuda.is_available()


def _is_current(root: Path, params: Params) -> bool:
    """Say whether params.yaml has the same parameters, so that data, models and records here may be of this run."""
    try:
        return load_params(root / "params.yaml") == params
    except ValueError:
        return False


def _last_times(root: Path, stages: list[Stage]) -> dict[str, float]:
    paths = {stage.name: root / f"data/records/{stage.record}.json" for stage in stages}
    return {name: read_json(path)["seconds"] for name, path in paths.items() if path.is_file()}


def totals(found: Examination, evidence: bool | None = None) -> dict[str, Any]:
    """Add up stages: those of the main pipeline, of the evidence, or all."""
    assert found.speed is not None  # noqa: S101  (there are stages)
    stages = [stage for stage in found.stages if evidence is None or stage.evidence == evidence]
    costs = [cost(stage, found.prices) for stage in stages]
    return {
        "seconds": sum(found.speed.seconds(stage.work) for stage in stages),
        "starting_seconds": found.speed.starting([stage.work for stage in stages]),
        "tokens": sum(stage.work.tokens for stage in stages),
        "hosted_tokens": sum(hosted_tokens(stage) for stage in stages),
        "dollars": None if None in costs else sum(each for each in costs if each is not None),
        "memory_bytes": max(stage.memory for stage in stages),
    }


def hosted_tokens(stage: Stage) -> int:
    """Return the tokens of all prompts and, at most, of all answers."""
    return sum(asked.prompt_tokens + asked.completion_tokens for asked in stage.work.hosted)
