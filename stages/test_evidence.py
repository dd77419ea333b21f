import itertools

from tightlip.evaluation.attack import probes
from tightlip.evaluation.evaluator import make_evaluator
from tightlip.evaluation.question_sets import load_questions
from tightlip.evidence.row_evidence import examine, retest
from tightlip.files import read_jsonl, stream_jsonl, write_json, write_jsonl
from tightlip.models.loading import load_model
from tightlip.params import load_params
from tightlip.pii.lookup import ValueIndex
from tightlip.records import Dialogue, Sample
from tightlip.stage import scratch, stage_command
from tightlip.table_rows import parse_row


@stage_command
def main() -> int:
    """Test the rows of the evidence: leaks and their origin, usefulness, extraction and, of some rows, attacks."""
    params = load_params()
    settings, asked = params.evidence, params.eval.questions
    samples = read_jsonl("data/samples/test.jsonl", Sample)[: params.eval.prompts]
    questions = load_questions(asked.source, asked.name, asked.revision, asked.test)
    train = (row for row in stream_jsonl("data/dialogues.jsonl", Dialogue) if row.split == "train")
    attacked = list(itertools.islice(train, params.tune.attack_dialogues))
    targets = list(probes(attacked))
    known = ValueIndex(value for row in itertools.chain(attacked, train) for value in row.values)
    base, count = load_model("models/base"), 0
    metrics: dict[str, list[object]] = {}
    for trained in params.by_weights(map(parse_row, settings.rows)):
        under_test = make_evaluator(trained[0], params, scratch("evaluate_model", "shared"))
        for row in trained:
            conversations = settings.prompts if row.key in settings.attacked else 0
            if row.seed is None:
                found = examine(row, under_test, samples, questions, known, targets, conversations, base)
            else:
                found = retest(row, under_test, samples, questions)
            of_row = metrics.setdefault(row.key, [])
            for name in ("leaks", "utility", "attacks", "benign"):
                if outcomes := getattr(found, name):
                    write_jsonl(f"data/evidence/{row.key}/training_{len(of_row)}/{name}.jsonl", outcomes)
                    count += len(outcomes)
            of_row.append(found.metrics)
    for key, of_row in metrics.items():
        write_json(f"metrics/evidence/rows/{key}.json", of_row)
    return count


if __name__ == "__main__":
    main()
