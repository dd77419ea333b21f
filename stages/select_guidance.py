from tightlip.evaluation.evaluator import make_evaluator
from tightlip.evaluation.leak import leak_metrics
from tightlip.evaluation.over_refusal import benign_metrics, benign_samples
from tightlip.evaluation.question_sets import load_questions
from tightlip.evaluation.row_outcomes import mean_metrics, utility_metrics
from tightlip.evaluation.selection import select_row
from tightlip.files import read_jsonl, write_json
from tightlip.guidance.prompt_setup import BARE, as_deployed
from tightlip.params import load_params
from tightlip.records import Sample
from tightlip.stage import stage_command
from tightlip.table_rows import parse_row


@stage_command
def main() -> int:
    """Choose epoch, γ and space on the dev samples and the validation questions."""
    params = load_params()
    samples = read_jsonl("data/samples/dev.jsonl", Sample)
    questions = load_questions(params.eval.questions, params.eval.questions.dev)
    undefended = utility_metrics(make_evaluator(parse_row("ch"), params).utility(questions, [BARE])[BARE])
    trainings: dict[str, list[dict[str, float | int]]] = {}
    rows = params.eval.candidates()
    for training_rows in params.by_weights(rows):
        evaluator = make_evaluator(training_rows[0], params)
        setups = {row: as_deployed(row, evaluator.negative) for row in training_rows}
        leaks = evaluator.leaks(samples, list(setups.values()))
        utility = evaluator.utility(questions, list(setups.values()))
        benign = evaluator.leaks(benign_samples("dev"), list(setups.values()))
        for row, setup in setups.items():
            metrics = leak_metrics(leaks[setup]) | utility_metrics(utility[setup], "_deployed")
            trainings.setdefault(row.key, []).append(metrics | benign_metrics(benign[setup]))
    dev_metrics = {key: mean_metrics(each) for key, each in trainings.items()}
    selected = select_row(dev_metrics, undefended["utility_pct"], params.eval.margin)
    write_json("metrics/selection.json", {"row": selected, "undefended": undefended, "dev": dev_metrics})
    return len(rows)


if __name__ == "__main__":
    main()
