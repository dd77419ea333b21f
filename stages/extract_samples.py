from tightlip.dialogues.samples import count_samples, extract_samples, sample_evenly, take
from tightlip.files import stream_jsonl, write_jsonl
from tightlip.params import load_params
from tightlip.records import Dialogue
from tightlip.stage import stage_command

DIALOGUES = "data/dialogues.jsonl"


@stage_command
def main() -> int:
    """Cut one sample at every personal value in the assistant's turns; a dialogue at a time, in two passes."""
    params = load_params()
    sizes = count_samples(stream_jsonl(DIALOGUES, Dialogue))
    drawn = {split: sample_evenly(sizes[split], limit, params.seed) for split, limit in params.samples}
    for split, numbers in drawn.items():
        dialogues = (row for row in stream_jsonl(DIALOGUES, Dialogue) if row.split == split)
        write_jsonl(f"data/samples/{split}.jsonl", take(extract_samples(dialogues), numbers))
    return sum(map(len, drawn.values()))


if __name__ == "__main__":
    main()
