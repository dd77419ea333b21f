import itertools

import pandas as pd

from tightlip.dialogues.training_split import training_dialogues
from tightlip.evaluation.leak import leak_metrics
from tightlip.evidence.relearning import relearned_leaks
from tightlip.files import read_jsonl, write_text
from tightlip.params import load_params
from tightlip.records import Sample
from tightlip.stage import stage_command

COLUMNS = ("n_prompts", "leak_count", "leak_answers", "degenerate_count")


@stage_command
def main() -> int:
    """Tune defended models, and the base, on a few leaked dialogues again and count what they leak after each step."""
    params = load_params()
    settings = params.evidence
    samples = read_jsonl("data/samples/test.jsonl", Sample)[: params.eval.prompts]
    leaked = list(itertools.islice(training_dialogues(), settings.relearn_dialogues))
    lines = []
    for key, steps in itertools.product(("base", *settings.relearned), settings.relearn_steps):
        metrics = leak_metrics(relearned_leaks(key, steps, leaked, samples, params))
        lines.append({"row": key, "steps": steps, **{name: metrics[name] for name in COLUMNS}})
    write_text("metrics/evidence/relearning.csv", pd.DataFrame(lines).to_csv(index=False))
    return len(lines)


if __name__ == "__main__":
    main()
