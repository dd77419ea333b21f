"""Many requests to one hosted model: each is sent once, stored and counted, and none is sent beyond the budget."""

import asyncio
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from tightlip.files import digest, write_json
from tightlip.hosted.answer_store import NANO, AnswerStore, Reply, canonical, open_store, store_path
from tightlip.hosted.client import Endpoint, Failure, Request, attempt, connect
from tightlip.params import Hosted, Price

LEDGER = Path("metrics/ledger.json")
TRIES = 10
BACKOFF_SECONDS, MOST_SECONDS = 1.0, 60.0
"""The wait before try n + 1 is drawn between 0 and 2ⁿ⁻¹ seconds, a minute at most (full jitter)."""

MAX_RETRY_AFTER = 300.0
"""A Retry-After beyond this is cut: by then it is worth a look whether the endpoint is back."""


def send_requests(requests: Sequence[Request], endpoint: Endpoint, settings: Hosted, *, purpose: str) -> list[Reply]:
    """Get an answer to every request, in order; answers that were paid for before are read from the project's store.

    An answer is on the disk before anything else happens to it. If a request fails for good, those under way
    are finished and stored before the error is raised, and the next call resumes there. The ledger is always written.

    Args:
        requests: the same one twice gets the same answer.
        endpoint: of the model.
        settings: limits and prices.
        purpose: source or judge, for ledger and progress bar.

    Raises:
        ValueError: no key, a request that failed for good, or a budget that does not suffice; it says what is missing.
    """
    if not requests:
        return []
    by_key = {request_key(request, endpoint): request for request in requests}
    with open_store(store_path()) as store:
        try:
            missing = {key: request for key, request in by_key.items() if store.get(key) is None}
            for model in dict.fromkeys(request.model for request in requests):
                n_missing = sum(request.model == model for request in missing.values())
                store.hit(purpose, model, sum(request.model == model for request in requests) - n_missing)
            if missing:
                asyncio.run(_ask_all(missing, endpoint, settings, store, purpose))
            stored = {key: store.get(key) for key in by_key}
        finally:
            store.settle()
            write_json(LEDGER, store.ledger())
    return [reply for request in requests if (reply := stored[request_key(request, endpoint)]) is not None]


def request_key(request: Request, endpoint: Endpoint) -> str:
    """Return the key under which an answer is stored: a hash of everything that decides it."""
    where = {"provider": endpoint.provider, "url": endpoint.url, "candidate": request.candidate}
    return digest(canonical(where | {"body": request.body}))


def cost(price: Price | None, prompt_tokens: int, completion_tokens: int) -> int | None:
    """Return the cost of tokens in nano-dollars, rounded up; None without a price."""
    if price is None:
        return None
    return math.ceil(round((prompt_tokens * price.input + completion_tokens * price.output) * (NANO // 10**6), 6))


def backoff(tried: int, retry_seconds: float | None, rng: random.Random) -> float:
    """Return how many seconds to wait before the next try.

    Args:
        tried: number of tries so far, from 1.
        retry_seconds: seconds that the endpoint asks for; the wait is not shorter.
        rng: draws the jitter.
    """
    drawn = rng.uniform(0, min(MOST_SECONDS, BACKOFF_SECONDS * 2 ** (tried - 1)))
    return drawn if retry_seconds is None else min(retry_seconds, MAX_RETRY_AFTER) + drawn


@dataclass
class _Run:
    """State that the workers of one run share.

    Attributes:
        todo: requests by their keys; free workers take them.
        under_way: number of attempts that were sent and not settled.
        resume: time of the event loop before which no worker sends a request.
        error: the error that ended the run.
        ended: set with the error.
        settled: notified whenever an attempt is settled.
    """

    todo: Iterator[tuple[str, Request]]
    client: Any
    endpoint: Endpoint
    settings: Hosted
    store: AnswerStore
    purpose: str
    under_way: int = 0
    resume: float = 0.0
    error: str | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    settled: asyncio.Condition = field(default_factory=asyncio.Condition)
    rng: random.Random = field(default_factory=random.Random)  # jitter: two processes must not keep in step

    def end(self, error: str) -> None:
        """Let no further attempt begin; the first error counts."""
        self.error = self.error or error
        self.ended.set()

    async def sleep(self, seconds: float) -> None:
        """Wait, at least as long as the endpoint asks for, unless the run ends."""
        clock = asyncio.get_running_loop().time
        until = clock() + seconds
        while not self.error and (left := max(until, self.resume) - clock()) > 0:
            with suppress(TimeoutError):
                await asyncio.wait_for(self.ended.wait(), left)


async def _ask_all(
    missing: Mapping[str, Request], endpoint: Endpoint, settings: Hosted, store: AnswerStore, purpose: str
) -> None:
    """Send all missing requests, a few at a time."""
    async with connect(endpoint, settings.timeout) as client:
        run = _Run(iter(missing.items()), client, endpoint, settings, store, purpose)
        with tqdm(total=len(missing), desc=f"ask for {purpose}", unit="answer") as bar:
            await asyncio.gather(*(_work(run, bar) for _ in range(min(settings.concurrency, len(missing)))))
    if run.error:
        left = sum(store.get(key) is None for key in missing)
        raise ValueError(f"{run.error} ({left} of {len(missing)} answers are missing; those that came are kept)")


async def _work(run: _Run, bar: Any) -> None:
    for key, request in run.todo:
        await _answer(run, key, request)
        if run.error:
            return
        bar.update()


async def _answer(run: _Run, key: str, request: Request) -> None:
    """Send a request until it has an answer or the run ends."""
    wait = 0.0
    for tried in range(1, TRIES + 1):
        await run.sleep(wait)
        attempt_id = await _admitted(run, request, retry=tried > 1)
        if attempt_id is None:
            return
        failure = await _try(run, key, request, attempt_id)
        if failure is None:
            return
        wait = backoff(tried, failure.wait, run.rng)
        if failure.paused:
            run.resume = max(run.resume, asyncio.get_running_loop().time() + wait)
        if not failure.again or tried == TRIES:
            times = f", tried {tried} times" if tried > 1 else ""
            run.end(f"{run.endpoint.host}, model {request.model}{times}: {failure.problem}")
            return


async def _admitted(run: _Run, request: Request, *, retry: bool) -> int | None:
    """Enter an attempt with its highest cost; None if the run has ended, or ends here for lack of budget.

    It waits while others are under way: most cost less than their highest cost.
    """
    price, limit = run.settings.prices.get(request.model), run.settings.max_cost
    worst = cost(price, request.most_prompt_tokens, request.max_tokens)
    async with run.settled:
        while not run.error and limit is not None and run.store.committed() + (worst or 0) > limit * NANO:
            if run.under_way:
                await run.settled.wait()
                continue
            run.end(
                f"hosted.max_cost: {run.store.committed() / NANO:.6f} of {limit:g} dollars are spent, and the next "
                f"request for {run.purpose} may cost {(worst or 0) / NANO:.6f}; raise it to go on"
            )
        if run.error:
            return None
        run.under_way += 1
        return run.store.begin(run.purpose, request.model, worst, retry=retry)


async def _try(run: _Run, key: str, request: Request, attempt_id: int) -> Failure | None:
    """Send a request and store the answer, or return why there is none."""
    price = run.settings.prices.get(request.model)
    try:
        reply = await attempt(run.client, run.endpoint, request, run.settings.timeout)
        run.store.keep(attempt_id, key, reply, cost(price, reply.prompt_tokens, reply.completion_tokens))
        return None
    except Failure as failure:
        tokens = (request.most_prompt_tokens, request.max_tokens)
        if failure.reply:
            tokens = (failure.reply.prompt_tokens, failure.reply.completion_tokens)
        run.store.lose(attempt_id, cost(price, *tokens) if failure.charged else 0)
        return failure
    finally:
        async with run.settled:
            run.under_way -= 1
            run.settled.notify_all()
