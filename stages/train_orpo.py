from pathlib import Path
from typing import Any

import click
import pandas as pd

from tightlip.cache import MODEL_CODE, ResultCache
from tightlip.files import atomic_dir, atomic_file, read_jsonl
from tightlip.models.adapter_metadata import write_adapter_metadata
from tightlip.models.loading import load_model
from tightlip.models.tokenizer import load_tokenizer
from tightlip.params import find_named, load_params
from tightlip.preference.pair_encoding import encode_pairs
from tightlip.preference.trainer import train_orpo
from tightlip.records import Pair
from tightlip.stage import stage_command


@stage_command
@click.argument("variant")
def main(variant: str) -> int:
    """Train a variant's LoRA adapters on preference pairs, once per seed, and keep one per epoch."""
    params = load_params()
    settings, train = find_named(params.variants, variant, "train.variants"), params.train
    model_dir, pairs_dir = Path("models", settings.model), Path("data/pairs", settings.dataset)
    tokenizer = load_tokenizer(model_dir)
    rows = {split: read_jsonl(pairs_dir / f"{split}.jsonl", Pair) for split in ("train", "dev")}
    pairs = {split: encode_pairs(tokenizer, each, params.pairs.max_tokens) for split, each in rows.items()}
    negative = "secret" if any(pair.condition == "secret" for pair in rows["train"]) else "negative"

    def train_seed(seed: int, out: Path) -> list[dict[str, Any]]:
        cache = ResultCache(
            f"train_orpo/{variant}_{seed}", inputs=[model_dir, pairs_dir], code=["preference", *MODEL_CODE],
            params={
                "variant": settings.model_dump(), "max_tokens": params.pairs.max_tokens,
                "train": train.model_dump(exclude={"variants", "seeds", "save_seconds"}),
            },
        )  # fmt: skip
        with cache.training_dir() as work:
            curves = train_orpo(
                load_model(model_dir), tokenizer, pairs["train"], pairs["dev"], out, work,
                variant=settings, settings=train, seed=seed,
            )  # fmt: skip
        for adapter in out.glob("epoch_*"):
            write_adapter_metadata(adapter, negative)
        return [{**line, "seed": seed} for line in curves]

    first, *further = params.seeds(variant)
    with atomic_dir(f"adapters/{variant}") as out:
        curves = train_seed(first, Path(out))
        for seed in further:
            curves += train_seed(seed, Path(out, f"seed_{seed}"))
    folder = "metrics/curves" if variant in train.variants else "metrics/evidence/curves"
    with atomic_file(f"{folder}/{variant}.csv") as path:
        pd.DataFrame(curves).to_csv(path, index=False)
    return len(pairs["train"])


if __name__ == "__main__":
    main()
