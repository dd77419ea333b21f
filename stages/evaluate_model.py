import click

from tightlip.evaluation.evaluator import evaluate, make_evaluator
from tightlip.evaluation.question_sets import load_questions
from tightlip.files import read_jsonl, write_json, write_jsonl
from tightlip.params import load_params
from tightlip.records import Sample
from tightlip.stage import scratch, stage_command


@stage_command
@click.argument("checkpoint")
def main(checkpoint: str) -> int:
    """Test all rows with the same weights, a model and its adapter if any (for instance ch-lora-cfg_e2)."""
    params = load_params()
    rows = params.eval.rows_of(checkpoint)
    samples = read_jsonl("data/samples/test.jsonl", Sample)
    asked = params.eval.questions
    questions = load_questions(asked.source, asked.name, asked.revision, asked.test)
    metrics: dict[str, list[object]] = {}
    count = 0
    for trained in params.by_weights(rows):
        under_test = make_evaluator(trained[0], params, scratch("evaluate_model", "shared"))
        for row, outcomes in evaluate(trained, under_test, samples, questions).items():
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
