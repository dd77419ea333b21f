from tightlip.dialogues.importers.importing import Shares, import_dialogues, read_conversations
from tightlip.dialogues.synthesis import synthesise
from tightlip.dialogues.tally import Tally
from tightlip.files import write_json, write_jsonl
from tightlip.params import load_params, need_watched
from tightlip.pii.detector import Detector
from tightlip.stage import stage_command


@stage_command
def main() -> int:
    """Invent PII-rich dialogues with ground truth, or import them; split into train, dev and test."""
    params = load_params()
    settings, tally = params.dialogues, Tally()
    if settings.format == "synthetic":
        invented = synthesise(settings.count or 0, settings.dev, settings.test, params.seed)
        write_jsonl("data/dialogues.jsonl", tally.counted(invented))
    else:
        need_watched(settings)
        conversations = read_conversations(
            settings.format, settings.path, settings.values, settings.revision, settings.split, settings.columns.named
        )
        shares = Shares(settings.dev, settings.test, params.seed)
        detect = Detector(params.filter.spacy_model, params.filter.ignored_labels).find
        made = import_dialogues(conversations, settings.path, shares, settings.count, detect)
        write_jsonl("data/dialogues.jsonl", tally.accepted(made))
    write_json("metrics/dialogues.json", {"format": settings.format, **tally.metrics})
    return tally.dialogues.total()


if __name__ == "__main__":
    main()
