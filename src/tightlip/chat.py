"""Answers side by side in the terminal: a live chat with the undefended and a defended model, and recorded answers."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tightlip.files import read_json, read_jsonl
from tightlip.guidance.prompt_setup import BARE, PromptSetup
from tightlip.masking import mask
from tightlip.models.adapter_metadata import trained_negative
from tightlip.prompts import DEFAULT_SYSTEM
from tightlip.records import LeakOutcome, Message, Negative, Sample
from tightlip.table_rows import UNGUIDED, Guidance, TableRow, parse_row

UNDEFENDED = "ch"
HELP = """\
/scale 3       set the guidance scale γ of the defended model; 1 is the defence sentence alone
/space log     combine in log space (may garble answers from γ = 3 on) or in probability space (/space prob)
/system TEXT   replace the system prompt of both models; both conversations start anew
/reset         start both conversations anew
/help          show these commands
/quit          leave (or Ctrl-D)"""


@dataclass
class Side:
    """One of the two models and its own conversation."""

    model: Any
    defended: bool
    history: list[Message] = field(default_factory=list)


@dataclass
class Chat:
    """A conversation with two models.

    Attributes:
        row: the row that the defended side starts from.
        guidance: of the defended side; None gives it no defence sentence.
        system: system prompt of both sides, without the defence sentence.
        max_new_tokens: limit per answer.
        negative: the sentence that guidance leads away from.
    """

    row: TableRow
    tokenizer: Any
    sides: tuple[Side, Side]
    guidance: Guidance | None
    max_new_tokens: int
    system: str = DEFAULT_SYSTEM
    negative: Negative = "negative"

    def titles(self) -> list[str]:
        """Headings of the two columns."""
        if self.guidance is None:
            return [f"undefended ({UNDEFENDED})", f"{self.row.checkpoint}, no sentence"]
        return [f"undefended ({UNDEFENDED})", f"defended ({self.row.checkpoint}, {self.guidance})"]

    def reset(self) -> None:
        """Forget both conversations."""
        for side in self.sides:
            side.history.clear()


def selected_row() -> str:
    """Key of the row that was chosen on the dev split.

    Raises:
        ValueError: nothing was selected yet.
    """
    selection = read_json("metrics/selection.json")
    if not isinstance(selection, dict) or not isinstance(selection.get("row"), str):
        raise ValueError('metrics/selection.json: no "row" in it; run `dvc repro`, or name a row')
    return str(selection["row"])


def open_chat(row: TableRow, max_new_tokens: int) -> Chat:
    """Load the undefended model and that of a row into this process.

    Raises:
        ValueError: a model or the adapter is missing, with the remedy.
    """
    if row.adapter and not (row.adapter / "adapter_config.json").is_file():
        raise ValueError(
            f"{row.adapter}: no adapter for row {row.key}; run `dvc repro` to train it, or name another row"
        )
    from tightlip.models.loading import load_model
    from tightlip.models.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(Path("models", UNDEFENDED))
    plain = load_model(Path("models", UNDEFENDED))
    same = row.checkpoint == UNDEFENDED
    tuned = plain if same else load_model(Path("models", row.model), adapter=row.adapter)
    return Chat(
        row, tokenizer, (Side(plain, False), Side(tuned, True)), row.guidance, max_new_tokens,
        negative=trained_negative(row.adapter),
    )  # fmt: skip


def ask(chat: Chat, text: str) -> list[str]:
    """Put a message to both models; their conversations grow only if both answered.

    Raises:
        ValueError: the message alone is longer than a model's context.
    """
    question = Message(role="user", content=text)
    answers = [_answer(chat, side, question) for side in chat.sides]
    for side, answer in zip(chat.sides, answers, strict=True):
        side.history += [question, Message(role="assistant", content=answer)]
    return answers


def _answer(chat: Chat, side: Side, question: Message) -> str:
    from tightlip.guidance.completion import complete

    messages = (Message(role="system", content=chat.system), *side.history, question)
    setup = BARE
    if side.defended and chat.guidance is not None:
        setup = PromptSetup("positive", chat.guidance, chat.negative)
    (completion,) = complete(
        side.model, chat.tokenizer, [(messages, "")], setup,
        max_prompt_tokens=side.model.config.max_position_embeddings - chat.max_new_tokens,
        max_new_tokens=chat.max_new_tokens,
    )  # fmt: skip
    return completion.text.strip()


def obey(chat: Chat, line: str) -> str:
    """Carry out a slash command (all but `/quit`) and say what it did.

    Raises:
        ValueError: unknown command or a value that does not fit.
    """
    command, _, value = line.partition(" ")
    value = value.strip()
    match command:
        case "/help":
            return HELP
        case "/reset":
            chat.reset()
            return "both conversations start anew"
        case "/system" if value:
            chat.system = value
            chat.reset()
            return f"system prompt: {value}; both conversations start anew"
        case "/scale":
            chat.guidance = replace(chat.guidance or UNGUIDED, scale=_scale(value))
            return f"guidance scale γ = {chat.guidance.scale:g}"
        case "/space" if value in ("log", "prob"):
            if chat.guidance is None:
                raise ValueError("there is no guidance yet; set /scale first")
            chat.guidance = replace(chat.guidance, space="log" if value == "log" else "prob")
            return f"guidance in {'log' if value == 'log' else 'probability'} space"
    raise ValueError(f"cannot do {line!r}; /help lists the commands")


def _scale(value: str) -> float:
    with suppress(ValueError):
        if 0 <= (scale := float(value)) < float("inf"):
            return scale
    raise ValueError(f"cannot take {value!r} as guidance scale; write a number from 0, for instance /scale 3")


def converse(chat: Chat, console: Console) -> None:
    """Talk until `/quit` or the end of the input; lines come from the keyboard or from a pipe."""
    typed = sys.stdin.isatty()
    if typed:
        console.print(Text(f"row {chat.row.key}; /help lists the commands", style="dim"))
    for line in _typed(console) if typed else sys.stdin:
        text = line.encode(errors="replace").decode().strip()  # what is no UTF-8 comes as lone surrogates
        if text == "/quit":
            return
        if text:
            _respond(chat, text, console)


def _typed(console: Console) -> Iterator[str]:
    with suppress(ImportError):
        import readline  # noqa: F401  (gives `input` its line editing)
    with suppress(EOFError, KeyboardInterrupt):
        while True:
            yield console.input("[bold]you>[/] ")


def _respond(chat: Chat, text: str, console: Console) -> None:
    try:
        if text.startswith("/"):
            console.print(Text(_printable(obey(chat, text)), style="dim"), soft_wrap=True)
            return
        if not console.is_terminal:
            console.print(Text(_printable(f"you: {text}")), soft_wrap=True)
        with console.status("thinking"):
            answers = ask(chat, text)
        side_by_side(console, chat.titles(), answers)
    except ValueError as error:
        console.print(Text(f"error: {error}", style="red"), soft_wrap=True)
    except KeyboardInterrupt:
        console.print(Text("stopped; the conversations are as before", style="dim"))


def _printable(text: str) -> str:
    """Return a text without the control characters by which it could steer the terminal."""
    return "".join(each if each.isprintable() or each in "\n\t" else "\ufffd" for each in text)


def side_by_side(console: Console, titles: Sequence[str], texts: Sequence[str]) -> None:
    """Print texts in columns; line by line where the output is no terminal."""
    if not console.is_terminal:
        for title, text in zip(titles, texts, strict=True):
            console.print(Text(_printable(f"{title}: {text}")), soft_wrap=True)
        return
    table = Table(expand=True, show_lines=True)
    for title in titles:
        table.add_column(Text(title), ratio=1, overflow="fold")
    table.add_row(*(Text(_printable(text)) for text in texts))
    console.print(table)


def show(keys: Iterable[str], limit: int, unmasked: bool, console: Console) -> None:
    """Print recorded answers to test prompts: the original one, the undefended model's and those of some rows.

    Raises:
        ValueError: a key is no row, or a row was not evaluated yet.
    """
    rows = [parse_row(key) for key in dict.fromkeys([UNDEFENDED, *keys])]
    recorded = [
        {outcome.sample_id: outcome.answer for outcome in read_jsonl(row.outcomes / "leaks.jsonl", LeakOutcome)}
        for row in rows
    ]
    samples = read_jsonl("data/samples/test.jsonl", Sample)
    answered = [sample for sample in samples if all(sample.id in answers for answers in recorded)]
    for sample in answered[:limit]:
        answers = [sample.completion, *(answers[sample.id] for answers in recorded)]
        shown = [sample.messages[-1].content, sample.prefix, *answers]
        user, prefix, *texts = shown if unmasked else [mask(text, sample.truths) for text in shown]
        console.print(Text(_printable(f"\n{sample.id}\nuser: {user}")), soft_wrap=True)
        if prefix:
            console.print(Text(_printable(f"answer so far: {prefix}")), soft_wrap=True)
        titles = ["original", f"undefended ({UNDEFENDED})", *(row.key for row in rows[1:])]
        side_by_side(console, titles, [text.strip() for text in texts])
