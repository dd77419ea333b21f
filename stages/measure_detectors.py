import itertools

from tightlip.evidence.quality import qualities
from tightlip.files import stream_jsonl, write_json
from tightlip.params import load_params
from tightlip.pii.detector import Detector
from tightlip.pii.patterns import structured
from tightlip.records import Dialogue
from tightlip.stage import stage_command

DIALOGUES = 400


@stage_command
def main() -> int:
    """Measure the detectors on dialogues whose personal values somebody marked, the first few hundred."""
    settings = load_params().filter
    marked = (row for row in stream_jsonl("data/dialogues.jsonl", Dialogue) if row.truth == "given")
    dialogues = list(itertools.islice(marked, DIALOGUES))
    turns = [turn for dialogue in dialogues for turn in dialogue.turns if turn.role != "system"]
    texts = [turn.content for turn in turns]
    counting, all_labels = Detector(settings.spacy_model, settings.ignored_labels), Detector(settings.spacy_model)
    spans = {
        "spacy": counting.entities(texts),
        "spacy_all_labels": all_labels.entities(texts),
        "patterns": structured(texts),
        "union": counting.find(texts),
    }
    metrics = {
        detector: {kind: quality.metrics for kind, quality in qualities(turns, each).items()}
        for detector, each in spans.items()
    }
    write_json("metrics/detectors.json", metrics)
    return len(turns)


if __name__ == "__main__":
    main()
