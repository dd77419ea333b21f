"""The rules of the design that a reviewer would otherwise have to check by eye."""

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src"
STAGES = sorted((ROOT / "stages").glob("*.py"))
PLUMBING = {
    "tightlip.cache", "tightlip.dvc_lock", "tightlip.failures", "tightlip.files", "tightlip.params", "tightlip.process",
    "tightlip.records", "tightlip.repair", "tightlip.stage",
    "tightlip.table_rows",
}  # fmt: skip


def module_files() -> dict[str, Path]:
    files = {}
    for path in sorted((SRC / "tightlip").rglob("*.py")):
        parts = path.relative_to(SRC).with_suffix("").parts
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return files


FILES = module_files()


@cache
def imports(path: Path) -> frozenset[str]:
    """Every name a file imports, at its top or inside a function, but not for type checking alone."""
    found = set()
    for node in running(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {str(node.module)} | {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(found)


def running(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        yield child
        yield from running(child)


def ours(path: Path) -> set[str]:
    """Modules of ours that a file imports; a package does not import itself by listing its modules."""
    return {name for name in imports(path) if name in FILES and FILES[name] != path}


def closure(path: Path) -> set[str]:
    """Modules of ours that a file imports, directly or through others."""
    todo, found = list(ours(path)), set()
    while todo:
        module = todo.pop()
        if module not in found:
            found.add(module)
            todo += ours(FILES[module])
    return found


def importers(library: str) -> set[str]:
    return {
        module
        for module, path in FILES.items()
        if any(name == library or name.startswith(f"{library}.") for name in imports(path))
    }


def dvc_stages() -> dict[str, dict[str, Any]]:
    stages: dict[str, dict[str, Any]] = {}
    for path in (ROOT / "dvc.yaml", ROOT / "evidence/dvc.yaml"):
        stages |= yaml.safe_load(path.read_text(encoding="utf-8"))["stages"]
    return {name: stage.get("do", stage) for name, stage in stages.items()}


def script(stage: dict[str, Any]) -> str:
    python, path, *_ = stage["cmd"].split()
    assert python == "python"
    return str(path)


# --- Layers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "allowed"),
    [
        ("tightlip.records", set()),
        ("tightlip.files", set()),
        ("tightlip.prompts", {"tightlip.records"}),
        ("tightlip.table_rows", set()),
        ("tightlip.params", {"tightlip.files", "tightlip.records", "tightlip.table_rows"}),
        ("tightlip.failures", set()),
        ("tightlip.dvc_lock", set()),
        ("tightlip.repair", {"tightlip.dvc_lock", "tightlip.files"}),
        ("tightlip.process", set()),
        ("tightlip.cache", {"tightlip.files", "tightlip.process"}),
        ("tightlip.secret", {"tightlip.prompts", "tightlip.records"}),
        (
            "tightlip.stage",
            {
                "tightlip.cache",
                "tightlip.dvc_lock",
                "tightlip.failures",
                "tightlip.files",
                "tightlip.process",
                "tightlip.repair",
            },
        ),
    ],
)
def test_plumbing_imports_no_other_module_of_ours(module: str, allowed: set[str]) -> None:
    of_package = {name for name in FILES if f"{name}.".startswith(f"{module}.")}
    assert {name for each in of_package for name in ours(FILES[each])} <= allowed | of_package


def test_nothing_imports_a_stage() -> None:
    names = {path.stem for path in STAGES} | {"stages"}
    for path in [*FILES.values(), *STAGES]:
        assert not {name.split(".")[0] for name in imports(path)} & names, path


@pytest.mark.parametrize("library", ["trl", "spacy", "presidio_analyzer", "openai", "together"])
def test_at_most_one_module_imports_a_big_library(library: str) -> None:
    assert len(importers(library)) <= 1


def test_only_tracking_imports_mlflow() -> None:
    assert all(module.startswith("tightlip.tracking") for module in importers("mlflow"))


def test_few_modules_import_dvc() -> None:
    wrappers = {"tightlip.compose", "tightlip.check_lock", "tightlip.comparison.revisions", "tightlip.dvc_lock"}
    assert importers("dvc") <= wrappers


def test_no_module_imports_what_dvc_is_made_of() -> None:
    assert not importers("scmrepo") | importers("dulwich") | importers("dvc_data")


def test_no_stage_imports_a_library_that_the_package_wraps() -> None:
    wrapped = {"trl", "spacy", "mlflow", "presidio_analyzer", "openai", "together", "dvc", "transformers", "peft"}
    for path in STAGES:
        assert not {name.split(".")[0] for name in imports(path)} & wrapped, path.name


def test_modules_do_not_import_in_a_circle() -> None:
    for module, path in FILES.items():
        assert module not in closure(path)


def test_the_command_line_starts_without_heavy_imports() -> None:
    heavy = {
        "torch", "transformers", "trl", "peft", "datasets", "mlflow", "spacy", "presidio_analyzer", "openai",
        "together", "dvc", "hydra", "pandas", "scipy", "numpy", "faker",
    }  # fmt: skip
    code = "import sys, tightlip.cli; print('\\n'.join(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT)
    assert not {name.split(".")[0] for name in loaded.stdout.split()} & heavy


# --- Stages and dvc.yaml -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", STAGES, ids=lambda path: path.stem)
def test_a_stage_is_at_most_60_lines_and_named_in_two_words(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 60
    assert "_" in path.stem  # a script's directory comes first on sys.path: one word could shadow a package


def test_every_dvc_stage_has_a_script_and_every_script_a_dvc_stage() -> None:
    scripts = {script(stage) for stage in dvc_stages().values()}
    assert scripts == {f"stages/{path.name}" for path in STAGES}


@pytest.mark.parametrize("name", sorted(dvc_stages()))
def test_a_dvc_stage_depends_on_its_script_and_on_all_code_that_the_script_imports(name: str) -> None:
    stage = dvc_stages()[name]
    deps = [dep for dep in stage["deps"] if dep.startswith(("src/", "stages/"))]
    assert script(stage) in deps
    needed = {
        str(FILES[module].relative_to(ROOT))
        for module in closure(ROOT / script(stage)) - plumbing()
        if FILES[module].name != "__init__.py"
    }
    assert {path for path in needed if not covered(path, deps)} == set()


def plumbing() -> set[str]:
    return {name for name in FILES if any(f"{name}.".startswith(f"{each}.") for each in PLUMBING)}


def covered(path: str, deps: list[str]) -> bool:
    return any(path == dep or path.startswith(f"{dep}/") for dep in deps)


@pytest.mark.parametrize("name", sorted(dvc_stages()))
def test_a_dvc_stage_depends_on_no_code_that_is_missing_or_unused(name: str) -> None:
    stage = dvc_stages()[name]
    used = {str(FILES[module].relative_to(ROOT)) for module in closure(ROOT / script(stage))} | {script(stage)}
    for dep in stage["deps"]:
        if dep.startswith(("src/", "stages/")):
            assert (ROOT / dep).exists()
            assert any(covered(path, [dep]) for path in used), dep


@pytest.mark.parametrize("profile", ["conf/profile/laptop.yaml", "docs/your-model/helpdesk.yaml"])
def test_dvc_finds_every_parameter_of_a_profile_that_says_all_or_only_what_it_must(
    profile: str, tmp_path: Path
) -> None:
    from tightlip.compose import compose

    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    shutil.copy(ROOT / profile, tmp_path / "conf/profile/mine.yaml")
    compose("mine", tmp_path / "params.yaml", tmp_path / "conf")
    params = yaml.safe_load((tmp_path / "params.yaml").read_text(encoding="utf-8"))
    for name, stage in dvc_stages().items():
        plain = [key if "${" not in key else key.split("${")[0].rpartition(".")[0] for key in stage.get("params", [])]
        used = re.findall(r"\$\{((?!item|key)[a-z_.]+)\}", yaml.safe_dump(stage))
        for key in [*plain, *used]:
            value = params
            for part in key.split("."):
                assert part in value, f"{name}: {key}"
                value = value[part]


def test_the_page_of_the_plots_needs_no_network(tmp_path: Path) -> None:
    from tightlip.plot_page import write_page

    write_page(tmp_path / "plots.html")
    page = (tmp_path / "plots.html").read_text(encoding="utf-8")
    assert "{plot_divs}" in page
    assert "window.vegaEmbed=" in page
    assert "<script src" not in page
    config = (ROOT / ".dvc/config").read_text(encoding="utf-8")
    assert "html_template = plots.html" in config
