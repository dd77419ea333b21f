from pathlib import Path

import click

from tightlip.cache import MODEL_CODE, ResultCache
from tightlip.files import read_jsonl, write_jsonl
from tightlip.generation.providers import answer
from tightlip.params import find_named, load_params
from tightlip.records import Sample
from tightlip.stage import stage_command


@stage_command
@click.argument("source")
def main(source: str) -> int:
    """Get candidate answers without personal data from one source, for every training and dev sample."""
    params = load_params()
    recipe = find_named(params.generation.sources, source, "generation.sources")
    samples = [row for split in ("train", "dev") for row in read_jsonl(f"data/samples/{split}.jsonl", Sample)]
    limits = {"max_prompt_tokens": params.pairs.max_prompt_tokens, "batch_size": params.generation.batch_size}
    cache = ResultCache(
        "generate_answers", inputs=[Path("models/base")], code=["generation", *MODEL_CODE],
        params={"source": recipe.model_dump(), "seed": params.seed, **limits},
    )  # fmt: skip
    answers = answer(
        samples, source, recipe, cache, hosted=params.hosted, base="models/base", seed=params.seed,
        settings=params.filter, **limits,
    )  # fmt: skip
    write_jsonl(f"data/answers/{source}.jsonl", answers)
    return len(answers)


if __name__ == "__main__":
    main()
