from pathlib import Path

import click

from tightlip.files import digest, read_jsonl, write_jsonl
from tightlip.generation.providers import answer
from tightlip.params import load_params, pick
from tightlip.records import Sample
from tightlip.stage import code, scratch, stage_command


@stage_command
@click.argument("source")
def main(source: str) -> int:
    """Ask one source for candidate answers without personal data, for every training and dev sample."""
    params = load_params()
    recipe = pick(params.generation.sources, source, "generation.sources")
    samples = [row for split in ("train", "dev") for row in read_jsonl(f"data/samples/{split}.jsonl", Sample)]
    numbers = (params.pairs.max_prompt_tokens, params.generation.batch_size, params.seed)
    told = (recipe.model_dump_json(), *map(str, numbers), Path("models/base"))
    key = digest(*told, *code("generation", "guidance", "models", "prompts.py"))
    answers = answer(
        samples, source, recipe, hosted=params.hosted, base="models/base", ner_model=params.filter.spacy_model,
        max_prompt_tokens=numbers[0], batch_size=numbers[1], seed=numbers[2], scratch=scratch("generate_answers", key),
    )  # fmt: skip
    write_jsonl(f"data/answers/{source}.jsonl", answers)
    return len(answers)


if __name__ == "__main__":
    main()
