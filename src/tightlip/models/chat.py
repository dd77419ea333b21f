"""From messages to token ids: the one place where training, generation and evaluation get their ids."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from tightlip.prompts import truncate
from tightlip.records import Message

SENTENCE_TOKENS = 32
"""Room kept for a guidance sentence, so that all branches of a prompt drop the same turns."""


def load_tokenizer(path: str | Path) -> Any:
    """Load the tokenizer beside a model.

    Raises:
        ValueError: no tokenizer there, or one without chat template or EOS token.
    """
    need_file(Path(path) / "tokenizer_config.json", f"{path}: no tokenizer here")
    tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
    if tokenizer.chat_template is None or tokenizer.eos_token_id is None:
        raise ValueError(f"{path}: the tokenizer has no chat template or no EOS token; take an instruct model")
    return tokenizer


def need_file(path: Path, problem: str) -> None:
    """Check that a model directory is whole."""
    if not path.is_file():
        raise ValueError(f"{problem} ({path.name} is missing); run `dvc repro` or correct the path in params.yaml")


def encode_prompt(tokenizer: Any, messages: Sequence[Message], prefix: str = "") -> list[int]:
    """Encode a conversation and the beginning of the assistant's answer.

    The prefix is tokenized apart from the template and a completion apart from both (`encode_completion`), so that
    the same ids meet wherever the text is cut.

    Raises:
        ValueError: the prefix ends in white space (boundary rule: a completion starts with it).
    """
    if prefix != prefix.rstrip():
        raise ValueError("a prompt must not end in white space; the completion starts with it")
    text = tokenizer.apply_chat_template(
        [message.model_dump(include={"role", "content"}) for message in messages],
        tokenize=False,
        add_generation_prompt=True,
    )
    return [*_ids(tokenizer, text), *_ids(tokenizer, prefix)]


def encode_open_turn(tokenizer: Any, messages: Sequence[Message]) -> list[int]:
    """Encode a conversation whose last message is to be continued, whoever's it is."""
    text = tokenizer.apply_chat_template(
        [message.model_dump(include={"role", "content"}) for message in messages],
        tokenize=False,
        continue_final_message=True,
    )
    return _ids(tokenizer, text)


def encode_completion(tokenizer: Any, text: str, *, end: bool = True) -> list[int]:
    """Encode a continuation, ended by the tokenizer's EOS."""
    return [*_ids(tokenizer, text), *([tokenizer.eos_token_id] if end else [])]


def _ids(tokenizer: Any, text: str) -> list[int]:
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False)
    return ids


def render_prompt(tokenizer: Any, messages: Sequence[Message], prefix: str) -> str:
    """Render a conversation and the beginning of the answer as text, for a server that continues it.

    Such a server tokenizes like this tokenizer: a BOS that it adds by itself is not in the text.
    """
    text: str = tokenizer.apply_chat_template(
        [message.model_dump(include={"role", "content"}) for message in messages],
        tokenize=False,
        add_generation_prompt=True,
    )
    if tokenizer.bos_token and tokenizer.encode("")[:1] == [tokenizer.bos_token_id]:
        text = text.removeprefix(tokenizer.bos_token)
    return text + prefix


def fit_messages(tokenizer: Any, messages: Sequence[Message], prefix: str, limit: int) -> tuple[Message, ...]:
    """Drop whole oldest exchanges, never the system prompt, until prompt and a sentence take at most `limit` tokens.

    Call it before the sentence is put in (`prompts.with_condition`).

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
    """Every token that ends an answer, from the tokenizer and the model's generation config."""
    configured = getattr(model.generation_config, "eos_token_id", None)
    listed = configured if isinstance(configured, list) else [configured]
    return {token for token in (*listed, tokenizer.eos_token_id) if token is not None}
