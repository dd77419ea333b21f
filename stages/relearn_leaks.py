from functools import partial
from pathlib import Path

import pandas as pd

from tightlip.evaluation.leak import leak_figures
from tightlip.evidence.relearning import relearn
from tightlip.files import digest, read_jsonl, write_text
from tightlip.guidance.asking import BARE, as_deployed
from tightlip.models.chat import load_tokenizer
from tightlip.models.loading import load_model
from tightlip.models.note import trained_negative
from tightlip.params import load_params
from tightlip.pii.detectors import load_ner
from tightlip.records import Dialogue, Sample
from tightlip.rows import parse_row
from tightlip.stage import scratch, stage_command


@stage_command
def main() -> int:
    """Tune defended models, and the base, on a few leaked dialogues again and count what they leak after each step."""
    params = load_params()
    settings, ner = params.evidence, load_ner(params.filter.spacy_model)
    samples = read_jsonl("data/samples/test.jsonl", Sample)[: params.eval.prompts]
    leaked = [row for row in read_jsonl("data/dialogues.jsonl", Dialogue) if row.split == "train"]
    lines = []
    for key in ("base", *settings.relearned):
        row = parse_row(key) if key != "base" else None
        path, adapter = Path("models", row.model if row else "base"), row.adapter if row else None
        asking = as_deployed(row, trained_negative(adapter)) if row else BARE
        for steps in settings.relearn_steps:
            outcomes = relearn(
                partial(load_model, path, adapter=adapter), load_tokenizer(path), ner,
                leaked[: settings.relearn_dialogues], samples, asking, scratch("relearn_leaks", digest(key)), steps,
                params,
            )  # fmt: skip
            figures = leak_figures(outcomes)
            lines.append({"row": key, "steps": steps, **{name: figures[name] for name in (
                "n_prompts", "leak_count", "leak_answers", "degenerate_count")}})  # fmt: skip
    write_text("metrics/evidence/relearning.csv", pd.DataFrame(lines).to_csv(index=False))
    return len(lines)


if __name__ == "__main__":
    main()
