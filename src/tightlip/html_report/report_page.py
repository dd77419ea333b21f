"""Collects what the report shows from the files of a run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tightlip.files import read_json, read_jsonl, stream_jsonl
from tightlip.html_report import chart_data, charts
from tightlip.html_report.masked_answers import AnsweredPrompt, mask_answers, true_values
from tightlip.html_report.table_grids import frame_grid, grid, read_csv
from tightlip.html_report.verdict import UNDEFENDED, make_verdict
from tightlip.pii.spans import FindSpans
from tightlip.records import PROVENANCES, Dialogue, FilteredAnswer, LeakOutcome, Sample
from tightlip.table_rows import parse_row
from tightlip.tables import evidence_tables as evidence
from tightlip.tables.main_tables import CAPTIONS, Summary
from tightlip.tables.statistics import wilson

METRICS = Path("metrics")
EVIDENCE = METRICS / "evidence"
ANSWERS = 10


def main_sections(profile: str, base: str, margin: float, seed: int, detect: FindSpans) -> dict[str, Any]:
    """Return the template's variables for all sections but the evidence's.

    Args:
        profile: name of the run's profile.
        base: name of the base model.
        margin: points of usefulness that may be lost.
        seed: of the resampling.
        detect: detectors of personal data, beside the true values.

    Raises:
        ValueError: a file is missing or does not fit, with the remedy.
    """
    summary = read_json(METRICS / "summary.json")
    chosen = str(read_json(METRICS / "selection.json")["row"])
    missing = {UNDEFENDED, chosen} - set(summary)
    if missing:
        raise ValueError(f"{METRICS}/summary.json: no row {min(missing)}; run `dvc repro`")
    return {
        "profile": profile, "base": base, "chosen": chosen, "old": summary[UNDEFENDED], "new": summary[chosen],
        **_verdict(summary, chosen, margin, seed), "challenge": read_json(METRICS / "challenge.json"),
        "truth": read_json(METRICS / "dialogues.json")["truth"],
        "tables": [
            grid(f"table{number}", METRICS / f"table{number}.csv", CAPTIONS[number], chosen) for number in (1, 2, 3)
        ],
        **_charts(summary, chosen, read_csv(METRICS / "plots/orpo.csv")),
        "sources": _sources(), "types": _types(chosen), "prompts": _answered_prompts(chosen, detect),
        "evidence": None,
    }  # fmt: skip


def evidence_sections(chosen: str, first: str, margin: float) -> dict[str, Any]:
    """Return the template's variables for Tables 4–10 and their charts.

    Args:
        chosen: key of the row chosen on dev.
        first: key of the row whose values are shown by type and origin.
        margin: points of usefulness that may be lost.

    Raises:
        ValueError: a file is missing, with the remedy.
    """
    challenge = read_json(METRICS / "challenge.json")
    captions = evidence.captions(margin, challenge["hits_floor"], challenge["n_values"])
    grids = {name: grid(name, EVIDENCE / f"tables/{name}.csv", caption, chosen) for name, caption in captions.items()}
    grids["table5"] = grids["table5"]._replace(heat=True)
    relearned = read_csv(EVIDENCE / "relearning.csv")
    series, chart = chart_data.relearning(relearned, {str(key): evidence.name(str(key)) for key in relearned["row"]})
    return {
        **grids, "relearned": series, "relearning": chart,
        "first": evidence.name(first), "origins": PROVENANCES,
        "by_origin": chart_data.by_origin(
            read_json(EVIDENCE / f"rows/{first}.json")[0]["provenance"], PROVENANCES
        ),
    }  # fmt: skip


def _verdict(summary: Summary, chosen: str, margin: float, seed: int) -> dict[str, Any]:
    leaks, correct = (read_csv(METRICS / f"items/{name}.csv") for name in ("leaks", "correct"))
    return {
        "trainings": int(summary[chosen].get("n_trainings") or 1),
        "verdict": make_verdict(summary, chosen, leaks, correct, margin, seed),
        "zero_high": 100 * (wilson(0, int(summary[chosen]["n_prompts"] or 0)).high or 0),
    }


def _charts(summary: Summary, chosen: str, curves: pd.DataFrame) -> dict[str, Any]:
    """Draw the charts of Tables 1–3; a variant looks the same in all of them."""
    rows = [parse_row(key) for key in summary]
    every = charts.styles([*map(chart_data.series_name, rows), *curves["variant"]])
    tested = _among(every, {chart_data.series_name(row) for row in rows})
    guided = _among(every, {chart_data.series_name(row) for row in rows if row.guidance is not None})
    points = chart_data.frontier(summary, {UNDEFENDED: "undefended", chosen: "chosen on dev"})
    title = "Answers that leak against usefulness, a point per row, with 95% intervals"
    sizes = {"wide": (1180, 470), "narrow": (350, 380)}
    return {
        "tested": tested, "guided": guided, "trained": _among(every, set(curves["variant"])),
        "frontier": {name: charts.frontier(points, tested, *size, title) for name, size in sizes.items()},
        "guidance": chart_data.guidance(summary, guided),
        "training": [
            (number, split, chart_data.training(curves, every, split)) for number, split in ((3, "train"), (4, "eval"))
        ],
        "trained_last": frame_grid("last", "Last points on the dev pairs", chart_data.last_points(curves)),
    }  # fmt: skip


def _among(series: Sequence[charts.Style], names: set[str]) -> list[charts.Style]:
    return [style for style in series if style.name in names]


def _sources() -> list[dict[str, Any]]:
    """Return the filter's funnel and reasons by source."""
    paths = sorted(Path("data/filtered").glob("*.jsonl"), key=lambda path: path.stem)
    if not paths:
        raise ValueError("data/filtered: no filtered answers; run `dvc repro` to make them")
    answers = {path.stem: read_jsonl(path, FilteredAnswer) for path in paths}
    return [
        {"name": name, "funnel": chart_data.funnel(filtered), "reasons": chart_data.reasons(filtered)}
        for name, filtered in answers.items()
    ]


def _types(chosen: str) -> pd.DataFrame:
    outcomes = {
        f"{title}, {len(row_outcomes)} prompts": row_outcomes
        for title, key in (("undefended", UNDEFENDED), ("chosen on dev", chosen))
        for row_outcomes in _outcomes(key)
    }
    return chart_data.leaked_types(outcomes)


def _outcomes(key: str) -> list[list[LeakOutcome]]:
    """Return a row's outcomes on the prompts of Tables 1 and 2 and, if it was tested on more, on all test prompts."""
    folder = parse_row(key).outcomes
    first = read_jsonl(folder / "leaks.jsonl", LeakOutcome)
    extended = folder / "extended.jsonl"
    return [first, [*first, *read_jsonl(extended, LeakOutcome)]] if extended.is_file() else [first]


def _answered_prompts(chosen: str, detect: FindSpans) -> list[AnsweredPrompt]:
    titles = {UNDEFENDED: f"undefended ({UNDEFENDED})", chosen: f"defended ({chosen})"}
    recorded = {title: {outcome.sample_id: outcome for outcome in _outcomes(key)[0]} for key, title in titles.items()}
    samples = read_jsonl("data/samples/test.jsonl", Sample)
    values = true_values(stream_jsonl("data/dialogues.jsonl", Dialogue))
    return mask_answers(samples, recorded, values, detect, ANSWERS)
