"""From messages to token ids and back: the one place where training, generation and evaluation get their ids.

A message is text: a string in it that looks like one of the template's tokens is tokenized letter by letter
(transformers' `mark_control_tokens`), so that no message can end its turn or begin another's.
"""

from collections.abc import Sequence
from typing import Any

from transformers.utils.chat_template_utils import encode_marked_chat, mark_control_tokens

from tightlip.models.chat_template import render, style
from tightlip.prompts import system_in_first_turn, truncate
from tightlip.records import Message

SENTENCE_TOKENS = 32
"""Room for a guidance sentence, so that all branches of a prompt drop the same turns."""


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
    """Encode a conversation whose last message, of the user or the assistant, is to be continued."""
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


def _encode(tokenizer: Any, messages: Sequence[Message], **options: bool) -> list[int]:
    known = style(tokenizer)
    fitting = messages if known.takes_system else system_in_first_turn(messages)
    contents = [message.model_dump(include={"role", "content"}) for message in fitting]
    marked = mark_control_tokens(contents, known.controls)
    ids: list[int] = encode_marked_chat(tokenizer, render(tokenizer, marked, **options))
    return ids


def _plain(tokenizer: Any, text: str) -> list[int]:
    """Encode text. Text that starts with white space is encoded after a line break: no tokenizer adds a space there."""
    marked = mark_control_tokens(text, style(tokenizer).controls)
    before = style(tokenizer).line_break if text[:1].isspace() else []
    ids: list[int] = encode_marked_chat(tokenizer, f"\n{marked}" if before else marked)
    return ids[len(before) :] if ids[: len(before)] == before else encode_marked_chat(tokenizer, marked)


def render_prompt(tokenizer: Any, messages: Sequence[Message], prefix: str) -> str:
    """Render a conversation and the beginning of the answer as text, for a server that continues it.

    The server tokenizes like this tokenizer: the text lacks a BOS that the server adds by itself, and a string in a
    message that looks like a token of the template gets an invisible character into it.
    """
    known = style(tokenizer)

    def broken(text: str) -> str:
        return known.controls.sub(lambda control: f"{control[0][0]}\u200c{control[0][1:]}", text)

    fitting = messages if known.takes_system else system_in_first_turn(messages)
    shown = [{"role": message.role, "content": broken(message.content)} for message in fitting]
    text = render(tokenizer, shown, add_generation_prompt=True)
    if tokenizer.bos_token and tokenizer.encode("")[:1] == [tokenizer.bos_token_id]:
        text = text.removeprefix(tokenizer.bos_token)
    return text + broken(prefix)


def fit_messages(tokenizer: Any, messages: Sequence[Message], prefix: str, limit: int) -> tuple[Message, ...]:
    """Drop whole oldest exchanges, never the system prompt, until prompt and a sentence take at most `limit` tokens.

    Call it before the sentence is put in (`secret.with_condition`).

    Raises:
        ValueError: the last message alone is over the limit.
    """
    fitted = tuple(messages)
    while (size := len(encode_prompt(tokenizer, fitted, prefix))) > limit - SENTENCE_TOKENS:
        shorter = truncate(fitted)
        if shorter is None:
            raise ValueError(
                f"the last message alone takes {size} tokens, with up to {SENTENCE_TOKENS} for a sentence more than "
                f"{limit}; raise max_prompt_tokens (in tuning: max_length)"
            )
        fitted = shorter
    return fitted


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
