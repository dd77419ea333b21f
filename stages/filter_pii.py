from tightlip.files import read_jsonl, write_json, write_jsonl
from tightlip.params import load_params
from tightlip.pii.detector import Detector
from tightlip.pii.policy import count_reasons, filter_answers
from tightlip.records import Answer, Sample
from tightlip.stage import stage_command


@stage_command
def main() -> int:
    """Filter the candidates of all sources: personal data or degenerate text is a reason to reject one."""
    params = load_params()
    settings = params.filter
    detector = Detector(settings.spacy_model, settings.ignored_labels)
    samples = [row for split in ("train", "dev") for row in read_jsonl(f"data/samples/{split}.jsonl", Sample)]
    filtered = {
        source: filter_answers(read_jsonl(f"data/answers/{source}.jsonl", Answer), samples, detector, settings)
        for source in params.generation.sources
    }
    for source, answers in filtered.items():
        write_jsonl(f"data/filtered/{source}.jsonl", answers)
    write_json("metrics/filter.json", count_reasons(filtered))
    return sum(map(len, filtered.values()))


if __name__ == "__main__":
    main()
