import itertools

from tightlip.dialogues.training_split import training_dialogues
from tightlip.evaluation.attack import probes
from tightlip.evaluation.evaluator import make_evaluator
from tightlip.evaluation.question_sets import load_questions
from tightlip.evidence.row_evidence import evaluate_row, evaluate_training
from tightlip.files import read_jsonl, write_json, write_jsonl
from tightlip.models.loading import load_model
from tightlip.params import load_params
from tightlip.pii.lookup import ValueIndex
from tightlip.records import Sample
from tightlip.stage import stage_command
from tightlip.table_rows import parse_row


@stage_command
def main() -> int:
    """Test the rows of the evidence: leaks and their origin, usefulness, extraction and, of some rows, attacks."""
    params = load_params()
    settings = params.evidence
    samples = read_jsonl("data/samples/test.jsonl", Sample)[: params.eval.prompts]
    questions = load_questions(params.eval.questions, params.eval.questions.test)
    train = training_dialogues()
    attacked = list(itertools.islice(train, params.tune.attack_dialogues))
    targets = list(probes(attacked))
    known = ValueIndex(value for dialogue in itertools.chain(attacked, train) for value in dialogue.values)
    base, count = load_model("models/base"), 0
    metrics: dict[str, list[object]] = {}
    for training_rows in params.by_weights(map(parse_row, settings.rows)):
        evaluator = make_evaluator(training_rows[0], params)
        for row in training_rows:
            conversations = settings.prompts if row.key in settings.attacked else 0
            if row.seed is None:
                evidence = evaluate_row(row, evaluator, samples, questions, known, targets, conversations, base)
            else:
                evidence = evaluate_training(row, evaluator, samples, questions)
            trainings = metrics.setdefault(row.key, [])
            for name in ("leaks", "utility", "attacks", "benign"):
                if outcomes := getattr(evidence, name):
                    write_jsonl(f"data/evidence/{row.key}/training_{len(trainings)}/{name}.jsonl", outcomes)
                    count += len(outcomes)
            trainings.append(evidence.metrics)
    for key, trainings in metrics.items():
        write_json(f"metrics/evidence/rows/{key}.json", trainings)
    return count


if __name__ == "__main__":
    main()
