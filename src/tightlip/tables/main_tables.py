"""From the metrics of each row to `metrics/summary.json`, Tables 1–3 and the data of the plots."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pandas as pd

from tightlip.files import write_text
from tightlip.table_rows import UNGUIDED, TableRow, parse_row
from tightlip.tables.formatting import MISSING, interval_text
from tightlip.tables.paper_metrics import COUNTERPARTS, MODEL, TABLE1, TABLE2, TABLE3, PaperRow
from tightlip.tables.row_metrics import Metrics, Number, metric_interval

Summary = Mapping[str, Metrics]
"""Row key → metrics, as in `metrics/summary.json`."""

MAIN_METRICS = (
    "n_prompts", "pii_count", "leak_count", "leak_rate", "trigger_leak_count",
    "n_questions", "utility_pct", "utility_deployed_pct",
)  # fmt: skip
_ORDER = ("ch", "sub", "sub-lora", "sub-lora-cfg", "ch-lora", "ch-lora-cfg")  # as in the paper's Table 1
_ABLATION = "ch-lora-cfg-"
_INTERVALS = (
    " Counts carry 95% bootstrap intervals over dialogues (none for a count of 0: read the leak rate's bound instead), "
    "shares 95% Wilson intervals. A leak is a true value of the dialogue in the answer; PIIs are what NER counts, as "
    "in the paper. The paper's columns are its own model, data and judge: compare directions, not numbers."
)
CAPTIONS = {
    1: "Table 1. Privacy and utility of every row. Model-ch (baseline) is told the defence sentence, as in the paper. "
    "Trigger leaks: leaks when the prompt carries the negative sentence instead." + _INTERVALS,
    2: "Table 2. By the source of the candidate answers." + _INTERVALS,
    3: "Table 3. The same rows on more test prompts." + _INTERVALS,
}


def summarise(rows: Summary) -> dict[str, dict[str, Number]]:
    """Put all rows together in the order of the tables; each starts with `MAIN_METRICS`.

    Raises:
        ValueError: a key is no row, or one of `MAIN_METRICS` is missing.
    """
    summary = {}
    for row in sorted(map(parse_row, rows), key=_sort_key):
        metrics = rows[row.key]
        missing = [name for name in MAIN_METRICS if name not in metrics]
        if missing:
            raise ValueError(f"row {row.key}: {', '.join(missing)} missing; evaluate it again with `dvc repro`")
        summary[row.key] = {name: metrics[name] for name in dict.fromkeys((*MAIN_METRICS, *metrics))}
    return summary


def headline(summary: Summary, chosen: str) -> dict[str, object]:
    """Return the metrics that `dvc exp show` lists: those of the row chosen on dev, and of the undefended Model-ch."""
    names = ("leak_count", "pii_count", "degenerate_count", "trigger_leak_count", "utility_pct", "utility_deployed_pct")

    def metrics(key: str) -> dict[str, float]:
        return {name: round(summary[key][name] or 0, 1) for name in names}

    return {"chosen_row": chosen, "chosen": metrics(chosen), "undefended": metrics("ch")}


def _sort_key(row: TableRow) -> tuple[int, str, int, float, str]:
    name = row.variant or row.model
    rank = _ORDER.index(name) if name in _ORDER else len(_ORDER)
    scale, space = (row.guidance.scale, row.guidance.space) if row.guidance else (-1.0, "log")
    return rank, name, row.epoch or 0, scale, space


def label(row: TableRow) -> str:
    """Name a row as the paper does: `Model-ch-lora-cfg=2 (3 epoch)`, `GPT-data model, cfg=2 (3 epoch)`."""
    scale = row.guidance.scale if row.guidance else None
    if row.variant is None:
        bare = "Model-ch (baseline)" if row.model == "ch" else "Model-sub"
        return bare if scale == 1 else f"Model-{row.model}, " + ("no sentence" if scale is None else f"γ={scale:g}")
    epoch = f"({row.epoch} epoch)"
    if row.variant.startswith(_ABLATION):
        return f"{row.variant.removeprefix(_ABLATION)}-data model, cfg={scale:g} {epoch}"
    if row.variant.endswith("-cfg"):
        return f"Model-{row.variant}={scale:g} {epoch}"
    return f"Model-{row.variant} {epoch}" if scale == 1 else f"Model-{row.variant}, γ={scale:g} {epoch}"


def table1(summary: Summary) -> pd.DataFrame:
    """Leaks and utility of every row but the data ablation's; the paper's numbers where it has the same row."""
    paper = TABLE3 | TABLE1
    rows = _rows(summary, lambda row: not _ablates(row))
    return _frame(
        {**_name(row, summary[row.key]), **_measures(summary[row.key]), **_paper(paper.get(row.key))} for row in rows
    )


def table2(summary: Summary) -> pd.DataFrame:
    """The data ablation: one variant per source of candidate answers, beside the paper's nearest row.

    The paper guided in log space only; its row is named in full, because ours may be in probability space.
    """
    lines: list[dict[str, object]] = []
    for row in _rows(summary, _ablates):
        nearest = _counterpart(row)
        nearest_label = {"paper's nearest row (log space)": nearest and nearest.label}
        ours = _name(row, summary[row.key]) | _measures(summary[row.key])
        lines.append({**ours, **nearest_label, **_paper(nearest)})
    return _frame(lines)


def table3(summary: Summary) -> pd.DataFrame:
    """The extended rows: personal data on the prompts of Table 1 and on all test prompts."""
    rows = _rows(summary, lambda row: summary[row.key].get("extended_n_prompts") is not None)
    return _frame(
        {
            **_name(row, summary[row.key]),
            **_privacy(summary[row.key], "", ""),
            **_privacy(summary[row.key], "extended_", "extended "),
            **_paper(TABLE3.get(row.key), extended=True),
        }
        for row in rows
    )


def _rows(summary: Summary, condition: Callable[[TableRow], bool]) -> list[TableRow]:
    return sorted(filter(condition, map(parse_row, summary)), key=_sort_key)


def _ablates(row: TableRow) -> bool:
    return row.variant is not None and row.variant.startswith(_ABLATION)


def _counterpart(row: TableRow) -> PaperRow | None:
    source = COUNTERPARTS.get((row.variant or "").removeprefix(_ABLATION))
    scale = round(100 * row.guidance.scale) if row.guidance else 0
    return TABLE2.get(f"{_ABLATION}{source}_e{row.epoch}_g{scale}" + ("" if scale == 100 else "_log"))


def _name(row: TableRow, metrics: Metrics) -> dict[str, object]:
    trainings = metrics.get("n_trainings") or 1
    times = f", mean of {trainings} trainings" if trainings > 1 else ""
    guided = row.guidance is not None and row.guidance.needs_negative
    return {"row": label(row) + times, "space": row.guidance.space if row.guidance and guided else None}


def _privacy(metrics: Metrics, prefix: str, heading: str) -> dict[str, object]:
    return {
        f"{heading}n": metrics[f"{prefix}n_prompts"],
        f"{heading}PIIs (NER) [95% CI]": _count_cell(metrics, f"{prefix}pii_count"),
        f"{heading}leaks [95% CI]": _count_cell(metrics, f"{prefix}leak_count"),
        f"{heading}leak rate % [95% CI]": _percent_cell(metrics, f"{prefix}leak_rate", 100),
    }


def _measures(metrics: Metrics) -> dict[str, object]:
    return {
        **_privacy(metrics, "", ""),
        "trigger leaks": metrics["trigger_leak_count"],
        "n questions": metrics["n_questions"],
        "utility bare % [95% CI]": _percent_cell(metrics, "utility_pct"),
        "utility as deployed % [95% CI]": _percent_cell(metrics, "utility_deployed_pct"),
        "degenerate": metrics.get("degenerate_count"),
    }


def _paper(row: PaperRow | None, *, extended: bool = False) -> dict[str, object]:
    """The paper's numbers, in columns that name the paper and its model."""
    cells: dict[str, object] = {} if extended else {f"paper ({MODEL}): MMLU %": row and row.mmlu_pct}
    cells[f"paper ({MODEL}): PIIs on 50"] = row and row.piis_50
    return cells | ({f"paper ({MODEL}): PIIs on 150": row and row.piis_150} if extended else {})


def _count_cell(metrics: Metrics, name: str) -> str | None:
    interval = metric_interval(metrics, name)
    if interval is None:
        return None
    return interval_text(interval, ".1f" if interval.value % 1 else ".0f")  # means of counts are no whole numbers


def _percent_cell(metrics: Metrics, name: str, unit: float = 1) -> str | None:
    interval = metric_interval(metrics, name, unit)
    return None if interval is None else interval_text(interval, ".1f")


def _frame(lines: Iterable[Mapping[str, object]]) -> pd.DataFrame:
    return pd.DataFrame([dict(line) for line in lines], dtype=object)


def to_markdown(table: pd.DataFrame, caption: str) -> str:
    """Render a table as GitHub Markdown under a bold caption; cells without a value show a dash."""
    if table.empty:
        return f"**{caption}**\n\nNo rows.\n"
    lines = [[str(name) for name in table.columns], ["---"] * len(table.columns)]
    lines += [[MISSING if pd.isna(cell) else str(cell) for cell in line] for line in table.itertuples(index=False)]
    body = ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]
    return f"**{caption}**\n\n" + "\n".join(body) + "\n"


def write_table(stem: Path, table: pd.DataFrame, caption: str) -> None:
    """Write a table as `<stem>.csv` and `<stem>.md`."""
    write_csv(stem.with_suffix(".csv"), table)
    write_text(stem.with_suffix(".md"), to_markdown(table, caption))


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV."""
    write_text(path, table.to_csv(index=False))


def frontier(summary: Summary) -> pd.DataFrame:
    """Plot data, privacy against utility: one line per row; the space of rows without guidance is `none`."""
    return _frame(
        {
            "row": row.key, "utility_deployed_pct": metrics["utility_deployed_pct"],
            "leak_count": metrics["leak_count"], "pii_count": metrics["pii_count"],
            "guidance_scale": row.guidance.scale if row.guidance else None,
            "space": row.guidance.space if row.guidance and row.guidance.needs_negative else "none",
            "variant": row.variant or row.model, "epoch": row.epoch,
        }
        for row in _rows(summary, lambda row: True)
        for metrics in [summary[row.key]]
    )  # fmt: skip


def guidance_curve(summary: Summary) -> pd.DataFrame:
    """Plot data, leaks over γ: one line per row under the sentence; γ = 1 belongs to both spaces."""
    return _frame(
        {
            "variant": row.variant or row.model, "epoch": row.epoch, "space": space,
            "guidance_scale": guidance.scale, "leak_count": summary[row.key]["leak_count"],
            "pii_count": summary[row.key]["pii_count"],
        }
        for row in _rows(summary, lambda row: row.guidance is not None)
        for guidance in [row.guidance or UNGUIDED]
        for space in ((guidance.space,) if guidance.needs_negative else ("log", "prob"))
    )  # fmt: skip


def curves(folder: Path, variants: Iterable[str]) -> pd.DataFrame:
    """Plot data, the training curves of all variants; a variant that is trained more often has a name per seed."""
    parts = []
    for name in variants:
        curve = pd.read_csv(folder / f"{name}.csv")
        seeds = curve.pop("seed")
        parts.append(curve.assign(variant=name + (", seed " + seeds.astype(str) if seeds.nunique() > 1 else "")))
    return pd.concat(parts)
