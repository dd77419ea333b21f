"""Hosted providers: the recipes as requests, under pseudonyms unless the parameters say otherwise."""

from collections import Counter
from collections.abc import Callable, Sequence, Set
from typing import Any

from tightlip.generation.recipes import continuation, recipe_messages
from tightlip.hosted.client import Endpoint, Request
from tightlip.hosted.requests import send_requests
from tightlip.models.chat_template import style
from tightlip.models.encoding import fit_messages, render_prompt
from tightlip.params import Hosted, Source
from tightlip.pii.pseudonyms import Pseudonyms, words
from tightlip.records import Answer, Message, Sample


def answer_remotely(
    samples: Sequence[Sample], name: str, source: Source, hosted: Hosted, tokenizer: Any, *, max_prompt_tokens: int
) -> list[Answer]:
    """Get every candidate of every sample from a hosted model, in the samples' order.

    Args:
        samples: prompts.
        name: of the source.
        source: the recipe.
        hosted: how requests are sent.
        tokenizer: measures prompts and, in completion mode, renders them.
        max_prompt_tokens: longer prompts lose whole oldest exchanges.

    Raises:
        ValueError: see `requests.send_requests`; or a conversation whose values cannot be replaced.
    """
    assert source.hosted  # noqa: S101  (`providers` sees to it)
    private = frozenset(word for sample in samples for value in sample.truths for word in words(value.value))
    requests: list[Request] = []
    before: Counter[tuple[Message, ...] | str] = Counter()
    pending: list[tuple[Sample, int, Callable[[str], str]]] = []
    for sample in samples:
        prefix = sample.prefix if source.mode == "completion" else ""
        messages = fit_messages(tokenizer, recipe_messages(sample, source), prefix, max_prompt_tokens)
        reveal: Callable[[str], str] = str
        if hosted.pseudonymise:
            messages, prefix, reveal = disguised(messages, prefix, sample, private)
        completes = source.mode == "completion"
        prompt = render_prompt(tokenizer, messages, prefix) if completes else messages
        stop = tokenizer.decode([style(tokenizer).end]) if completes else None
        for candidate in range(source.candidates):
            # Prompts of one turn may be the same: their answers are drawn apart, unless they are greedy.
            again = before[prompt] if source.temperature else 0
            requests.append(Request(source.model, prompt, source.temperature, source.max_tokens, stop, again))
            before[prompt] += 1
            pending.append((sample, candidate, reveal))
    replies = send_requests(requests, Endpoint(source.hosted, source.base_url, source.key_env), hosted, purpose=name)
    return [
        Answer(
            sample_id=sample.id,
            source=name,
            candidate=candidate,
            text=continuation(reveal(reply.text), sample.prefix, source),
            finish=reply.finish,
        )
        for (sample, candidate, reveal), reply in zip(pending, replies, strict=True)
    ]


def disguised(
    messages: Sequence[Message], prefix: str, sample: Sample, private: Set[str]
) -> tuple[tuple[Message, ...], str, Callable[[str], str]]:
    """Return messages and prefix with surrogates in the place of personal values, and the way back."""
    names = Pseudonyms([*(each.content for each in messages), prefix], sample.truths, private, sample.dialogue_id)
    masked = tuple(Message(role=each.role, content=names.mask(each.content)) for each in messages)
    return masked, names.mask(prefix), names.unmask
