from pathlib import Path
from typing import Any

import click
import pandas as pd

from tightlip.files import atomic_dir, atomic_file, digest, read_jsonl
from tightlip.models.adapter_metadata import write_adapter_metadata
from tightlip.models.chat import load_tokenizer
from tightlip.models.loading import load_model
from tightlip.params import load_params, pick
from tightlip.preference.encoding import encode_pairs
from tightlip.preference.trainer import train_orpo
from tightlip.records import Pair
from tightlip.stage import code, stage_command, training_dir


@stage_command
@click.argument("variant")
def main(variant: str) -> int:
    """Train a variant's LoRA adapters on preference pairs, once per seed, and keep one per epoch."""
    params = load_params()
    wanted, train = pick(params.variants, variant, "train.variants"), params.train
    tokenizer = load_tokenizer(f"models/{wanted.model}")
    rows = {split: read_jsonl(f"data/pairs/{wanted.dataset}/{split}.jsonl", Pair) for split in ("train", "dev")}
    pairs = {split: encode_pairs(tokenizer, of_split, params.pairs.max_tokens) for split, of_split in rows.items()}
    told = (wanted.model_dump_json(), train.model_dump_json(exclude={"variants", "seeds", "save_seconds"}))
    key = digest(*told, str(params.pairs.max_tokens), Path("models", wanted.model), Path("data/pairs", wanted.dataset),
                 *code("models", "preference", "prompts.py"))  # fmt: skip
    secret = any(pair.condition == "secret" for pair in rows["train"])

    def trained(seed: int, out: Path) -> list[dict[str, Any]]:
        with training_dir(f"train_orpo/{variant}_{seed}", key) as work:
            curves = train_orpo(
                load_model(f"models/{wanted.model}"), tokenizer, pairs["train"], pairs["dev"], out, work,
                epochs=train.epochs, batch_size=train.batch_size,
                learning_rate=wanted.learning_rate or train.learning_rate,
                min_learning_rate_ratio=train.min_learning_rate_ratio, max_grad_norm=train.max_grad_norm,
                objective=wanted.objective, beta=train.dpo.beta if wanted.objective == "dpo" else train.orpo.beta,
                nll_on=wanted.nll_on or train.orpo.nll_on, rank=train.lora.rank, alpha=train.lora.alpha,
                dropout=train.lora.dropout, keep=train.lora.keep, seed=seed, save_seconds=train.save_seconds,
            )  # fmt: skip
        for adapter in out.glob("epoch_*"):
            write_adapter_metadata(adapter, "secret" if secret else "negative")
        return [{**line, "seed": seed} for line in curves]

    first, *further = params.seeds(variant)
    with atomic_dir(f"adapters/{variant}") as out:
        curves = trained(first, Path(out))
        for seed in further:
            curves += trained(seed, Path(out, f"seed_{seed}"))
    folder = "metrics/curves" if variant in train.variants else "metrics/evidence/curves"
    with atomic_file(f"{folder}/{variant}.csv") as path:
        pd.DataFrame(curves).to_csv(path, index=False)
    return len(pairs["train"])


if __name__ == "__main__":
    main()
