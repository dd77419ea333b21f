from pathlib import Path

import click
import pandas as pd

from tightlip.files import atomic_dir, atomic_file, digest, read_jsonl
from tightlip.models.chat import load_tokenizer
from tightlip.models.loading import load_model
from tightlip.models.note import write_note
from tightlip.params import load_params, pick
from tightlip.preference.encoding import encode_pairs
from tightlip.preference.trainer import train_orpo
from tightlip.records import Pair
from tightlip.stage import scratch, stage_command


@stage_command
@click.argument("variant")
def main(variant: str) -> int:
    """Train a variant's LoRA adapters on preference pairs and keep one per epoch."""
    params = load_params()
    wanted, train = pick(params.variants, variant, "train.variants"), params.train
    tokenizer = load_tokenizer(f"models/{wanted.model}")
    rows = {split: read_jsonl(f"data/pairs/{wanted.dataset}/{split}.jsonl", Pair) for split in ("train", "dev")}
    pairs = {split: encode_pairs(tokenizer, of_split, params.pairs.max_tokens) for split, of_split in rows.items()}
    secret = any(pair.condition == "secret" for pair in rows["train"])
    first, *further = params.seeds(variant)
    curves = []
    with atomic_dir(f"adapters/{variant}") as out:
        for seed, folder in [(first, Path(out)), *((seed, Path(out, f"seed_{seed}")) for seed in further)]:
            folder.mkdir(exist_ok=True)
            lines = train_orpo(
                load_model(f"models/{wanted.model}"), tokenizer, pairs["train"], pairs["dev"], folder,
                scratch("train_orpo", digest(variant)), epochs=train.epochs, batch_size=train.batch_size,
                learning_rate=train.learning_rate, min_learning_rate_ratio=train.min_learning_rate_ratio,
                max_grad_norm=train.max_grad_norm, objective=wanted.objective,
                beta=train.dpo.beta if wanted.objective == "dpo" else train.orpo.beta,
                nll_on=wanted.nll_on or train.orpo.nll_on, rank=train.lora.rank, alpha=train.lora.alpha,
                dropout=train.lora.dropout, keep=train.lora.keep, seed=seed,
            )  # fmt: skip
            for adapter in folder.glob("epoch_*"):
                write_note(adapter, "secret" if secret else "negative")
            curves.append(pd.DataFrame(lines).assign(seed=seed))
    folder = "metrics/curves" if variant in train.variants else "metrics/evidence/curves"
    with atomic_file(f"{folder}/{variant}.csv") as path:
        pd.concat(curves).to_csv(path, index=False)
    return len(pairs["train"])


if __name__ == "__main__":
    main()
