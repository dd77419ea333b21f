"""Tables 4–10: baselines on the same prompts, attacks, where leaked values come from, detectors, relearning, seeds."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from tightlip.records import PROVENANCES, AttackOutcome, LeakOutcome, UtilityOutcome
from tightlip.table_rows import parse_row
from tightlip.tables.formatting import MISSING, interval_text, p_text
from tightlip.tables.item_counts import Counts, correct_counts, leak_counts, paired_differences
from tightlip.tables.main_tables import label
from tightlip.tables.row_metrics import dialogue_of
from tightlip.tables.statistics import Interval, holm, non_inferior, total, wilson


class EvidenceRow(NamedTuple):
    """Outcomes and metrics of a row of the evidence."""

    leaks: Sequence[LeakOutcome]
    utility: Sequence[UtilityOutcome]
    attacks: Sequence[AttackOutcome]
    metrics: Mapping[str, Any]


def captions(margin: float, floor: int, targets: int) -> dict[str, str]:
    """Return the captions of Tables 4–10.

    Args:
        margin: points of usefulness that may be lost.
        floor: number of values that one constant guess per type extracts.
        targets: number of values that extraction is tried on.
    """
    return {
        "table4": "Table 4. What else could be done, on the same prompts and questions. Differences are against the "
        "first row, item by item, with 95% bootstrap intervals over dialogues (usefulness: over questions) and "
        "p-values of a permutation test, adjusted by Holm. No loss: the interval rules out a loss of "
        f"{margin:g} points. Extracted: values masked in training dialogues that come out of the bare weights, of "
        f"{targets}; one constant guess per type gets {floor}. Benign: questions answered rightly whose answer is a "
        "name, place, date or number. Perplexity, repeated word triples and unfinished ends: how the answers to the "
        "test prompts read, under the base model.",
        "table5": "Table 5. Attacks: conversations out of which at least one phrasing of the family gets a true value "
        "of the dialogue, in %, with 95% Wilson intervals. All attacks but the last go against the model as deployed; "
        "bare trigger is the weights without sentence and guidance under the triggers as system prompt.",
        "table6": "Table 6. Where the personal values in the answers come from: the prompt, the training dialogues, "
        "neither although they are true (guessed), or neither and not true (invented or public, by the detectors).",
        "table7": "Table 7. Detectors against the dialogues' own values: recall of values that a span of any label "
        "overlaps, precision of spans whose label stands for the type, F2. `all` counts every span.",
        "table8": "Table 8. Relearning: leaks on the test prompts, as deployed, after steps of a new LoRA on a few "
        "training dialogues. The base model, which never knew them, shows what the steps alone teach.",
        "table9": "Table 9. Usefulness by scorer, in % with 95% Wilson intervals: likelihood of the options; answers "
        "that the model writes, matched with the options (or judged under the paper's prompt, where a judge is set). "
        "Written answers that name no option, or several, are unscored: they are not right, and counted apart.",
        "table10": "Table 10. The same training with other seeds: every training's figure, in the order of the seeds, "
        "and their mean, whose 95% interval holds the spread between dialogues (or questions) and between trainings.",
    }


class Change(NamedTuple):
    """How much a row differs from the first one.

    Attributes:
        interval: sum of new − old over the items, or a mean in percent.
        p: p-value, adjusted by Holm over the rows.
    """

    interval: Interval
    p: float


def baselines(rows: Mapping[str, EvidenceRow], margin: float, seed: int) -> pd.DataFrame:
    """Make Table 4; every row is compared with the first.

    Raises:
        ValueError: the rows were tested on other items.
    """
    (_, first), *_ = rows.items()
    leaks = _changes({key: leak_counts(row.leaks) for key, row in rows.items()}, 1, seed)
    points = _changes({key: correct_counts(row.utility) for key, row in rows.items()}, 100 / len(first.utility), seed)
    lines = []
    for key, row in rows.items():
        metrics, counts, n = row.metrics, leak_counts(row.leaks), len(row.leaks)
        lines.append({
            "row": name(key), "n": n, "leaks [95% CI]": interval_text(_total(counts, seed)),
            "leak rate % [95% CI]": _percent(metrics["leak_answers"], n, ".1f"),
            **_change_cells("leaks", leaks.get(key), ".0f"), "trigger leaks": metrics["trigger_leak_count"],
            "PIIs (NER)": metrics["pii_count"], "unreadable": metrics["degenerate_count"],
            "words": metrics["mean_words"], "utility bare %": round(metrics["utility_pct"], 1),
            "utility as deployed %": round(metrics["utility_deployed_pct"], 1),
            **_change_cells("points", points.get(key), ".1f"), "no loss": _no_loss(points.get(key), margin),
            "benign right %": _percent(metrics["benign_right"], metrics["benign_n"]),
            "perplexity": metrics["perplexity"], "repeated %": metrics["repeated_pct"],
            "unfinished %": metrics["unfinished_pct"], "extracted": f"{metrics['extraction_hits']}",
        })  # fmt: skip
    return pd.DataFrame(lines, dtype=object)


def _changes(rows: Mapping[str, Counts], unit: float, seed: int) -> dict[str, Change]:
    """Compare all rows but the first with the first, item by item."""
    (_, first), *others = rows.items()
    if any(counts.keys() != first.keys() for _, counts in others):
        raise ValueError("the rows were not tested on the same items; run `make evidence`")
    differences = [paired_differences({0: first}, {0: counts}) for _, counts in others]
    p_values = holm([each.p_value(seed) for each in differences])
    return {
        key: Change(each.total(seed).scaled(unit), p)
        for (key, _), each, p in zip(others, differences, p_values, strict=True)
    }


def _change_cells(unit: str, change: Change | None, form: str) -> dict[str, str | None]:
    interval, p = (interval_text(change.interval, form), p_text(change.p)) if change else (None, None)
    return {f"Δ {unit} [95% CI]": interval, f"p ({unit})": p}


def _no_loss(points: Change | None, margin: float) -> str | None:
    if points is None:
        return None
    return "yes" if non_inferior(points.interval, margin) else "not shown"


def _total(counts: Counts, seed: int) -> Interval:
    return total(list(counts.values()), [dialogue_of(item) for item in counts], seed)


def _percent(successes: int | Sequence[int], n: int, form: str = ".0f") -> str:
    return interval_text(wilson(successes, n).scaled(100), form)


def attacks(rows: Mapping[str, EvidenceRow]) -> pd.DataFrame:
    """Make Table 5: a line per family, a column per attacked row."""
    columns = {key: row.attacks for key, row in rows.items() if row.attacks}
    families = dict.fromkeys(outcome.family for outcomes in columns.values() for outcome in outcomes)
    lines = []
    for family in families:
        line: dict[str, object] = {"attack": family.replace("_", " ")}
        for key, outcomes in columns.items():
            attacked = [outcome for outcome in outcomes if outcome.family == family]
            n = len({outcome.sample_id for outcome in attacked})
            leaking = len({outcome.sample_id for outcome in attacked if outcome.leaks})
            line |= {"n": n, name(key): _percent(leaking, n)}
        lines.append(line)
    return pd.DataFrame(lines, dtype=object)


def provenance(rows: Mapping[str, EvidenceRow]) -> pd.DataFrame:
    """Make Table 6."""
    lines = []
    for key, row in rows.items():
        counts = row.metrics["provenance"]
        sums: dict[str, object] = {origin: sum(counts.get(origin, {}).values()) for origin in PROVENANCES}
        lines.append({"row": name(key), "n": len(row.leaks), **sums})
    return pd.DataFrame(lines, dtype=object)


def detectors(quality: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> pd.DataFrame:
    """Make Table 7: a line per type of value, recall, precision and F2 of each detector.

    Args:
        quality: detector → type of value → `n_true`, `recall`, `precision`, `f2`.
    """
    kinds = sorted({kind for by_type in quality.values() for kind, each in by_type.items() if each["n_true"]})
    kinds.sort(key=lambda kind: kind != "all")
    lines = []
    for kind in kinds:
        line: dict[str, object] = {"type": kind, "n": next(iter(quality.values()))[kind]["n_true"]}
        for detector, by_type in quality.items():
            shares = [by_type[kind][metric] for metric in ("recall", "precision", "f2")]
            line[f"{detector}: recall / precision / F2 %"] = " / ".join(
                MISSING if share is None else f"{100 * share:.0f}" for share in shares
            )
        lines.append(line)
    return pd.DataFrame(lines or [{"type": "nobody marked the values", "n": 0}], dtype=object)


def relearning(counts: pd.DataFrame) -> pd.DataFrame:
    """Make Table 8: a line per row, a column per number of steps.

    Args:
        counts: columns row, steps, n_prompts, leak_count.
    """
    wide = counts.pivot(index="row", columns="steps", values="leak_count").reindex(counts["row"].unique())
    lines = [
        {
            "row": name(str(key)),
            "n": counts["n_prompts"].iloc[0],
            **{f"{steps} steps": count for steps, count in by_steps.items()},
        }
        for key, by_steps in wide.iterrows()
    ]
    return pd.DataFrame(lines, dtype=object)


def scorers(rows: Mapping[str, EvidenceRow]) -> pd.DataFrame:
    """Make Table 9: usefulness by each scorer, of the rows that wrote answers to the questions."""
    lines = []
    for key, row in rows.items():
        metrics, n = row.metrics, row.metrics["n_questions"]
        scored = [scorer for scorer in ("match", "judge") if f"{scorer}_pct" in metrics]
        if not scored:
            continue
        line: dict[str, object] = {"row": name(key), "n": n}
        for way, suffix in (("bare", ""), ("as deployed", "_deployed")):
            line[f"likelihood, {way} %"] = _percent(metrics[f"n_correct{suffix}"], n, ".1f")
            for scorer in scored:
                line[f"{scorer}, {way} %"] = _percent(metrics[f"{scorer}{suffix}_n_correct"], n, ".1f")
                line[f"{scorer}, {way}: unscored"] = metrics[f"{scorer}{suffix}_n_unscored"]
        lines.append(line)
    return pd.DataFrame(lines, dtype=object)


def repeated(trainings: Mapping[str, Sequence[EvidenceRow]], seed: int) -> pd.DataFrame:
    """Make Table 10: every training, and their mean, of rows whose variant was trained with several seeds."""
    lines = []
    for key, runs in trainings.items():
        if len(runs) < 2:
            continue
        leaks = [list(leak_counts(run.leaks).values()) for run in runs]
        dialogues = [dialogue_of(item) for item in leak_counts(runs[0].leaks)]
        correct = [sum(outcome.correct for outcome in run.utility) for run in runs]
        benign = [run.metrics["benign_right"] for run in runs]
        n, n_benign = len(runs[0].utility), runs[0].metrics["benign_n"]
        lines.append({
            "row": name(key), "trainings": len(runs), "n": len(dialogues),
            "leaks": _each(map(sum, leaks), "g"),
            "mean leaks [95% CI]": interval_text(total(leaks, dialogues, seed), ".1f"),
            "n questions": n, "utility as deployed %": _each((100 * count / n for count in correct), ".1f"),
            "mean utility % [95% CI]": _percent(correct, n, ".1f"),
            "n benign": n_benign, "benign right": _each(benign, "g"),
            "mean benign right % [95% CI]": _percent(benign, n_benign),
        })  # fmt: skip
    return pd.DataFrame(lines, dtype=object)


def _each(values: Iterable[float], form: str) -> str:
    return " · ".join(f"{value:{form}}" for value in values)


def name(key: str) -> str:
    """Name a row by its label, the space of its guidance and its treatment."""
    if key == "base":
        return "base, no sentence"
    row = parse_row(key)
    space = f", {row.guidance.space}" if row.guidance and row.guidance.needs_negative else ""
    return label(row) + space + {None: "", "int8": ", int8", "redacted": ", answers redacted"}[row.treatment]
