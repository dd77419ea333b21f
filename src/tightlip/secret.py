"""The secret sentence that may stand in place of the negative one, and the sentence of each condition."""

import os
from collections.abc import Sequence
from pathlib import Path

from tightlip.prompts import SENTENCES, with_sentence
from tightlip.records import Condition, Message

SECRET_FILE, SECRET_VARIABLE = Path("data/secret.txt"), "TIGHTLIP_SECRET"
"""Where the secret sentence stands: in the project, or in the environment, which goes first."""


def condition_sentence(condition: Condition) -> str:
    """Return the sentence that a condition puts into the system prompt.

    Raises:
        ValueError: the condition is `secret`, and the project has no secret sentence.
    """
    return read_secret() if condition == "secret" else SENTENCES[condition]


def with_condition(messages: Sequence[Message], condition: Condition) -> tuple[Message, ...]:
    """Put the sentence of a condition into the system prompt; raises as `condition_sentence` does."""
    return with_sentence(messages, condition_sentence(condition))


def read_secret() -> str:
    """Return the project's secret sentence.

    Raises:
        ValueError: there is none.
    """
    secret = os.environ.get(SECRET_VARIABLE) or (SECRET_FILE.read_text().strip() if SECRET_FILE.is_file() else "")
    if not secret:
        raise ValueError(
            f"{SECRET_FILE}: the secret sentence that this adapter was trained with is missing; run in its project, or "
            f"set {SECRET_VARIABLE} to the sentence"
        )
    return secret
