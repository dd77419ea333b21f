"""The `tightlip` command; heavy imports stay inside the commands, so that `--help` answers at once."""

from typing import Any

import click


class _OneLineErrors(click.Group):
    """Turns a `ValueError` of any command into one line on stderr and exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ValueError as error:
            raise click.ClickException(" ".join(str(error).split())) from None


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
    from tightlip.rows import parse_row

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
