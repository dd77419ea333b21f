"""Puts the report together: one HTML page from the files of a run, without scripts, without a network."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tightlip.files import read_json, read_jsonl, stream_jsonl
from tightlip.html_report import answers, charts, figures, verdict
from tightlip.html_report.grids import frame_grid, grid, read_csv
from tightlip.html_report.verdict import UNDEFENDED
from tightlip.records import PROVENANCES, Dialogue, FilteredAnswer, LeakOutcome, Sample
from tightlip.table_rows import parse_row
from tightlip.tables import evidence_tables as evidence
from tightlip.tables.main_tables import CAPTIONS, Summary
from tightlip.tables.statistics import wilson

METRICS = Path("metrics")
EVIDENCE = METRICS / "evidence"
ANSWERS = 10


def render(**context: Any) -> str:
    """Fill the page's template; everything from data is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    page = Environment(
        loader=PackageLoader("tightlip.html_report", "."), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    ).get_template("report.html.j2")  # fmt: skip
    page.environment.filters["share"] = figures.share_of
    return page.render(**context)


def main_sections(profile: str, base: str, margin: float, seed: int, detect: answers.Detect) -> dict[str, Any]:
    """Read what Tables 1–3 rest on and return what the template shows of it.

    Args:
        profile: name of the run's profile.
        base: name of the base model.
        margin: points of usefulness that may be lost.
        seed: of the resampling.
        detect: finds what may be personal in texts, beside the true values.

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
        "sources": _sources(), "types": _types(chosen), "comparisons": _comparisons(chosen, detect),
        "evidence": None,
    }  # fmt: skip


def evidence_sections(chosen: str, first: str, margin: float) -> dict[str, Any]:
    """Read Tables 4–10 and what their charts rest on.

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
    series, chart = figures.relearning(relearned, {str(key): evidence.name(str(key)) for key in relearned["row"]})
    return {
        **grids, "relearned": series, "relearning": chart,
        "first": evidence.name(first), "origins": PROVENANCES,
        "by_origin": figures.by_origin(
            read_json(EVIDENCE / f"rows/{first}.json")[0]["provenance"], PROVENANCES
        ),
    }  # fmt: skip


def _verdict(summary: Summary, chosen: str, margin: float, seed: int) -> dict[str, Any]:
    leaks, correct = (read_csv(METRICS / f"items/{name}.csv") for name in ("leaks", "correct"))
    return {
        "trainings": int(summary[chosen].get("n_trainings") or 1),
        "verdict": verdict.judge(summary, chosen, leaks, correct, margin, seed),
        "zero_high": 100 * (wilson(0, int(summary[chosen]["n_prompts"] or 0)).high or 0),
    }


def _charts(summary: Summary, chosen: str, curves: pd.DataFrame) -> dict[str, Any]:
    """Draw the charts of Tables 1–3; a variant looks the same in all of them."""
    rows = [parse_row(key) for key in summary]
    every = charts.styles([*map(figures.of_row, rows), *curves["variant"]])
    tested = _among(every, {figures.of_row(row) for row in rows})
    guided = _among(every, {figures.of_row(row) for row in rows if row.guidance is not None})
    points = figures.frontier(summary, {UNDEFENDED: "undefended", chosen: "chosen on dev"})
    title = "Answers that leak against usefulness, a point per row, with 95% intervals"
    sizes = {"wide": (1180, 470), "narrow": (350, 380)}
    return {
        "tested": tested, "guided": guided, "trained": _among(every, set(curves["variant"])),
        "frontier": {name: charts.frontier(points, tested, *size, title) for name, size in sizes.items()},
        "guidance": figures.guidance(summary, guided),
        "training": [
            (number, split, figures.training(curves, every, split)) for number, split in ((3, "train"), (4, "eval"))
        ],
        "trained_last": frame_grid("last", "Last figures on the dev pairs", figures.last(curves)),
    }  # fmt: skip


def _among(series: Sequence[charts.Style], names: set[str]) -> list[charts.Style]:
    return [style for style in series if style.name in names]


def _sources() -> list[dict[str, Any]]:
    """Return the filter's funnel and reasons by source."""
    paths = sorted(Path("data/filtered").glob("*.jsonl"), key=lambda path: path.stem)
    if not paths:
        raise ValueError("data/filtered: no filtered answers; run `dvc repro` to make them")
    read = {path.stem: read_jsonl(path, FilteredAnswer) for path in paths}
    return [
        {"name": name, "funnel": figures.funnel(given), "reasons": figures.reasons(given)}
        for name, given in read.items()
    ]


def _types(chosen: str) -> pd.DataFrame:
    outcomes = {
        f"{title}, {len(given)} prompts": given
        for title, key in (("undefended", UNDEFENDED), ("chosen on dev", chosen))
        for given in _outcomes(key)
    }
    return figures.leaked_types(outcomes)


def _outcomes(key: str) -> list[list[LeakOutcome]]:
    """Return a row's outcomes, and those on all test prompts if it was tested on more."""
    folder = parse_row(key).outcomes
    first = read_jsonl(folder / "leaks.jsonl", LeakOutcome)
    more = folder / "extended.jsonl"
    return [first, [*first, *read_jsonl(more, LeakOutcome)]] if more.is_file() else [first]


def _comparisons(chosen: str, detect: answers.Detect) -> Sequence[answers.Comparison]:
    titles = {UNDEFENDED: f"undefended ({UNDEFENDED})", chosen: f"defended ({chosen})"}
    recorded = {title: {outcome.sample_id: outcome for outcome in _outcomes(key)[0]} for key, title in titles.items()}
    samples = read_jsonl("data/samples/test.jsonl", Sample)
    values = answers.true_values(stream_jsonl("data/dialogues.jsonl", Dialogue))
    return answers.side_by_side(samples, recorded, values, detect, ANSWERS)
