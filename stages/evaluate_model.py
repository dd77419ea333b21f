import click

from tightlip.evaluation.leak import leak_figures
from tightlip.evaluation.question_sets import load_questions
from tightlip.evaluation.rows import askings_of, evaluate_row, examiner
from tightlip.files import read_jsonl, write_json, write_jsonl
from tightlip.guidance.asking import as_deployed
from tightlip.params import load_params
from tightlip.records import Sample
from tightlip.rows import parse_row
from tightlip.stage import scratch, stage_command


@stage_command
@click.argument("key")
@click.option("--extended", is_flag=True, help="Answer the test prompts beyond those of Tables 1 and 2 instead.")
def main(key: str, extended: bool) -> int:
    """Test one row: a model, an adapter and a way of guiding (for instance ch-lora-cfg_e2_g300_prob)."""
    params = load_params()
    row, limit = parse_row(key), params.eval.prompts
    samples = read_jsonl("data/samples/test.jsonl", Sample)
    if extended and len(samples) <= limit:
        raise ValueError(f"no test prompt beyond the first {limit}; raise samples.test or lower eval.prompts")
    under_test = examiner(row, params, scratch("evaluate_model", "shared"))
    if extended:
        outcomes = under_test.leaks(samples[limit:], askings_of(row, params.eval.extended.keys()))
        leaks = outcomes[as_deployed(row)]
        write_jsonl(f"data/extended/{key}.jsonl", leaks)
        write_json(f"metrics/extended/{key}.json", leak_figures(leaks))
        return len(leaks)
    leaks, utility, figures = evaluate_row(
        row, under_test, samples[:limit], load_questions(params.eval.utility, "test")
    )
    write_jsonl(f"data/rows/{key}/leaks.jsonl", leaks)
    write_jsonl(f"data/rows/{key}/utility.jsonl", utility)
    write_json(f"metrics/rows/{key}.json", figures)
    return len(leaks) + len(utility)


if __name__ == "__main__":
    main()
