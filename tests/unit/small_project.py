"""A project as `dvc repro` leaves it, with a two-layer model: what the tests of publishing and serving work on."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from tightlip.files import write_json
from tightlip.models.adapter_metadata import write_adapter_metadata
from tightlip.table_rows import parse_row

SECRET = "Anna-Bellweather-4417"
CHOSEN = "ch-lora-cfg_e2_g300_prob"
ROWS = ("ch", "ch_g100", "ch-lora-cfg_e1_g100", CHOSEN, "sub-lora_e2_g100", "ch-lora-cfg-base_e1_g100")
CHECKPOINTS: dict[str, list[str]] = {}
for row in map(parse_row, ROWS):
    CHECKPOINTS.setdefault(row.checkpoint, []).append(row.key)
EPOCHS = {"ch-lora-cfg": 2, "sub-lora": 1, "ch-lora-cfg-base": 1}


def make_project(root: Path, model_dir: Path) -> None:
    """Write everything that publishing reads, and data files that it must not read."""
    from dvc.repo import Repo

    Repo.init(str(root), no_scm=True).close()
    for model in ("ch", "sub"):
        shutil.copytree(model_dir, root / "models" / model)
    for name, epochs in EPOCHS.items():
        for epoch in range(1, epochs + 1):
            save_adapter(model_dir, root / f"adapters/{name}/epoch_{epoch}", epoch)
    (root / "params.yaml").write_text(yaml.safe_dump(params()))
    for name in ("rows/ch/ch/leaks.jsonl", "samples/test.jsonl", "pairs/cfg/train.jsonl"):
        (root / "data" / name).parent.mkdir(parents=True)
        (root / "data" / name).write_text(json.dumps({"answer": SECRET}))
    figures = {"n_prompts": 50, "leak_count": 3, "leak_rate": 0.06, "leak_count_low": None}
    for checkpoint, keys in CHECKPOINTS.items():
        write_json(root / f"metrics/rows/{checkpoint}.json", dict.fromkeys(keys, figures))
    write_json(root / "metrics/summary.json", dict.fromkeys(ROWS, figures))
    write_json(root / "metrics/selection.json", {"row": CHOSEN, "dev": {}})
    for number in (1, 2, 3):
        (root / f"metrics/table{number}.csv").write_text("row,leaks\nModel-ch,3\n")
        (root / f"metrics/table{number}.md").write_text("| row | leaks |\n")
    curves = [{"step": s, "epoch": s / 2, "split": "train", "loss": 3.0 - s, "rewards/chosen": -s} for s in (1, 2)]
    curves += [{"step": 2, "epoch": 1.0, "split": "eval", "loss": 1.5}]
    (root / "metrics/curves").mkdir()
    pd.DataFrame(curves).to_csv(root / "metrics/curves/ch-lora-cfg.csv", index=False)
    write_lock(root)


def params() -> dict[str, Any]:
    """Parameters with one way of each kind."""
    sources = {"rewriter": {"provider": "rewriter"}}
    datasets = {name: {"sources": ["rewriter"], "version": name} for name in ("plain", "cfg")}
    variants = {name: {"model": name.partition("-")[0], "dataset": "cfg"} for name in EPOCHS}
    return {
        "profile": "smoke",
        "seed": 0,
        "base": {"source": "random"},
        "dialogues": {"count": 10, "dev": 0.2, "test": 0.2},
        "tune": {},
        "subtract": {},
        "samples": {},
        "generation": {"sources": sources},
        "filter": {"spacy_model": "en_core_web_sm"},
        "pairs": {"datasets": datasets},
        "train": {"epochs": 2, "variants": variants},
        "evidence": {"rows": ["ch"]},
        "eval": {
            "models": ["ch"],
            "tunings": ["lora-cfg"],
            "epochs": [1, 2],
            "guidance": ["g100", "g300_prob"],
            "ablation": {"tunings": ["lora-cfg-base"], "epochs": [1], "guidance": ["g100"]},
            "extended": {"tunings": ["lora-cfg"], "epochs": [2], "guidance": ["g300_prob"]},
            "select": "lora-cfg",
        },
    }


def write_lock(root: Path) -> None:
    """Write the lock as DVC would for what is on disk now."""
    from tightlip.dvc_lock import hash_paths

    def listed(paths: list[str]) -> list[dict[str, str]]:
        return [{"path": path, "hash": "md5", "md5": md5} for path, md5 in hash_paths(root, paths).items()]

    def entry(deps: list[str], outs: list[str], **locked: Any) -> dict[str, Any]:
        return {"cmd": "x", "deps": listed(deps), "params": {"params.yaml": locked}, "outs": listed(outs)}

    tables = [f"metrics/table{number}.{kind}" for number in (1, 2, 3) for kind in ("csv", "md")]
    stages = {
        "make_tables": entry(["data/rows", "metrics/rows"], [*tables, "metrics/summary.json"]),
    }
    for name, variant in params()["train"]["variants"].items():
        curves = [f"metrics/curves/{name}.csv"] if (root / f"metrics/curves/{name}.csv").exists() else []
        stages[f"train_orpo@{name}"] = entry(
            [f"models/{variant['model']}", "data/pairs/cfg"], [f"adapters/{name}", *curves],
            **{"train.orpo": {"beta": 0.5}, f"train.variants.{name}": variant},
        )  # fmt: skip
    for checkpoint, (key, *_) in CHECKPOINTS.items():
        deps = ["data/samples/test.jsonl", f"models/{parse_row(key).model}"]
        stages[f"evaluate_model@{checkpoint}"] = entry(deps, [f"metrics/rows/{checkpoint}.json"])
    (root / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}))


def save_adapter(model_dir: Path, out: Path, seed: int) -> None:
    """A LoRA adapter with weights that change the answers."""
    import torch
    from peft import LoraConfig, get_peft_model

    from tightlip.models.loading import load_model

    torch.manual_seed(seed)
    config = LoraConfig(r=4, lora_alpha=32, target_modules="all-linear", init_lora_weights=False)
    get_peft_model(load_model(model_dir), config).save_pretrained(out)
    write_adapter_metadata(out, "negative")


def commit(root: Path) -> str:
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]
    for command in (["init", "-q"], ["add", "dvc.lock"], ["commit", "-qm", "x"]):
        subprocess.run([*git, *command], cwd=root, check=True, capture_output=True)
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def client(root: Path) -> Any:
    from mlflow import MlflowClient

    uri = f"sqlite:///{root}/mlflow.db"
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def load(root: Path, name: str) -> Any:
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{root}/mlflow.db")
    try:
        return mlflow.pyfunc.load_model(f"models:/{name}")
    finally:
        mlflow.set_tracking_uri(None)


def publish(root: Path, store: Path) -> int:
    """Publish; imported late, because MLflow warns on import, where a module's marks do not reach yet."""
    from tightlip.tracking.publish import publish

    return publish(root, store)
