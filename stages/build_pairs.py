from tightlip.files import read_jsonl, write_jsonl
from tightlip.models.encoding import fit_messages
from tightlip.models.tokenizer import load_tokenizer
from tightlip.params import load_params
from tightlip.preference.pairs import benign_pairs, build_pairs, sample_benign, select_answers
from tightlip.records import BenignAnswer, FilteredAnswer, Sample
from tightlip.stage import stage_command


@stage_command
def main() -> int:
    """Make preference pairs of the accepted answers: chosen without, rejected with personal data."""
    params = load_params()
    tokenizer, limit = load_tokenizer("models/base"), params.pairs.max_prompt_tokens
    splits = {
        split: {row.id: row for row in read_jsonl(f"data/samples/{split}.jsonl", Sample)} for split in ("train", "dev")
    }
    uses_benign = any(dataset.benign for dataset in params.pairs.datasets.values())
    benign = read_jsonl("data/benign.jsonl", BenignAnswer) if uses_benign else []
    made = {}
    for dataset, settings in params.pairs.datasets.items():
        answers = {name: read_jsonl(f"data/filtered/{name}.jsonl", FilteredAnswer) for name in settings.sources}
        for split, samples in splits.items():
            split_answers = {name: [row for row in rows if row.sample_id in samples] for name, rows in answers.items()}
            made[f"{dataset}/{split}"] = build_pairs(
                select_answers(split_answers, settings.samples if split == "train" else None, params.seed),
                samples,
                settings.conditions,
                lambda messages, prefix: fit_messages(tokenizer, messages, prefix, limit),
            )
        made[f"{dataset}/train"] += benign_pairs(
            sample_benign(benign, settings.benign, params.seed), settings.conditions
        )
    for name, pairs in made.items():
        write_jsonl(f"data/pairs/{name}.jsonl", pairs)
    return sum(map(len, made.values()))


if __name__ == "__main__":
    main()
