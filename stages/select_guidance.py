from tightlip.evaluation.benign import benign_figures, benign_samples
from tightlip.evaluation.leak import leak_figures
from tightlip.evaluation.question_sets import load_questions
from tightlip.evaluation.rows import examiner, mean_figures, utility_figures
from tightlip.evaluation.selection import select_row
from tightlip.files import read_jsonl, write_json
from tightlip.guidance.asking import BARE, as_deployed
from tightlip.params import load_params
from tightlip.records import Sample
from tightlip.rows import parse_row
from tightlip.stage import scratch, stage_command


@stage_command
def main() -> int:
    """Choose epoch, γ and space on the dev samples and the validation questions."""
    params = load_params()
    samples = read_jsonl("data/samples/dev.jsonl", Sample)
    asked = params.eval.questions
    questions = load_questions(asked.source, asked.name, asked.revision, asked.dev)
    shared = scratch("evaluate_model", "shared")
    undefended = utility_figures(examiner(parse_row("ch"), params, shared).utility(questions, [BARE])[BARE])
    trainings: dict[str, list[dict[str, float | int]]] = {}
    rows = params.eval.candidates()
    for of_weights in params.by_weights(rows):
        under_test = examiner(of_weights[0], params, shared)
        ways = {row: as_deployed(row, under_test.negative) for row in of_weights}
        leaks = under_test.leaks(samples, list(ways.values()))
        utility = under_test.utility(questions, list(ways.values()))
        harmless = under_test.leaks(benign_samples("dev"), list(ways.values()))
        for row, asking in ways.items():
            found = leak_figures(leaks[asking]) | utility_figures(utility[asking], "_deployed")
            found |= benign_figures(harmless[asking])
            trainings.setdefault(row.key, []).append(found)
    figures = {key: mean_figures(found) for key, found in trainings.items()}
    chosen = select_row(figures, undefended["utility_pct"], params.eval.margin)
    write_json("metrics/selection.json", {"row": chosen, "undefended": undefended, "dev": figures})
    return len(rows)


if __name__ == "__main__":
    main()
