from pathlib import Path

import pandas as pd

from tightlip.files import read_json, read_jsonl, write_json, write_text
from tightlip.params import load_params
from tightlip.records import LeakOutcome, UtilityOutcome
from tightlip.reporting import items, tables
from tightlip.rows import Row
from tightlip.stage import stage_command

METRICS = Path("metrics")


@stage_command
def main() -> int:
    """Make Tables 1–3, the summary, the headline and the data of the plots from the figures of all rows."""
    params = load_params()
    # Named by the parameters, not found on disk: files of rows that were taken out of them stay behind.
    rows, extended = params.eval.rows(), params.eval.extended.rows()
    summary = tables.summarise({row.key: _row(row, row in extended, params.seed) for row in rows})
    write_json(METRICS / "summary.json", summary)
    counts = [_counts(row, row in extended) for row in rows]
    for name in counts[0]:
        of_figure = {row.key: {params.seed: of_row[name]} for row, of_row in zip(rows, counts, strict=True)}
        _write_csv(METRICS / f"items/{name}.csv", items.frame(of_figure))
    chosen = str(read_json(METRICS / "selection.json")["row"])
    write_json(METRICS / "headline.json", tables.headline(summary, chosen))
    for number, make in enumerate((tables.table1, tables.table2, tables.table3), 1):
        table = make(summary)
        _write_csv(METRICS / f"table{number}.csv", table)
        write_text(METRICS / f"table{number}.md", tables.to_markdown(table, tables.CAPTIONS[number]))
    _write_csv(METRICS / "plots/frontier.csv", tables.frontier(summary))
    _write_csv(METRICS / "plots/guidance.csv", tables.guidance(summary))
    _write_csv(METRICS / "plots/orpo.csv", tables.curves(METRICS / "curves", params.train.variants))
    return len(summary)


def _row(row: Row, extended: bool, seed: int) -> dict[str, tables.Number]:
    path = METRICS / f"rows/{row.checkpoint}.json"
    figures = read_json(path)
    if row.key not in figures:
        raise ValueError(f"{path}: no row {row.key}; run `dvc repro`")
    outcomes = read_jsonl(row.outcomes / "leaks.jsonl", LeakOutcome)
    more = read_jsonl(row.outcomes / "extended.jsonl", LeakOutcome) if extended else []
    try:
        return tables.with_intervals(figures[row.key], outcomes, more, seed)
    except ValueError as error:
        raise ValueError(f"row {row.key}: {error}") from None


def _counts(row: Row, extended: bool) -> dict[str, items.Counts]:
    """Count per item: `leaks`, `entities`, `correct` (as deployed)."""
    outcomes = read_jsonl(row.outcomes / "leaks.jsonl", LeakOutcome)
    outcomes += read_jsonl(row.outcomes / "extended.jsonl", LeakOutcome) if extended else []
    answered = read_jsonl(row.outcomes / "utility.jsonl", UtilityOutcome)
    return {
        "leaks": {outcome.sample_id: len(outcome.leaks) for outcome in outcomes},
        "entities": {outcome.sample_id: len(outcome.entities) for outcome in outcomes},
        "correct": {str(outcome.question_id): int(outcome.correct) for outcome in answered},
    }


def _write_csv(path: Path, table: pd.DataFrame) -> None:
    write_text(path, table.to_csv(index=False))


if __name__ == "__main__":
    main()
