from pathlib import Path

from tightlip.files import read_json, read_jsonl, write_json
from tightlip.params import Params, load_params
from tightlip.records import LeakOutcome, UtilityOutcome
from tightlip.stage import stage_command
from tightlip.table_rows import TableRow
from tightlip.tables import main_tables as tables
from tightlip.tables.item_counts import item_tables
from tightlip.tables.row_metrics import TrainingOutcomes, with_intervals

METRICS = Path("metrics")


@stage_command
def main() -> int:
    """Make Tables 1–3, the summary, the headline and the data of the plots from the metrics of all rows."""
    params = load_params()
    # The parameters say which rows there are: files of rows that were taken out of them stay on disk.
    trainings = {row.key: _trainings(row, params) for row in params.eval.rows()}
    summary = tables.summarise({key: with_intervals(key, runs, params.seed) for key, runs in trainings.items()})
    write_json(METRICS / "summary.json", summary)
    for name, counts in item_tables(trainings).items():
        tables.write_csv(METRICS / f"items/{name}.csv", counts)
    chosen = str(read_json(METRICS / "selection.json")["row"])
    write_json(METRICS / "headline.json", tables.headline(summary, chosen))
    for number, make in enumerate((tables.table1, tables.table2, tables.table3), 1):
        tables.write_table(METRICS / f"table{number}", make(summary), tables.CAPTIONS[number])
    tables.write_csv(METRICS / "plots/frontier.csv", tables.frontier(summary))
    tables.write_csv(METRICS / "plots/guidance.csv", tables.guidance_curve(summary))
    tables.write_csv(METRICS / "plots/orpo.csv", tables.curves(METRICS / "curves", params.train.variants))
    return len(summary)


def _trainings(row: TableRow, params: Params) -> list[TrainingOutcomes]:
    path = METRICS / f"rows/{row.checkpoint}.json"
    blocks, rows = read_json(path).get(row.key, []), params.trainings(row)
    extended = row in params.eval.extended.rows()
    if len(blocks) != len(rows):
        raise ValueError(f"{path}: no row {row.key}, or of other trainings; run `dvc repro`")
    return [
        TrainingOutcomes(
            metrics,
            read_jsonl(each.outcomes / "leaks.jsonl", LeakOutcome),
            read_jsonl(each.outcomes / "extended.jsonl", LeakOutcome) if extended else (),
            read_jsonl(each.outcomes / "utility.jsonl", UtilityOutcome),
        )
        for metrics, each in zip(blocks, rows, strict=True)
    ]


if __name__ == "__main__":
    main()
