"""What a tokenizer's chat template does, found out by rendering."""

import functools
import re
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

FIXED_DATE = "{% macro strftime_now(format) %}26 Jul 2024{% endmacro %}\n"
"""Put before a template, it replaces today's date: two runs must see the same ids."""

RENDER_SECONDS = 10
"""Processor time for one conversation: a template is a program, and need not end."""

_MARK = "tightlipmark"


@dataclass(frozen=True)
class Style:
    """What a tokenizer's chat template does.

    Attributes:
        controls: strings that must not become tokens in a message: special tokens and those of the template.
        takes_system: whether system messages are rendered; other templates refuse them or drop them silently.
        end: the token that ends an assistant's turn, which need not be EOS.
        line_break: ids of a line break alone.
    """

    controls: re.Pattern[str]
    takes_system: bool
    end: int
    line_break: list[int]


@functools.lru_cache(maxsize=8)
def style(tokenizer: Any) -> Style:
    """Find out what a tokenizer's chat template does, by rendering.

    Raises:
        ValueError: it cannot render a question and its answer.
    """
    talk = [{"role": "user", "content": _MARK}, {"role": "assistant", "content": _MARK}]
    text = render(tokenizer, talk)
    if text.count(_MARK) != len(talk):
        raise ValueError("the chat template does not render what user and assistant say")
    template = tokenizer.get_chat_template()
    # White space among the added tokens (Gemma's) is ordinary text, in templates as in messages.
    added = {
        number: token.content
        for number, token in tokenizer.added_tokens_decoder.items()
        if token.special or (token.content in template and not token.content.isspace())
    }
    longest_first = sorted(added.values(), key=len, reverse=True)
    after = tokenizer.encode(text.rpartition(_MARK)[2], add_special_tokens=False)
    return Style(
        controls=re.compile("|".join(map(re.escape, longest_first)) or "(?!)"),
        takes_system=_takes_system(tokenizer),
        end=next((token for token in after if token in added), tokenizer.eos_token_id),
        line_break=tokenizer.encode("\n", add_special_tokens=False),
    )


def _takes_system(tokenizer: Any) -> bool:
    try:
        return _MARK in render(tokenizer, [{"role": "system", "content": _MARK}, {"role": "user", "content": "Hello"}])
    except ValueError:
        return False


def render(tokenizer: Any, messages: Sequence[dict[str, str]], **options: bool) -> str:
    """Render messages as text with the tokenizer's chat template.

    Args:
        tokenizer: with a chat template.
        messages: `{"role": …, "content": …}` each.
        options: of transformers' `apply_chat_template`.

    Raises:
        ValueError: the template refuses the roles, or takes longer than `RENDER_SECONDS`; no message is quoted.
    """
    try:
        with _limited():
            text: str = tokenizer.apply_chat_template(
                list(messages), chat_template=FIXED_DATE + tokenizer.get_chat_template(), tokenize=False, **options
            )
    except Exception as error:  # a template is a program of its author's; what it raises may quote the messages
        roles = ", ".join(message["role"] for message in messages)
        raise ValueError(f"the chat template refuses a conversation of {roles} ({type(error).__name__})") from None
    return text


@contextmanager
def _limited() -> Iterator[None]:
    """Raise TimeoutError after `RENDER_SECONDS`, in the main thread: other threads get no signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, RENDER_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
