"""From conversations to answers: fit, put the sentence in, encode both branches, decode, turn into text."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tightlip.guidance.decoder import Decoding, generate
from tightlip.guidance.prompt_setup import PromptSetup
from tightlip.models.encoding import decode, encode_prompt, eos_ids, fit_messages
from tightlip.records import Condition, Message
from tightlip.secret import with_condition

Context = tuple[Sequence[Message], str]
"""A conversation up to the user's message, and the beginning of the assistant's answer (may be empty)."""


@dataclass(frozen=True)
class Completion:
    """A generated continuation and how it ended (`stop` or `length`)."""

    text: str
    finish: str


def complete(
    model: Any,
    tokenizer: Any,
    contexts: Sequence[Context],
    setup: PromptSetup,
    *,
    max_prompt_tokens: int,
    max_new_tokens: int,
    batch_size: int = 16,
    temperature: float = 0.0,
    seed: int = 0,
    first: int = 0,
    prompt_cache: dict[tuple[int, ...], Any] | None = None,
    progress: str | None = None,
) -> list[Completion]:
    """Continue every conversation under the setup's sentence and guidance, in the order given.

    Args:
        model: a causal language model in eval mode.
        tokenizer: of the model, with a chat template.
        contexts: conversations; longer than `max_prompt_tokens`, they lose whole oldest exchanges in both branches.
        setup: sentence and guidance.
        max_prompt_tokens, max_new_tokens: limits of prompt and answer.
        batch_size, temperature, seed: see `decoder.Decoding`.
        first, prompt_cache, progress: see `decoder.generate`.

    Raises:
        ValueError: a last message alone is over the limit.
    """
    fitted = [(fit_messages(tokenizer, messages, prefix, max_prompt_tokens), prefix) for messages, prefix in contexts]

    def encode(condition: Condition) -> list[list[int]]:
        return [encode_prompt(tokenizer, with_condition(messages, condition), prefix) for messages, prefix in fitted]

    decoding = Decoding(
        max_new_tokens, eos_ids(model, tokenizer), tokenizer.eos_token_id, batch_size, temperature, seed
    )
    outputs = generate(
        model, encode(setup.condition), encode(setup.negative) if setup.guidance.needs_negative else None,
        decoding=decoding, guidance=setup.guidance, first=first, prompt_cache=prompt_cache, progress=progress,
    )  # fmt: skip
    return [Completion(decode(tokenizer, ids), "stop" if len(ids) < max_new_tokens else "length") for ids in outputs]
