"""Checks of the base model and of a given tuned model, by the functions that the stages call."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tightlip.doctor.findings import Finding, Status, error_finding, finding
from tightlip.doctor.hub import HubRepo
from tightlip.params import ModelSource, Params

HUB_KEY = "HF_TOKEN"

LookUp = Callable[[str, str | None, str | None], HubRepo]


def sources(params: Params) -> dict[str, ModelSource]:
    """Return the models that a run starts from, by their field in the parameters."""
    return {"base": params.base, **({"tune.given": params.tune.given} if params.tune.given else {})}


def check_models(
    params: Params, root: Path, token: str | None, look_up: LookUp
) -> tuple[list[Finding], dict[str, HubRepo]]:
    """Check the models that a run starts from, and that a given tuned model fits its base.

    Returns:
        The findings, and the state of the hub's models, by name.
    """
    findings: list[Finding] = []
    repos: dict[str, HubRepo] = {}
    for field, source in sources(params).items():
        if source.source == "hub":
            repos[source.name] = look_up(source.name, source.revision, token)
            findings += check_hub_model(field, source, repos[source.name], bool(token))
        else:
            findings.append(check_local_model(field, source, root))
    if params.tune.given and all(each.status != "fail" for each in findings):
        findings.append(check_pair(params.base, params.tune.given, root))
    return findings, repos


def check_hub_model(field: str, source: ModelSource, repo: HubRepo, token: bool) -> list[Finding]:
    """Check that a model of the hub can be fetched and trained, and that its revision is pinned."""
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
    text, problem, remedy = problems[repo.status]
    findings = [finding(field, f"{name}: {text}", problem, remedy)]
    if repo.quantized:
        from tightlip.models.loading import check_quantization

        try:
            check_quantization({"quantization_config": {}}, name)
        except ValueError as error:
            findings.append(error_finding(field, error))
    if not is_commit(source.revision):
        commit = f" (now {repo.revision})" if repo.revision else ""
        text = f"{source.revision!r} is no commit, so that another run may get another model"
        findings.append(Finding(f"{field}.revision", "warn", text, f"pin the commit{commit}"))
    return findings


def is_commit(revision: str | None) -> bool:
    """Return whether a revision is a full commit hash."""
    return bool(revision) and len(str(revision)) == 40 and set(str(revision)) <= set("0123456789abcdef")


def check_local_model(field: str, source: ModelSource, root: Path) -> Finding:
    """Check a model on this machine as `fetch_base` does, except for its weights."""
    from tightlip.models.loading import check_config
    from tightlip.models.model_files import need_file
    from tightlip.models.packaged import find_packaged

    try:
        if source.source == "random":
            return finding(field, "a random model, made on the spot")
        if source.source == "package":
            find_packaged(source.name)
            return finding(field, f"{source.name}, installed")
        folder = root / Path(source.name).expanduser()
        need_file(folder / "config.json", f"{folder}: no model here")
        check_config(folder)
        load_source_tokenizer(source, root)
    except (ValueError, OSError) as error:
        return error_finding(field, error)
    return finding(field, f"{folder}: config, safetensors and chat template fit each other")


def check_pair(base: ModelSource, tuned: ModelSource, root: Path) -> Finding:
    """Check that a given tuned model has the base's tensors and tokenizer, as `tune_challenge` does.

    Tensors are compared by the configs: weights that one of the two files stores twice are one tensor here as there.
    """
    from tightlip.models.task_vector import same_tensors
    from tightlip.models.tokenizer import same_tokenizer

    name = "tune.given"
    try:
        same_tensors(tensor_shapes(load_config(base, root)), tensor_shapes(load_config(tuned, root)), name)
        same_tokenizer(load_source_tokenizer(base, root), load_source_tokenizer(tuned, root), name)
    except ValueError as error:
        return error_finding(name, error)
    except OSError:
        return Finding(name, "warn", "cannot be compared with the base before both are fetched", "dvc repro fetch_base")
    return finding(name, "the base's tensors, tokenizer and chat template")


def tensor_shapes(config: Any) -> dict[str, list[int]]:
    """Return the shapes of a model's tensors by name, without weights."""
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    return {name: list(weight.shape) for name, weight in model.named_parameters()}


def load_config(source: ModelSource, root: Path) -> Any:
    """Load a model's config from this machine.

    Raises:
        OSError: it is a model of the hub that is not in the cache.
        ValueError: the package or its file is missing.
    """
    from transformers import AutoConfig

    from tightlip.models.packaged import find_packaged
    from tightlip.models.random_model import random_model, random_tokenizer

    if source.source == "random":
        return random_model(random_tokenizer(), 0).config
    if source.source == "package":
        folder, file = find_packaged(source.name)
        return AutoConfig.from_pretrained(folder, gguf_file=file)
    place = root / Path(source.name).expanduser() if source.source == "path" else source.name
    return AutoConfig.from_pretrained(place, revision=source.revision, local_files_only=True, trust_remote_code=False)


def load_source_tokenizer(source: ModelSource, root: Path) -> Any:
    """Load a model's tokenizer from this machine; errors as of `load_config`."""
    from huggingface_hub import snapshot_download
    from transformers import AutoTokenizer

    from tightlip.models.packaged import find_packaged
    from tightlip.models.random_model import random_tokenizer
    from tightlip.models.tokenizer import load_tokenizer

    if source.source == "random":
        return random_tokenizer()
    if source.source == "package":
        folder, file = find_packaged(source.name)
        return AutoTokenizer.from_pretrained(folder, gguf_file=file)
    if source.source == "hub":
        return load_tokenizer(snapshot_download(source.name, revision=source.revision, local_files_only=True))
    return load_tokenizer(root / Path(source.name).expanduser())
