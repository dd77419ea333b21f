"""A git repository with two revisions, a DVC experiment and a workspace: what the tests of comparing work on."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from tightlip.files import write_json, write_text

PROMPTS = [f"d{number}:0:0" for number in range(12)]
QUESTIONS = [str(number) for number in range(1, 9)]
LEAKY, SAFE = "ch_g100", "ch-lora_e1_g100"

TableRow = tuple[list[int], list[int]]
"""Leaks per prompt, and 1 for a right answer and 0 else per question."""

BEFORE: dict[str, TableRow] = {
    LEAKY: ([1] * 12, [1] * 8),
    SAFE: ([2] * 12, [1] * 4 + [0] * 4),
}
AFTER: dict[str, TableRow] = {**BEFORE, SAFE: ([0] * 12, [1] * 8)}


def write_project(root: Path, rows: dict[str, TableRow], chosen: str = SAFE, beta: float = 0.5, **hashes: str) -> None:
    """Write what comparing reads.

    Args:
        rows: by key.
        chosen: the row chosen on dev.
        beta: a parameter.
        hashes: what went in, `prompts`, `adapter` and `code`.
    """
    write_text(root / "dvc.yaml", "stages: {}\n")
    write_text(root / "params.yaml", yaml.safe_dump({"train": {"orpo": {"beta": beta}}, "eval": {"epochs": [1]}}))
    deps = {
        "data/samples/test.jsonl": hashes.get("prompts", "p1"),
        "adapters/ch-lora": hashes.get("adapter", "a1"),
        "adapters/ch-lora/epoch_1": hashes.get("adapter", "a1"),
        "src/code.py": hashes.get("code", "c1"),
        "metrics/rows": hashes.get("adapter", "a1"),
    }
    entry = {"deps": [{"path": path, "md5": md5} for path, md5 in deps.items()]}
    entry["outs"] = [{"path": "metrics/rows/ch-lora_e1.json", "md5": "r"}]
    write_text(root / "dvc.lock", yaml.safe_dump({"schema": "2.0", "stages": {"evaluate": entry}}))
    write_json(root / "metrics/selection.json", {"row": chosen})
    write_json(root / "metrics/summary.json", {key: metrics(row) for key, row in rows.items()})
    leaks = {key: dict(zip(PROMPTS, row[0], strict=False)) for key, row in rows.items()}
    write_items(root, "leaks", leaks)
    write_items(root, "entities", {key: dict.fromkeys(of, 0) for key, of in leaks.items()})
    write_items(root, "correct", {key: dict(zip(QUESTIONS, row[1], strict=True)) for key, row in rows.items()})


def metrics(row: TableRow) -> dict[str, Any]:
    leaks, correct = row
    n, share = len(leaks), 100 * sum(correct) / len(correct)
    return {
        "n_prompts": n, "pii_count": 0, "leak_count": sum(leaks), "leak_rate": sum(map(bool, leaks)) / n,
        "leak_rate_high": 0.25, "leak_count_high": None, "trigger_leak_count": 3, "degenerate_count": 0,
        "n_questions": len(correct), "utility_pct": share, "utility_deployed_pct": share,
    }  # fmt: skip


def write_items(root: Path, name: str, rows: dict[str, dict[str, int]], training: int = 0) -> None:
    table = pd.DataFrame(rows).astype("Int64").rename_axis("item").reset_index()
    table.insert(0, "training", training)
    write_text(root / f"metrics/items/{name}.csv", table.to_csv(index=False))


def git(root: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *identity, *arguments], cwd=root, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(root: Path) -> str:
    git(root, "add", "-A")
    git(root, "commit", "-qm", "x")
    return git(root, "rev-parse", "HEAD")


def make_repository(root: Path) -> None:
    """Revision `before`, experiment `bolder` on top of it as DVC keeps one, and `main` and the workspace as before."""
    git(root, "init", "-qb", "main")
    write_project(root, BEFORE)
    base = commit(root)
    git(root, "tag", "before")
    write_project(root, AFTER, beta=0.25, adapter="a2")
    experiment = commit(root)
    git(root, "update-ref", f"refs/exps/{base[:2]}/{base[2:]}/bolder", experiment)
    git(root, "reset", "-q", "--hard", base)


def read(root: Path, path: str) -> Any:
    return json.loads((root / path).read_text(encoding="utf-8"))
