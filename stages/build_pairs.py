import click

from tightlip.files import read_jsonl, write_jsonl
from tightlip.models.chat import fit_messages, load_tokenizer
from tightlip.params import load_params, pick
from tightlip.preference.pairs import build_pairs, select
from tightlip.records import FilteredAnswer, Sample
from tightlip.stage import stage_command


@stage_command
@click.argument("dataset")
def main(dataset: str) -> int:
    """Make preference pairs of the accepted answers: chosen without, rejected with personal data."""
    params = load_params()
    wanted, limit = pick(params.pairs.datasets, dataset, "pairs.datasets"), params.pairs.max_prompt_tokens
    tokenizer = load_tokenizer("models/base")
    answers = {name: read_jsonl(f"data/filtered/{name}.jsonl", FilteredAnswer) for name in wanted.sources}
    pairs = {}
    for split, count in (("train", wanted.samples), ("dev", None)):
        samples = {row.id: row for row in read_jsonl(f"data/samples/{split}.jsonl", Sample)}
        of_split = {name: [row for row in rows if row.sample_id in samples] for name, rows in answers.items()}
        pairs[split] = build_pairs(
            select(of_split, count, params.seed),
            samples,
            ["none"] if wanted.version == "plain" else ["positive", "negative"],
            lambda messages, prefix: fit_messages(tokenizer, messages, prefix, limit),
        )
    for split, rows in pairs.items():
        write_jsonl(f"data/pairs/{dataset}/{split}.jsonl", rows)
    return sum(map(len, pairs.values()))


if __name__ == "__main__":
    main()
