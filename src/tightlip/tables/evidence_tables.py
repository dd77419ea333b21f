"""Tables 4–10: baselines on the same prompts, attacks, where leaked values come from, detectors, relearning, seeds."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from tightlip.records import PROVENANCES, AttackOutcome, LeakOutcome, UtilityOutcome
from tightlip.table_rows import parse_row
from tightlip.tables.item_counts import differences
from tightlip.tables.main_tables import label
from tightlip.tables.row_metrics import dialogue_of
from tightlip.tables.statistics import Interval, holm, non_inferior, paired_test, total, wilson


class Tested(NamedTuple):
    """A row of the evidence: outcomes per item and its figures."""

    leaks: Sequence[LeakOutcome]
    utility: Sequence[UtilityOutcome]
    attacks: Sequence[AttackOutcome]
    figures: Mapping[str, Any]


def captions(margin: float, floor: int, targets: int) -> dict[str, str]:
    """Say what the tables show.

    Args:
        margin: points of usefulness that may be lost.
        floor: values that one constant guess per type extracts.
        targets: values that extraction is tried on.
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


def baselines(tested: Mapping[str, Tested], margin: float, seed: int) -> pd.DataFrame:
    """Make Table 4; the first row is what the others are compared with."""
    first, *_ = tested.values()
    leaks = {key: _difference(_leak_counts(first), _leak_counts(row), seed) for key, row in tested.items()}
    useful = {key: _difference(_correct(first), _correct(row), seed) for key, row in tested.items()}
    others = list(tested)[1:]
    p_leaks = dict(zip(others, holm([leaks[key][1] for key in others]), strict=True))
    p_useful = dict(zip(others, holm([useful[key][1] for key in others]), strict=True))
    lines = []
    for key, row in tested.items():
        figures, n, questions = row.figures, len(row.leaks), len(row.utility)
        count = total(list(_leak_counts(row).values()), [dialogue_of(each) for each in _leak_counts(row)], seed)
        share = wilson(figures["leak_answers"], n)
        points = _scaled(useful[key][0], 100 / questions)
        compared = key in p_leaks
        lines.append({
            "row": name(key), "n": n, "leaks [95% CI]": _cell(count), "leak rate % [95% CI]": _cell(share, 100, ".1f"),
            "Δ leaks [95% CI]": _cell(leaks[key][0]) if compared else None,
            "p (leaks)": _p(p_leaks[key]) if compared else None,
            "trigger leaks": figures["trigger_leak_count"],
            "PIIs (NER)": figures["pii_count"], "unreadable": figures["degenerate_count"],
            "words": figures["mean_words"], "utility bare %": round(figures["utility_pct"], 1),
            "utility as deployed %": round(figures["utility_deployed_pct"], 1),
            "Δ points [95% CI]": _cell(points, 1, ".1f") if compared else None,
            "p (points)": _p(p_useful[key]) if compared else None,
            "no loss": ("yes" if non_inferior(points, margin) else "not shown") if compared else None,
            "benign right %": _cell(wilson(figures["benign_right"], figures["benign_n"]), 100, ".0f"),
            "perplexity": figures["perplexity"], "repeated %": figures["repeated_pct"],
            "unfinished %": figures["unfinished_pct"], "extracted": f"{figures['extraction_hits']}",
        })  # fmt: skip
    return pd.DataFrame(lines, dtype=object)


def attacks(tested: Mapping[str, Tested]) -> pd.DataFrame:
    """Make Table 5: a line per family, a column per attacked row."""
    columns = {key: row.attacks for key, row in tested.items() if row.attacks}
    families = dict.fromkeys(outcome.family for outcomes in columns.values() for outcome in outcomes)
    lines = []
    for family in families:
        line: dict[str, object] = {"attack": family.replace("_", " ")}
        for key, outcomes in columns.items():
            lost: dict[str, bool] = {}
            for outcome in outcomes:
                if outcome.family == family:
                    lost[outcome.sample_id] = lost.get(outcome.sample_id, False) or bool(outcome.leaks)
            line |= {"n": len(lost), name(key): _cell(wilson(sum(lost.values()), len(lost)), 100, ".0f")}
        lines.append(line)
    return pd.DataFrame(lines, dtype=object)


def provenance(tested: Mapping[str, Tested]) -> pd.DataFrame:
    """Make Table 6."""
    lines = []
    for key, row in tested.items():
        counts = row.figures["provenance"]
        sums: dict[str, object] = {origin: sum(counts.get(origin, {}).values()) for origin in PROVENANCES}
        lines.append({"row": name(key), "n": len(row.leaks), **sums})
    return pd.DataFrame(lines, dtype=object)


def detectors(figures: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> pd.DataFrame:
    """Make Table 7: a line per type of value, recall, precision and F2 of each detector."""
    kinds = sorted({kind for of in figures.values() for kind, each in of.items() if each["n_true"]})
    kinds.sort(key=lambda kind: kind != "all")
    lines = []
    for kind in kinds:
        line: dict[str, object] = {"type": kind, "n": next(iter(figures.values()))[kind]["n_true"]}
        for detector, of in figures.items():
            shares = [of[kind][which] for which in ("recall", "precision", "f2")]
            line[f"{detector}: recall / precision / F2 %"] = " / ".join(
                "–" if share is None else f"{100 * share:.0f}" for share in shares
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
            **{f"{steps} steps": count for steps, count in of.items()},
        }
        for key, of in wide.iterrows()
    ]
    return pd.DataFrame(lines, dtype=object)


def scorers(tested: Mapping[str, Tested]) -> pd.DataFrame:
    """Make Table 9: usefulness by each scorer, of the rows that were asked for written answers."""
    lines = []
    for key, row in tested.items():
        figures, n = row.figures, row.figures["n_questions"]
        used = [scorer for scorer in ("match", "judge") if f"{scorer}_pct" in figures]
        if not used:
            continue
        line: dict[str, object] = {"row": name(key), "n": n}
        for way, suffix in (("bare", ""), ("as deployed", "_deployed")):
            line[f"likelihood, {way} %"] = _cell(wilson(figures[f"n_correct{suffix}"], n), 100, ".1f")
            for scorer in used:
                line[f"{scorer}, {way} %"] = _cell(wilson(figures[f"{scorer}{suffix}_n_correct"], n), 100, ".1f")
                line[f"{scorer}, {way}: unscored"] = figures[f"{scorer}{suffix}_n_unscored"]
        lines.append(line)
    return pd.DataFrame(lines, dtype=object)


def repeated(trainings: Mapping[str, Sequence[Tested]], seed: int) -> pd.DataFrame:
    """Make Table 10: rows whose variant was trained with several seeds, every training and their mean."""
    lines = []
    for key, runs in trainings.items():
        if len(runs) < 2:
            continue
        leaks, dialogues = [list(_leak_counts(run).values()) for run in runs], [
            dialogue_of(item) for item in _leak_counts(runs[0])]  # fmt: skip
        n, asked = len(runs[0].utility), runs[0].figures["benign_n"]
        right = [sum(_correct(run).values()) for run in runs]
        benign = [run.figures["benign_right"] for run in runs]
        lines.append({
            "row": name(key), "trainings": len(runs), "n": len(dialogues),
            "leaks": " · ".join(f"{sum(of_run):g}" for of_run in leaks),
            "mean leaks [95% CI]": _cell(total(leaks, dialogues, seed), 1, ".1f"),
            "n questions": n, "utility as deployed %": " · ".join(f"{100 * of_run / n:.1f}" for of_run in right),
            "mean utility % [95% CI]": _cell(wilson([round(of_run) for of_run in right], n), 100, ".1f"),
            "n benign": asked, "benign right": " · ".join(f"{of_run:g}" for of_run in benign),
            "mean benign right % [95% CI]": _cell(wilson(benign, asked), 100, ".0f"),
        })  # fmt: skip
    return pd.DataFrame(lines, dtype=object)


def name(key: str) -> str:
    """Name a row with what is done to it."""
    if key == "base":
        return "base, no sentence"
    row = parse_row(key)
    space = f", {row.guidance.space}" if row.guidance and row.guidance.needs_negative else ""
    return label(row) + space + {None: "", "int8": ", int8", "redacted": ", answers redacted"}[row.treatment]


def _leak_counts(row: Tested) -> dict[str, float]:
    return {outcome.sample_id: len(outcome.leaks) for outcome in row.leaks}


def _correct(row: Tested) -> dict[str, float]:
    return {str(outcome.question_id): outcome.correct for outcome in row.utility}


def _difference(old: Mapping[str, float], new: Mapping[str, float], seed: int) -> tuple[Interval, float]:
    """Sum of the differences item by item, with its interval and p-value; items of one dialogue go together.

    Raises:
        ValueError: the rows were tested on other items.
    """
    if old.keys() != new.keys():
        raise ValueError("the rows were not tested on the same items; run `make evidence`")
    items, (changes,) = differences({0: old}, {0: new})
    clusters = [dialogue_of(item) for item in items]
    return total(changes, clusters, seed), paired_test(changes, clusters, seed)


def _scaled(interval: Interval, unit: float) -> Interval:
    return Interval(*(None if bound is None else unit * bound for bound in interval))  # type: ignore[arg-type]


def _cell(interval: Interval, unit: float = 1, form: str = ".0f") -> str:
    value, low, high = (None if bound is None else f"{unit * bound:{form}}" for bound in interval)
    return f"{value}" if low is None or high is None else f"{value} [{low}, {high}]"


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
