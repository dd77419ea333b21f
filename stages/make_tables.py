from pathlib import Path

import pandas as pd

from tightlip.files import read_json, read_jsonl, write_json, write_text
from tightlip.params import Params, load_params
from tightlip.records import LeakOutcome, UtilityOutcome
from tightlip.stage import stage_command
from tightlip.table_rows import TableRow
from tightlip.tables import item_counts as items, main_tables as tables
from tightlip.tables.row_metrics import Training, with_intervals

METRICS = Path("metrics")


@stage_command
def main() -> int:
    """Make Tables 1–3, the summary, the headline and the data of the plots from the figures of all rows."""
    params = load_params()
    # Named by the parameters, not found on disk: files of rows that were taken out of them stay behind.
    trainings = {row.key: _trainings(row, params) for row in params.eval.rows()}
    summary = tables.summarise({key: with_intervals(key, runs, params.seed) for key, runs in trainings.items()})
    write_json(METRICS / "summary.json", summary)
    for name, counts in items.of_rows(trainings).items():
        _write_csv(METRICS / f"items/{name}.csv", counts)
    chosen = str(read_json(METRICS / "selection.json")["row"])
    write_json(METRICS / "headline.json", tables.headline(summary, chosen))
    for number, make in enumerate((tables.table1, tables.table2, tables.table3), 1):
        table = make(summary)
        _write_csv(METRICS / f"table{number}.csv", table)
        write_text(METRICS / f"table{number}.md", tables.to_markdown(table, tables.CAPTIONS[number]))
    _write_csv(METRICS / "plots/frontier.csv", tables.frontier(summary))
    _write_csv(METRICS / "plots/guidance.csv", tables.guidance_curve(summary))
    _write_csv(METRICS / "plots/orpo.csv", tables.curves(METRICS / "curves", params.train.variants))
    return len(summary)


def _trainings(row: TableRow, params: Params) -> list[Training]:
    path = METRICS / f"rows/{row.checkpoint}.json"
    figures = read_json(path)
    rows, extended = params.trainings(row), row in params.eval.extended.rows()
    if len(figures.get(row.key, [])) != len(rows):
        raise ValueError(f"{path}: no row {row.key}, or of other trainings; run `dvc repro`")
    return [
        Training(
            block,
            read_jsonl(each.outcomes / "leaks.jsonl", LeakOutcome),
            read_jsonl(each.outcomes / "extended.jsonl", LeakOutcome) if extended else (),
            read_jsonl(each.outcomes / "utility.jsonl", UtilityOutcome),
        )
        for block, each in zip(figures[row.key], rows, strict=True)
    ]


def _write_csv(path: Path, table: pd.DataFrame) -> None:
    write_text(path, table.to_csv(index=False))


if __name__ == "__main__":
    main()
