from tightlip.files import read_jsonl, write_json, write_jsonl
from tightlip.params import load_params
from tightlip.pii.detectors import load_ner
from tightlip.pii.policy import count_reasons, filter_answers
from tightlip.records import Answer, Sample
from tightlip.stage import stage_command


@stage_command
def main() -> int:
    """Judge every candidate of all sources: personal data or degenerate text is a reason to reject it."""
    params = load_params()
    settings, ner = params.filter, load_ner(params.filter.spacy_model)
    samples = [row for split in ("train", "dev") for row in read_jsonl(f"data/samples/{split}.jsonl", Sample)]
    filtered = {
        source: filter_answers(
            read_jsonl(f"data/answers/{source}.jsonl", Answer), samples, ner=ner,
            ignored_labels=settings.ignored_labels, patterns=settings.patterns, truths=settings.truths,
            min_words=settings.min_words,
        )
        for source in params.generation.sources
    }  # fmt: skip
    for source, answers in filtered.items():
        write_jsonl(f"data/filtered/{source}.jsonl", answers)
    write_json("metrics/filter.json", count_reasons(filtered))
    return sum(map(len, filtered.values()))


if __name__ == "__main__":
    main()
