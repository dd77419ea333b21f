"""Models behind OpenAI-compatible endpoints; the one module that imports `openai`."""

import os
from collections.abc import Sequence
from urllib.parse import urlsplit

import openai

from tightlip.records import Message

OPENAI_URL = "https://api.openai.com/v1"


def connect(key_env: str, base_url: str | None = None, *, timeout: float = 60, max_retries: int = 5) -> openai.OpenAI:
    """Return the client of an endpoint; it retries by itself what may pass (429, 5xx, time-outs).

    Args:
        key_env: environment variable that holds the key.
        base_url: of the endpoint; OpenAI's own without. The client's variable OPENAI_BASE_URL does not count: what is
            asked stands in the parameters.
        timeout: seconds per try.
        max_retries: further tries.

    Raises:
        ValueError: there is no key.
    """
    key = os.environ.get(key_env)
    if not key:
        raise ValueError(f"{key_env}: no key in this environment variable; set it (anything, if the server takes none)")
    return openai.OpenAI(api_key=key, base_url=base_url or OPENAI_URL, timeout=timeout, max_retries=max_retries)


def chat(client: openai.OpenAI, model: str, messages: Sequence[Message], *, temperature: float, max_tokens: int) -> str:
    """Return a model's answer to a conversation; empty if it gave none.

    Raises:
        ValueError: no answer after all tries; neither key nor prompt is in the message, nor what the server said, which
            may repeat both.
    """
    host = urlsplit(str(client.base_url)).hostname
    try:
        completion = client.chat.completions.create(
            model=model, temperature=temperature, max_tokens=max_tokens,
            messages=[{"role": each.role, "content": each.content} for each in messages],  # type: ignore[misc]
        )  # fmt: skip
        return completion.choices[0].message.content or ""
    except openai.APIStatusError as error:
        problem, remedy = f"answered {error.status_code}", "check key, model and base_url, or try again later"
    except openai.APIConnectionError as error:  # a time-out is one
        problem, remedy = f"cannot be reached ({type(error).__name__})", "check base_url and the network"
    except (openai.OpenAIError, AttributeError, IndexError, TypeError, ValueError):
        problem, remedy = "gave no chat completion", "check base_url; it should end where /chat/completions begins"
    raise ValueError(f"{host}, model {model}: {problem}; {remedy}")
