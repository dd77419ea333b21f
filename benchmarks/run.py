"""`make bench`: the engines against the stock libraries; writes metrics/benchmarks.json and metrics/benchmarks.md.

Times are medians over alternating repetitions in one run, so that a change of the machine's speed hits both sides.
"""

import importlib
import json
import os
import statistics
from pathlib import Path

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import click
from measure import need_base

from tightlip.files import write_json

ROOT = Path(__file__).parents[1]
FIGURES, TABLE = ROOT / "metrics/benchmarks.json", ROOT / "metrics/benchmarks.md"
ENGINES = ("orpo", "decoding", "task_vectors", "entities")
TARGETS = {
    "orpo_speedup_256_48": "≥ 3", "orpo_speedup_1024_96": "≥ 3", "orpo_speedup_4_pairs_per_prompt": "≥ 4.5",
    "orpo_peak_memory_ratio_1024_96": "≤ 0.5", "guided_speedup_batch_1": "≥ 1.9",
    "guided_speedup_eval_50_prompts": "≥ 8", "guidance_overhead_batch_1": "≤ 1.1",
    "guidance_overhead_batch_16": "≤ 1.6", "decode_fraction_of_bandwidth_limit": "> 0.5",
    "subtract_peak_memory_mb": "≤ 1200", "subtract_time_over_copy": "≤ 2", "filter_speedup": "≥ 3",
}  # fmt: skip


@click.command()
@click.argument("engines", nargs=-1, type=click.Choice(ENGINES))
def main(engines: tuple[str, ...]) -> None:
    """Measure ENGINES, or all of them: about 20 minutes on two idle cores.

    Figures of engines that are not measured stay as they were.
    """
    need_base()
    rows = json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.is_file() else {}
    for engine in engines or ENGINES:
        for name, value, sides in importlib.import_module(engine).measure():
            rows = {key: old for key, old in rows.items() if key.partition(".")[0] != name}
            rows[name] = value
            for side, measured in sides.items():
                rows[f"{name}.{side}"] = round(statistics.median(measured), 4)
            click.echo(f"{name:40} {value:8g}   aimed at {TARGETS.get(name, '–')}")
            write_json(FIGURES, rows)
            TABLE.write_text(table(rows), encoding="utf-8")


def table(rows: dict[str, float]) -> str:
    """Make the Markdown table."""
    lines = ["| figure | value | aimed at | medians of the sides (s, or MB of memory) |", "| --- | --- | --- | --- |"]
    for name, value in rows.items():
        if "." not in name:
            sides = {key.partition(".")[2]: side for key, side in rows.items() if key.startswith(f"{name}.")}
            medians = ", ".join(f"{side} {median:.4g}" for side, median in sides.items())
            lines.append(f"| `{name}` | {value:g} | {TARGETS.get(name, '–')} | {medians} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
