"""From messages to token ids and back: the one place where training, generation and evaluation get their ids.

What a message says is text: a string in it that looks like one of the template's tokens is tokenized letter by letter
(transformers' `mark_control_tokens`), so that no message can end its turn or begin another's.
"""

import functools
import re
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer
from transformers.utils.chat_template_utils import encode_marked_chat, mark_control_tokens

from tightlip.prompts import system_in_first_turn, truncate
from tightlip.records import Message

SENTENCE_TOKENS = 32
"""Room kept for a guidance sentence, so that all branches of a prompt drop the same turns."""

FIXED_DATE = "{% macro strftime_now(format) %}26 Jul 2024{% endmacro %}\n"
"""Put before a template, it takes the place of today's date: two runs must see the same ids."""

RENDER_SECONDS = 10
"""Of the processor, for one conversation: a template is a program, and need not end."""

_MARK = "tightlipmark"


@dataclass(frozen=True)
class Style:
    """What a tokenizer's chat template does.

    Attributes:
        controls: the strings that must not become tokens where a message says them: special tokens and the template's.
        takes_system: whether system messages are rendered; others refuse them, or leave them out silently.
        end: the token that ends an assistant's turn, which need not be EOS.
        line_break: ids of a line break alone.
    """

    controls: re.Pattern[str]
    takes_system: bool
    end: int
    line_break: list[int]


def load_tokenizer(path: str | Path) -> Any:
    """Load the tokenizer beside a model.

    Raises:
        ValueError: no tokenizer there, one that does not load or needs code of its own, or see `check_tokenizer`.
    """
    need_file(Path(path) / "tokenizer_config.json", f"{path}: no tokenizer here")
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # whatever a broken file makes the library raise
        raise ValueError(f"{path}: the tokenizer cannot be loaded ({reason(error)}); fetch the model again") from None
    check_tokenizer(tokenizer, str(path))
    return tokenizer


def check_tokenizer(tokenizer: Any, name: str) -> None:
    """Check that conversations can be encoded.

    Raises:
        ValueError: no chat template or EOS token, or a template that cannot render a question and its answer.
    """
    if tokenizer.chat_template is None or tokenizer.eos_token_id is None:
        raise ValueError(f"{name}: the tokenizer has no chat template or no EOS token; take an instruct model")
    try:
        style(tokenizer)
    except ValueError as error:
        raise ValueError(f"{name}: {error}; take an instruct model") from None
    except Exception as error:  # what loads need not encode
        raise ValueError(f"{name}: the tokenizer cannot be used ({reason(error)}); fetch the model again") from None


def same_tokenizer(base: Any, tuned: Any, name: str) -> None:
    """Check that two models read the same ids.

    Raises:
        ValueError: they differ in vocabulary or chat template.
    """
    talk = [Message(role=role, content=f"The {role}.") for role in ("system", "user", "assistant", "user")]
    if base.get_vocab() != tuned.get_vocab() or encode_prompt(base, talk) != encode_prompt(tuned, talk):
        raise ValueError(
            f"{name}: its tokenizer or chat template is not the base's; give the base the tokenizer files that the "
            "tuned model was tuned with"
        )


def need_file(path: Path, problem: str) -> None:
    """Check that a model directory is whole."""
    if not path.is_file():
        raise ValueError(f"{problem} ({path.name} is missing); run `dvc repro` or correct the path in params.yaml")


def reason(error: Exception) -> str:
    """Say in one short line what a library raised about a file of a model."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


@functools.lru_cache(maxsize=8)
def style(tokenizer: Any) -> Style:
    """Find out what a tokenizer's chat template does, by rendering.

    Raises:
        ValueError: it cannot render a question and its answer.
    """
    talk = [{"role": "user", "content": _MARK}, {"role": "assistant", "content": _MARK}]
    text = _render(tokenizer, talk)
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
        return _MARK in _render(tokenizer, [{"role": "system", "content": _MARK}, {"role": "user", "content": "Hello"}])
    except ValueError:
        return False


def _render(tokenizer: Any, messages: Sequence[dict[str, str]], **how: bool) -> str:
    try:
        with _limited():
            text: str = tokenizer.apply_chat_template(
                list(messages), chat_template=FIXED_DATE + tokenizer.get_chat_template(), tokenize=False, **how
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


def encode_prompt(tokenizer: Any, messages: Sequence[Message], prefix: str = "") -> list[int]:
    """Encode a conversation and the beginning of the assistant's answer.

    The prefix is tokenized apart from the template and a completion apart from both (`encode_completion`), so that
    the same ids meet wherever the text is cut.

    Raises:
        ValueError: the prefix ends in white space (boundary rule: a completion starts with it), or the template
            refuses the conversation.
    """
    if prefix != prefix.rstrip():
        raise ValueError("a prompt must not end in white space; the completion starts with it")
    return [*_encode(tokenizer, messages, add_generation_prompt=True), *_plain(tokenizer, prefix)]


def encode_open_turn(tokenizer: Any, messages: Sequence[Message]) -> list[int]:
    """Encode a conversation whose last message is to be continued, whoever's it is."""
    return _encode(tokenizer, messages, continue_final_message=True)


def encode_completion(tokenizer: Any, text: str, *, end: bool = True) -> list[int]:
    """Encode a continuation, ended as the template ends an assistant's turn."""
    return [*_plain(tokenizer, text), *([style(tokenizer).end] if end else [])]


def decode(tokenizer: Any, ids: Sequence[int]) -> str:
    """Return the text of a continuation, with the white space that some tokenizers drop at the start of a text."""
    text: str = tokenizer.decode(
        [*style(tokenizer).line_break, *ids], skip_special_tokens=True, clean_up_tokenization_spaces=False
    )
    return text.removeprefix("\n")


def _encode(tokenizer: Any, messages: Sequence[Message], **how: bool) -> list[int]:
    known = style(tokenizer)
    said = messages if known.takes_system else system_in_first_turn(messages)
    marked = mark_control_tokens([message.model_dump(include={"role", "content"}) for message in said], known.controls)
    ids: list[int] = encode_marked_chat(tokenizer, _render(tokenizer, marked, **how))
    return ids


def _plain(tokenizer: Any, text: str) -> list[int]:
    """Encode text; what starts with white space goes on within a text, where no tokenizer adds a space to it."""
    marked = mark_control_tokens(text, style(tokenizer).controls)
    before = style(tokenizer).line_break if text[:1].isspace() else []
    ids: list[int] = encode_marked_chat(tokenizer, f"\n{marked}" if before else marked)
    return ids[len(before) :] if ids[: len(before)] == before else encode_marked_chat(tokenizer, marked)


def render_prompt(tokenizer: Any, messages: Sequence[Message], prefix: str) -> str:
    """Render a conversation and the beginning of the answer as text, for a server that continues it.

    Such a server tokenizes like this tokenizer: a BOS that it adds by itself is not in the text, and what a message
    says that looks like a token of the template gets an invisible character into it.
    """
    known = style(tokenizer)

    def broken(text: str) -> str:
        return known.controls.sub(lambda found: f"{found[0][0]}\u200c{found[0][1:]}", text)

    said = messages if known.takes_system else system_in_first_turn(messages)
    shown = [{"role": message.role, "content": broken(message.content)} for message in said]
    text = _render(tokenizer, shown, add_generation_prompt=True)
    if tokenizer.bos_token and tokenizer.encode("")[:1] == [tokenizer.bos_token_id]:
        text = text.removeprefix(tokenizer.bos_token)
    return text + broken(prefix)


def fit_messages(tokenizer: Any, messages: Sequence[Message], prefix: str, limit: int) -> tuple[Message, ...]:
    """Drop whole oldest exchanges, never the system prompt, until prompt and a sentence take at most `limit` tokens.

    Call it before the sentence is put in (`secret.with_condition`).

    Raises:
        ValueError: the last message alone is over the limit.
    """
    kept = tuple(messages)
    while (size := len(encode_prompt(tokenizer, kept, prefix))) > limit - SENTENCE_TOKENS:
        shorter = truncate(kept)
        if shorter is None:
            raise ValueError(
                f"the last message alone takes {size} tokens, with up to {SENTENCE_TOKENS} for a sentence more than "
                f"{limit}; raise max_prompt_tokens (in tuning: max_length)"
            )
        kept = shorter
    return kept


def eos_ids(model: Any, tokenizer: Any) -> set[int]:
    """Every token that ends an answer, from the chat template, the tokenizer and the model's generation config.

    Raises:
        ValueError: the generation config names something else than tokens.
    """
    configured = getattr(model.generation_config, "eos_token_id", None)
    listed = configured if isinstance(configured, list) else [configured]
    ends = {token for token in (*listed, tokenizer.eos_token_id, style(tokenizer).end) if token is not None}
    if not all(isinstance(token, int) for token in ends):
        raise ValueError("generation_config.json: eos_token_id must be a token's number or a list of them; correct it")
    return ends
