"""Preference pairs as token ids."""

from collections.abc import Sequence
from typing import Any, TypedDict

from tightlip.models.encoding import encode_completion, encode_prompt
from tightlip.records import Pair


class EncodedPair(TypedDict):
    """Token ids of one preference pair; completions include EOS.

    Attributes:
        answer: names the answer that the pair was made of; its copies under other conditions bear the same name.
    """

    answer: str
    prompt_ids: list[int]
    chosen_ids: list[int]
    rejected_ids: list[int]


def encode_pairs(tokenizer: Any, pairs: Sequence[Pair], max_tokens: int) -> list[EncodedPair]:
    """Encode pairs for training.

    Raises:
        ValueError: prompt and completion together exceed `max_tokens`; cutting either would train on half a text.
    """
    return [_encode(tokenizer, pair, max_tokens) for pair in pairs]


def _encode(tokenizer: Any, pair: Pair, max_tokens: int) -> EncodedPair:
    encoded = EncodedPair(
        answer=pair.id.rpartition("/")[0] or pair.id,
        prompt_ids=encode_prompt(tokenizer, pair.messages, pair.prefix),
        chosen_ids=encode_completion(tokenizer, pair.chosen),
        rejected_ids=encode_completion(tokenizer, pair.rejected),
    )
    size = len(encoded["prompt_ids"]) + max(len(encoded["chosen_ids"]), len(encoded["rejected_ids"]))
    if size > max_tokens:
        raise ValueError(f"pair {pair.id}: {size} tokens, more than pairs.max_tokens = {max_tokens}; raise it")
    return encoded
