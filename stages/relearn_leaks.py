import itertools
from pathlib import Path

import pandas as pd

from tightlip.evaluation.evaluator import Evaluator, Subject, code
from tightlip.evaluation.leak import leak_metrics
from tightlip.evidence.relearning import relearn
from tightlip.files import digest, read_jsonl, stream_jsonl, write_text
from tightlip.guidance.prompt_setup import BARE, as_deployed
from tightlip.models.adapter_metadata import trained_negative
from tightlip.models.chat import load_tokenizer
from tightlip.models.loading import load_model
from tightlip.params import Params, load_params
from tightlip.pii.detectors import load_ner
from tightlip.records import Dialogue, Sample
from tightlip.stage import scratch, stage_command, training_dir
from tightlip.table_rows import parse_row


@stage_command
def main() -> int:
    """Tune defended models, and the base, on a few leaked dialogues again and count what they leak after each step."""
    params = load_params()
    settings = params.evidence
    samples = read_jsonl("data/samples/test.jsonl", Sample)[: params.eval.prompts]
    train = (row for row in stream_jsonl("data/dialogues.jsonl", Dialogue) if row.split == "train")
    leaked = list(itertools.islice(train, settings.relearn_dialogues))
    lines = []
    for key in ("base", *settings.relearned):
        for steps in settings.relearn_steps:
            metrics = _leaks(key, steps, leaked, samples, params)
            lines.append({"row": key, "steps": steps, **{name: metrics[name] for name in (
                "n_prompts", "leak_count", "leak_answers", "degenerate_count")}})  # fmt: skip
    write_text("metrics/evidence/relearning.csv", pd.DataFrame(lines).to_csv(index=False))
    return len(lines)


def _leaks(
    key: str, steps: int, leaked: list[Dialogue], samples: list[Sample], params: Params
) -> dict[str, float | int]:
    row = parse_row(key) if key != "base" else None
    path, adapter = Path("models", row.model if row else "base"), row.adapter if row else None
    setup = as_deployed(row, trained_negative(adapter)) if row else BARE
    told = [f"{steps} steps, seed {params.seed}, {params.tune.max_length}", *(row.model_dump_json() for row in leaked)]
    identity = (path, *([adapter] if adapter else []), *told, *code("evidence/relearning.py"))

    def load() -> Subject:
        model, tokenizer = load_model(path, adapter=adapter), load_tokenizer(path)
        with training_dir(f"relearn_leaks/{key}_{steps}", digest(*identity)) as work:
            tuned = relearn(model, tokenizer, leaked, work, steps=steps, max_length=params.tune.max_length,
                            seed=params.seed, save_seconds=params.train.save_seconds)  # fmt: skip
        return Subject(tuned, tokenizer, load_ner(params.filter.spacy_model))

    evaluator = Evaluator(load, scratch("evaluate_model", "shared"), identity, params)
    return leak_metrics(evaluator.leaks(samples, [setup])[setup])


if __name__ == "__main__":
    main()
