"""Names are the field's nouns for things and verbs for actions."""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = [path for folder in ("src", "stages") for path in sorted((ROOT / folder).rglob("*.py"))]
BANNED = {
    "asked", "asking", "examiner", "figures", "found", "harmless", "judged", "kept", "note", "notes", "plant", "said",
    "told", "wanted", "workplace",
}  # fmt: skip


def names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Every function, class, parameter and variable that a module defines, by line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id if isinstance(node, ast.Name) else node.attr
        elif isinstance(node, ast.alias) and node.asname:
            yield getattr(node, "lineno", 0), node.asname
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            yield node.lineno, node.name


def is_banned(name: str) -> bool:
    """Say whether a name is one of the banned words, holds one, or starts with `of_`."""
    if name == "n_found":  # the name of a committed figure
        return False
    words = name.strip("_").lower().split("_")
    return (words[0] == "of" and len(words) > 1) or not BANNED.isdisjoint(words)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).with_suffix("").as_posix())
def test_names_are_nouns_and_verbs_of_the_field(path: Path) -> None:
    defined = [(0, path.stem), *names(ast.parse(path.read_text(encoding="utf-8")))]
    assert [f"{path.name}:{line}: {name}" for line, name in defined if is_banned(name)] == []


def test_a_banned_word_is_recognised_wherever_it_is_defined() -> None:
    lines = [
        "def of_rows(told): ...",
        "class Examiner: ...",
        "for kept in (): ...",
        "import numpy as found",
        "lambda wanted: 0",
        "x._asked = notes_S = 0",
    ]
    defined = [name for _, name in names(ast.parse("\n".join(lines)))]
    assert [name for name in defined if not is_banned(name)] == []
    assert len(defined) == 8
    assert not any(map(is_banned, ["profound", "often", "offset", "of", "annotate", "refound"]))


def test_no_two_modules_have_the_same_name() -> None:
    count = Counter(
        path.name for path in (ROOT / "src").rglob("*.py") if path.name not in ("__init__.py", "__main__.py")
    )
    assert [name for name, times in count.items() if times > 1] == []
