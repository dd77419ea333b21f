import itertools

from tightlip.evidence.quality import qualities
from tightlip.files import stream_jsonl, write_json
from tightlip.params import load_params
from tightlip.pii.detectors import entities, load_ner
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
    texts, ner = [turn.content for turn in turns], load_ner(settings.spacy_model)
    counted, shaped = entities(ner, texts, settings.ignored_labels), structured(texts)
    found = {
        "spacy": counted,
        "spacy_all_labels": entities(ner, texts, ()),
        "patterns": shaped,
        "union": [[*names, *shapes] for names, shapes in zip(counted, shaped, strict=True)],
    }
    figures = {
        detector: {kind: quality.figures for kind, quality in qualities(turns, spans).items()}
        for detector, spans in found.items()
    }
    write_json("metrics/detectors.json", figures)
    return len(turns)


if __name__ == "__main__":
    main()
