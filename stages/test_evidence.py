import functools
from dataclasses import replace

from tightlip.evaluation.attack import probes
from tightlip.evaluation.question_sets import load_questions
from tightlip.evaluation.rows import Examiner, examiner
from tightlip.evidence.rows import examine, retest
from tightlip.files import read_jsonl, stream_jsonl, write_json, write_jsonl
from tightlip.models.loading import load_model
from tightlip.params import load_params
from tightlip.records import Dialogue, Sample
from tightlip.rows import parse_row
from tightlip.stage import scratch, stage_command


@stage_command
def main() -> int:
    """Test the rows of the evidence: leaks and their origin, usefulness, extraction and, of some rows, attacks."""
    params = load_params()
    settings, asked = params.evidence, params.eval.questions
    samples = read_jsonl("data/samples/test.jsonl", Sample)[: params.eval.prompts]
    questions = load_questions(asked.source, asked.name, asked.revision, asked.test)
    dialogues = [row for row in stream_jsonl("data/dialogues.jsonl", Dialogue) if row.split == "train"]
    targets = probes(dialogues[: params.tune.attack_dialogues])
    base, count = load_model("models/base"), 0

    @functools.lru_cache(maxsize=3)  # rows with the same weights follow one another
    def under_test(weights: str, seed: int | None) -> Examiner:
        row = next(row for row in map(parse_row, settings.rows) if row.checkpoint == weights)
        return examiner(replace(row, seed=seed), params, scratch("evaluate_model", "shared"))

    for key in settings.rows:
        row, *further = params.trainings(parse_row(key))
        conversations = settings.prompts if key in settings.attacked else 0
        first = under_test(row.checkpoint, None)
        found = [examine(row, first, samples, questions, dialogues, targets, conversations, base)]
        found += [retest(each, under_test(each.checkpoint, each.seed), samples, questions) for each in further]
        for number, training in enumerate(found):
            for name in ("leaks", "utility", "attacks", "benign"):
                if outcomes := getattr(training, name):
                    write_jsonl(f"data/evidence/{key}/training_{number}/{name}.jsonl", outcomes)
                    count += len(outcomes)
        write_json(f"metrics/evidence/rows/{key}.json", [training.figures for training in found])
    return count


if __name__ == "__main__":
    main()
