import itertools
from pathlib import Path

import pandas as pd

from tightlip.cache import MODEL_CODE, ResultCache
from tightlip.dialogues.training_split import training_dialogues
from tightlip.evaluation.evaluator import Evaluator, LoadedModel, answer_cache
from tightlip.evaluation.leak import leak_metrics
from tightlip.evidence.relearning import relearn
from tightlip.files import read_jsonl, write_text
from tightlip.guidance.prompt_setup import BARE, as_deployed
from tightlip.models.adapter_metadata import trained_negative
from tightlip.models.chat import load_tokenizer
from tightlip.models.loading import load_model
from tightlip.params import Params, load_params
from tightlip.records import Dialogue, Sample
from tightlip.stage import stage_command
from tightlip.table_rows import parse_row


@stage_command
def main() -> int:
    """Tune defended models, and the base, on a few leaked dialogues again and count what they leak after each step."""
    params = load_params()
    settings = params.evidence
    samples = read_jsonl("data/samples/test.jsonl", Sample)[: params.eval.prompts]
    leaked = list(itertools.islice(training_dialogues(), settings.relearn_dialogues))
    lines = []
    for key, steps in itertools.product(("base", *settings.relearned), settings.relearn_steps):
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
    weights, code = [path, *([adapter] if adapter else [])], ["evidence/relearning.py"]
    relearning = {
        "steps": steps, "seed": params.seed, "max_length": params.tune.max_length,
        "dialogues": [each.model_dump() for each in leaked],
    }  # fmt: skip

    def load() -> LoadedModel:
        model, tokenizer = load_model(path, adapter=adapter), load_tokenizer(path)
        cache = ResultCache(
            f"relearn_leaks/{key}_{steps}",
            inputs=weights,
            params=relearning,
            code=[*code, *MODEL_CODE],
        )
        with cache.training_dir() as work:
            tuned = relearn(model, tokenizer, leaked, work, steps=steps, max_length=params.tune.max_length,
                            seed=params.seed, save_seconds=params.train.save_seconds)  # fmt: skip
        return LoadedModel(tuned, tokenizer)

    evaluator = Evaluator(load, answer_cache(weights, params, {"relearning": relearning}, code), params)
    return leak_metrics(evaluator.leaks(samples, [setup])[setup])


if __name__ == "__main__":
    main()
