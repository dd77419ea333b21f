from tightlip.evaluation.evaluator import make_evaluator, mean_metrics, utility_metrics
from tightlip.evaluation.leak import leak_metrics
from tightlip.evaluation.over_refusal import benign_metrics, benign_samples
from tightlip.evaluation.question_sets import load_questions
from tightlip.evaluation.selection import select_row
from tightlip.files import read_jsonl, write_json
from tightlip.guidance.prompt_setup import BARE, as_deployed
from tightlip.params import load_params
from tightlip.records import Sample
from tightlip.stage import scratch, stage_command
from tightlip.table_rows import parse_row


@stage_command
def main() -> int:
    """Choose epoch, γ and space on the dev samples and the validation questions."""
    params = load_params()
    samples = read_jsonl("data/samples/dev.jsonl", Sample)
    asked = params.eval.questions
    questions = load_questions(asked.source, asked.name, asked.revision, asked.dev)
    shared = scratch("evaluate_model", "shared")
    undefended = utility_metrics(make_evaluator(parse_row("ch"), params, shared).utility(questions, [BARE])[BARE])
    trainings: dict[str, list[dict[str, float | int]]] = {}
    rows = params.eval.candidates()
    for of_weights in params.by_weights(rows):
        under_test = make_evaluator(of_weights[0], params, shared)
        ways = {row: as_deployed(row, under_test.negative) for row in of_weights}
        leaks = under_test.leaks(samples, list(ways.values()))
        utility = under_test.utility(questions, list(ways.values()))
        benign = under_test.leaks(benign_samples("dev"), list(ways.values()))
        for row, setup in ways.items():
            found = leak_metrics(leaks[setup]) | utility_metrics(utility[setup], "_deployed")
            found |= benign_metrics(benign[setup])
            trainings.setdefault(row.key, []).append(found)
    metrics = {key: mean_metrics(found) for key, found in trainings.items()}
    chosen = select_row(metrics, undefended["utility_pct"], params.eval.margin)
    write_json("metrics/selection.json", {"row": chosen, "undefended": undefended, "dev": metrics})
    return len(rows)


if __name__ == "__main__":
    main()
