"""One attempt to get an answer from a hosted model; the only module that imports `openai` and `together`.

Both clients are made by the same generator and raise errors of the same names.
"""

import asyncio
import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal
from urllib.parse import urlsplit

from tightlip.hosted.answer_store import Finish, Reply
from tightlip.records import Message

Provider = Literal["openai", "together"]

URLS: dict[Provider, str] = {"openai": "https://api.openai.com/v1", "together": "https://api.together.ai/v1"}
KEYS: dict[Provider, str] = {"openai": "OPENAI_API_KEY", "together": "TOGETHER_API_KEY"}

RETRIED = (408, 409, 429)  # and all from 500 on
REMEDIES = {
    401: "check the key",
    402: "the account has no credit left",
    403: "check what the key may do",
    404: "check model and base_url",
}
_FINISHES: dict[str, Finish] = {"length": "length", "content_filter": "filtered"}
_SNAPSHOT = r"(?:[-@:]\d{4}[\w.\-]*|@[\w.\-]+)?"  # gpt-4o-mini-2024-07-18, gpt-4-0613, model@main
_LOGGERS = ("openai", "together", "httpx", "httpx2", "httpcore", "httpcore2")


@dataclass(frozen=True)
class Endpoint:
    """The address of a hosted model.

    Attributes:
        provider: whose client is used.
        base_url: of any compatible server; None is the provider's own. The clients' variables (OPENAI_BASE_URL) do not
            count: the parameters decide where requests go.
        key_env: environment variable with the key; None is the provider's usual one.
    """

    provider: Provider
    base_url: str | None = None
    key_env: str | None = None

    @property
    def url(self) -> str:
        """Its address without a slash at the end."""
        return (self.base_url or URLS[self.provider]).rstrip("/")

    @property
    def host(self) -> str:
        """Name of the endpoint in errors."""
        return urlsplit(self.url).hostname or self.url


@dataclass(frozen=True)
class Request:
    """One request to a model: everything that decides the answer.

    Attributes:
        model: its name at the endpoint.
        prompt: messages for chat mode, or a text to continue for completion mode.
        temperature: of sampling.
        max_tokens: limit of the answer.
        stop: text that ends the answer.
        candidate: number among answers to the same prompt.
    """

    model: str
    prompt: tuple[Message, ...] | str
    temperature: float
    max_tokens: int
    stop: str | None = None
    candidate: int = 0

    @property
    def body(self) -> dict[str, Any]:
        """Body of the HTTP request."""
        chat = not isinstance(self.prompt, str)
        prompt = [{"role": each.role, "content": each.content} for each in self.prompt] if chat else self.prompt  # type: ignore[union-attr]
        body = {"model": self.model, "temperature": self.temperature, "max_tokens": self.max_tokens}
        return body | {"messages" if chat else "prompt": prompt} | ({"stop": [self.stop]} if self.stop else {})

    @property
    def most_prompt_tokens(self) -> int:
        """Upper bound of the prompt's tokens: no token is shorter than a byte; a template adds less than 32 to each."""
        texts = [self.prompt] if isinstance(self.prompt, str) else [each.content for each in self.prompt]
        return 64 + sum(len(text.encode()) + 32 for text in texts)


class Failure(Exception):
    """An attempt without an answer.

    Attributes:
        problem: a description without key, prompt or the server's message, which may repeat both.
        again: whether another attempt may succeed.
        charged: whether it may have cost anything.
        paused: whether the endpoint asks for fewer requests.
        wait: seconds that the endpoint asks to wait.
        reply: an answer that was billed and cannot be used.
    """

    def __init__(
        self,
        problem: str,
        *,
        again: bool = True,
        charged: bool = True,
        paused: bool = False,
        wait: float | None = None,
        reply: Reply | None = None,
    ) -> None:
        super().__init__(problem)
        self.problem, self.again, self.charged, self.paused, self.wait = problem, again, charged, paused, wait
        self.reply = reply


def connect(endpoint: Endpoint, timeout: float) -> Any:
    """Return the provider's asynchronous client; retries are ours.

    Raises:
        ValueError: there is no key.
    """
    variable = endpoint.key_env or KEYS[endpoint.provider]
    key = os.environ.get(variable)
    if not key:
        raise ValueError(
            f"{variable}: no key in the environment or in .env; set it (anything, if the server takes none)"
        )
    library = _library(endpoint.provider)
    for name in _LOGGERS:  # with OPENAI_LOG=debug they would write prompts down
        logging.getLogger(name).setLevel(logging.WARNING)
    if endpoint.provider == "openai":
        return library.AsyncOpenAI(api_key=key, base_url=endpoint.url, timeout=timeout, max_retries=0)
    base_url = endpoint.url.removesuffix("/v1")  # which this client adds itself
    return library.AsyncTogether(api_key=key, base_url=base_url, timeout=timeout, max_retries=0)


async def attempt(client: Any, endpoint: Endpoint, request: Request, timeout: float) -> Reply:
    """Send a request once.

    Args:
        client: from `connect`.
        endpoint: of the client.
        request: what is sent.
        timeout: seconds for all of it, however slowly the server sends.

    Raises:
        Failure: there is no usable answer.
    """
    library = _library(endpoint.provider)
    resource = client.completions if isinstance(request.prompt, str) else client.chat.completions
    try:
        async with asyncio.timeout(timeout):
            completion = await resource.create(**request.body)
    except library.APIStatusError as error:
        return _refused(error)
    except (TimeoutError, library.APITimeoutError):
        raise Failure(f"gave no answer within {timeout:g} s") from None
    except library.APIConnectionError as error:
        reached = type(error.__cause__).__name__ != "ConnectError"
        raise Failure(f"cannot be reached ({type(error.__cause__).__name__})", charged=reached) from None
    except (library.APIError, ValueError):  # a ValueError: not JSON
        raise Failure("gave no complete JSON") from None
    return read_completion(completion, request)


def read_completion(completion: Any, request: Request) -> Reply:
    """Read the answer out of a chat or text completion; no field of it is trusted.

    Raises:
        Failure: there is no answer, or it is from another model.
    """
    usage, model = getattr(completion, "usage", None), getattr(completion, "model", None) or request.model
    tokens = [getattr(usage, name, None) for name in ("prompt_tokens", "completion_tokens")]
    most = (request.most_prompt_tokens, request.max_tokens)
    paid = [count if isinstance(count, int) else worst for count, worst in zip(tokens, most, strict=True)]
    try:
        choice = completion.choices[0]
        reason = choice.finish_reason
        answer = choice if isinstance(request.prompt, str) else choice.message
        text = (choice.text if isinstance(request.prompt, str) else answer.content) or ""
        finish = "filtered" if getattr(answer, "refusal", None) else _FINISHES.get(reason, "stop")
        if not (isinstance(text, str) and isinstance(reason, str)):
            raise TypeError
    except (AttributeError, IndexError, TypeError):
        raise Failure("gave no completion; base_url should end where /chat/completions begins") from None
    reply = Reply("" if finish == "filtered" else text, finish, str(model), *paid)
    if not same_model(request.model, reply.model):
        named = re.fullmatch(r"[\w./@:\-]{1,80}", reply.model)  # what the server says may be anything
        other = f"model {reply.model}; ask for that name" if named else "another model; check model and base_url"
        raise Failure(f"answered as {other}", again=False, reply=reply)
    return reply


def same_model(requested: str, answered: str) -> bool:
    """Say whether a model is the requested one or a dated snapshot of it."""
    return bool(re.fullmatch(re.escape(requested) + _SNAPSHOT, answered, re.IGNORECASE))


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the seconds to wait by the Retry-After header, which gives seconds or a date; None without one."""
    text = headers.get("retry-after-ms", "")
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text) / 1000
    text = headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    try:
        date = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    return max(0.0, (date.replace(tzinfo=date.tzinfo or UTC) - now).total_seconds())


def _refused(error: Any) -> Reply:
    """Return a filtered answer if the content filter refused, or raise the failure of a status other than 200."""
    code, status = str(getattr(error, "code", None) or _code(error.body)), error.status_code
    if status == 400 and code == "content_filter":
        return Reply("", "filtered", "", 0, 0)
    spent = code in ("insufficient_quota", "billing_hard_limit_reached")
    if spent:
        raise Failure(f"answered {status}: the account's quota is used up", again=False, charged=False) from None
    if status == 400 and code in ("unsupported_parameter", "unsupported_value"):
        raise Failure(
            "refuses max_tokens or temperature, as reasoning models do; take another model", again=False, charged=False
        ) from None
    again = status in RETRIED or status >= 500
    remedy = REMEDIES.get(status, "try again later" if again else "check model, mode and base_url")
    raise Failure(
        f"answered {status}; {remedy}", again=again, charged=status >= 500, paused=status == 429,
        wait=retry_after(error.response.headers, datetime.now(UTC)),
    ) from None  # fmt: skip


def _code(body: Any) -> str:
    """Return the code in the body of an error, which may lie a level deeper."""
    if not isinstance(body, dict):
        return ""
    return str(body.get("code") or _code(body.get("error")))


def _library(provider: Provider) -> Any:
    if provider == "openai":
        import openai

        return openai
    import together

    return together
