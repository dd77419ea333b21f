"""The `tightlip` command; heavy imports stay inside the commands, so that `--help` answers at once."""

from pathlib import Path
from typing import Any

import click


class _OneLineErrors(click.Group):
    """Turns a `ValueError` of any command into one line on stderr and exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ValueError as error:
            from tightlip.files import one_line

            raise click.ClickException(one_line(error)) from None


@click.group(cls=_OneLineErrors)
def main() -> None:
    """Teach a chat model to keep personal data to itself, and prove it."""


@main.command()
@click.argument("row", required=False)
@click.option("--max-new-tokens", default=128, show_default=True, type=click.IntRange(1), help="Limit per answer.")
def chat(row: str | None, max_new_tokens: int) -> None:
    """Chat with the undefended model and a defended one side by side.

    ROW is a row of the tables, such as ch-lora-cfg_e2_g300_prob; without it, the row selected on the dev split. Answers
    are greedy. Lines from a pipe are answered as plain text.

    \b
    Example:
      tightlip chat ch-lora-cfg_e2_g200_prob
      you> My name is Anna Bell. Please draft a letter to my bank.
      you> /scale 3
      you> And what is my name?
      you> /quit

    /help in the chat lists its commands.
    """  # noqa: D301  (\b is click's mark for a block that it must not rewrap)
    from rich.console import Console

    from tightlip.chat import converse, open_chat, selected_row
    from tightlip.table_rows import parse_row

    converse(open_chat(parse_row(row or selected_row()), max_new_tokens), Console())


@main.command()
@click.argument("rows", nargs=-1, metavar="[ROW]...")
@click.option("--limit", default=10, show_default=True, type=click.IntRange(1), help="How many test prompts.")
@click.option("--unmasked", is_flag=True, help="Show true values instead of marks such as [NAME].")
def show(rows: tuple[str, ...], limit: int, unmasked: bool) -> None:
    """Print recorded answers to test prompts side by side.

    Beside the original answer stand those of the undefended model and of each ROW; without one, of the row selected on
    the dev split. The true values of each dialogue are masked.

    \b
    Example:
      tightlip show ch_g100 ch-lora-cfg_e2_g300_prob --limit 3
    """  # noqa: D301
    from rich.console import Console

    from tightlip.chat import selected_row
    from tightlip.chat import show as print_answers

    print_answers(rows or (selected_row(),), limit, unmasked, Console())


@main.command()
@click.argument("revisions", nargs=-1, metavar="A B [C]...")
@click.option("--row", "rows", multiple=True, metavar="KEY", help="Compare this row alone; `chosen` is allowed too.")
@click.option("--all", "every", is_flag=True, help="Show rows with the same metrics too.")
@click.option("--gate", "conditions", multiple=True, metavar="GATE", help="Exit with 1 unless 'leak_rate<=0.05', say.")
@click.option("--md", is_flag=True, help="Print Markdown.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--html", is_flag=True, help="Print one HTML page.")
def compare(
    revisions: tuple[str, ...], rows: tuple[str, ...], every: bool, conditions: tuple[str, ...],
    md: bool, as_json: bool, html: bool,
) -> None:  # fmt: skip
    """Compare revisions of the project with the first of them.

    A, B, C are git revisions, DVC experiments, or `workspace` for the files on disk. Shown are the rows chosen on dev
    and every row that differs: metrics, differences to A with intervals and significance, changed parameters and
    inputs, runs in MLflow.

    A GATE holds every revision but the first to a condition, on its chosen row or each --row; exit code 1 if one
    fails. A limit without a sign is one on the metric itself, a limit with a sign one on the difference to A:
    'utility_deployed_pct_low>=-5' asks that a loss of more than 5 points is ruled out. Names are those of
    metrics/summary.json.

    \b
    Example:
      tightlip compare main gamma-1.5
      tightlip compare main plain-pairs workspace --row chosen --html > compare.html
      tightlip compare v1.0 HEAD --gate 'leak_rate_high<=0.08' --gate 'utility_pct>=-2'
    """  # noqa: D301
    from tightlip.comparison.command import load, report_on, write

    if len(revisions) < 2:
        raise click.UsageError("name two revisions or more, the reference first: `tightlip compare main workspace`")
    forms = [name for name, chosen in (("md", md), ("json", as_json), ("html", html)) if chosen]
    if len(forms) > 1:
        raise click.UsageError(f"--{forms[0]} and --{forms[1]} exclude each other")
    loaded, gates = load(Path.cwd(), revisions, conditions)
    report = report_on(Path.cwd(), loaded, rows, every, gates)
    write(report, forms[0] if forms else "text")
    failed = [str(gate) for gate in report.gates if not gate.passed]
    if failed:
        raise click.ClickException(f"{len(failed)} of {len(report.gates)} gates: {'; '.join(failed)}")


@main.group()
def data() -> None:
    """Look at dialogues before they are imported."""


@data.command()
@click.argument("file", required=False)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["chat", "sharegpt", "table", "dataset", "challenge"]),
    help="Format of FILE; guessed if not given.",
)
@click.option("--values", metavar="FILE", help="The challenge's file of values.")
@click.option(
    "--column", "columns", multiple=True, metavar="KIND=NAME", help="Column of a table or dataset, several times."
)
@click.option("--split", help="Split of a dataset.")
@click.option("--revision", help="Commit of a dataset of the hub.")
def check(
    file: str | None, format_: str | None, values: str | None, columns: tuple[str, ...], split: str | None,
    revision: str | None,
) -> None:  # fmt: skip
    """Say what a file of dialogues holds, and list all that stands against importing it.

    Without FILE it checks what params.yaml names. Formats: `chat`, a dialogue per line, {"messages": [{"role":
    "user", "content": "…"}, …], "pii": [{"type": "NAME", "value": "Anna Bell"}, …]}, where `pii` may be missing;
    `sharegpt`, the same with "conversations", "from" and "value", per line or in one array; `table`, CSV or parquet;
    `dataset`, a folder or a dataset of the hub; `challenge`, the LLM Privacy Challenge's two files.

    The KIND of a column is conversation, role and content (a row per turn), or messages, or prompt and response (a row
    per dialogue); and pii.

    Where the personal values are not given, detectors propose them, which takes some 20 seconds per megabyte. Shares,
    seed and detectors are those of params.yaml. Exit code 1 if there are problems. Nothing is written.

    \b
    Example:
      tightlip data check conversations/chat.jsonl
      tightlip data check log.csv --column conversation=chat --column role=who --column content=text
      tightlip data check scrubbed.jsonl --values pii.jsonl

    Then put the file into conversations/, name it in params.yaml (or in your profile in conf/) and run `dvc repro`:

    \b
      dialogues: {format: chat, path: conversations/chat.jsonl, dev: 0.1, test: 0.2}
    """  # noqa: D301
    from rich.console import Console

    from tightlip.dialogues import check as checking
    from tightlip.params import load_params
    from tightlip.pii.detector import Detector

    params = load_params()
    named = {"format": format_, "values": values, "split": split, "revision": revision}
    source, origin = checking.source_settings(params.dialogues, file, {**named, "columns": checking.pairs(columns)})
    checked = checking.check(
        source, params.seed, Detector(params.filter.spacy_model, params.filter.ignored_labels).find
    )
    checking.show(checked, source, origin, params.filter.spacy_model, Console())
    if checked.problems:
        raise click.ClickException(
            f"{len(checked.problems) + checked.more} problems; make_dialogues stops at the first"
        )


@main.command()
@click.option("--profile", metavar="NAME", help="Examine this profile of conf/ instead of params.yaml.")
@click.option("--gpu", type=click.Choice(["a40", "a100", "h100", "h200"]), help="Estimate for this GPU instead.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(profile: str | None, gpu: str | None, as_json: bool) -> None:
    """Check what a run needs, and estimate what it takes.

    Checks Python, packages, keys, models, NER, dialogues, disk and memory as the stages will. Times are those of a
    recorded run, scaled by each stage's work, the model's size and this machine's speed, which takes a second to
    measure; with --gpu by a card's data sheet. Exit code 1 if a run would fail.

    \b
    Example:
      tightlip doctor
      tightlip doctor --profile paper --gpu a40
    """  # noqa: D301
    from tightlip.doctor.examination import examine
    from tightlip.doctor.report import write

    examination = examine(Path.cwd(), profile, gpu)
    write(examination, as_json)
    if examination.fails:
        raise click.exceptions.Exit(1)
