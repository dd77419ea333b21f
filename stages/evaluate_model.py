import click

from tightlip.evaluation.evaluator import make_evaluator
from tightlip.evaluation.question_sets import load_questions
from tightlip.evaluation.row_outcomes import evaluate_rows
from tightlip.files import read_jsonl, write_json, write_jsonl
from tightlip.params import load_params
from tightlip.records import Sample
from tightlip.stage import stage_command


@stage_command
@click.argument("checkpoint")
def main(checkpoint: str) -> int:
    """Test all rows with the same weights, a model and its adapter if any (for instance ch-lora-cfg_e2)."""
    params = load_params()
    rows = params.eval.rows_of(checkpoint)
    samples = read_jsonl("data/samples/test.jsonl", Sample)
    questions = load_questions(params.eval.questions, params.eval.questions.test)
    metrics: dict[str, list[object]] = {}
    count = 0
    for training_rows in params.by_weights(rows):
        evaluator = make_evaluator(training_rows[0], params)
        for row, outcomes in evaluate_rows(training_rows, evaluator, samples, questions).items():
            write_jsonl(row.outcomes / "leaks.jsonl", outcomes.leaks)
            write_jsonl(row.outcomes / "utility.jsonl", outcomes.utility)
            if outcomes.extended:
                write_jsonl(row.outcomes / "extended.jsonl", outcomes.extended)
            metrics.setdefault(row.key, []).append(outcomes.metrics)
            count += sum(map(len, outcomes[:3]))
    write_json(f"metrics/rows/{checkpoint}.json", metrics)
    return count


if __name__ == "__main__":
    main()
