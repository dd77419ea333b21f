"""The local provider: a model on this machine, sampled in batches."""

from collections.abc import Sequence
from typing import Any

from tightlip.cache import ResultCache
from tightlip.generation.recipes import continuation, recipe_messages
from tightlip.guidance.completion import Context, complete
from tightlip.guidance.prompt_setup import BARE
from tightlip.params import Source
from tightlip.records import Answer, Sample

CHUNK = 8
"""Batches whose answers are cached together. Fixed: what is batched together decides the last bits."""


def answer_locally(
    samples: Sequence[Sample],
    name: str,
    source: Source,
    model: Any,
    tokenizer: Any,
    cache: ResultCache,
    *,
    max_prompt_tokens: int,
    batch_size: int,
    seed: int,
) -> list[Answer]:
    """Sample every candidate of every sample from a model on this machine, in the samples' order.

    Args:
        samples: what is continued.
        name: of the source.
        source: the recipe.
        model, tokenizer: of this machine.
        cache: holds the answers that are there already; its key decides all but the samples.
        max_prompt_tokens, batch_size, seed: see `completion.complete`.
    """
    candidates = [(sample, candidate) for sample in samples for candidate in range(source.candidates)]
    contexts: list[Context] = [
        (recipe_messages(sample, source), sample.prefix if source.mode == "completion" else "")
        for sample, _ in candidates
    ]

    def answers(start: int) -> list[tuple[str, str]]:
        return [(each.text, each.finish) for each in complete(
            model, tokenizer, contexts[start : start + chunk], BARE, max_prompt_tokens=max_prompt_tokens,
            max_new_tokens=source.max_tokens, batch_size=batch_size, temperature=source.temperature, seed=seed,
            first=start, progress=f"generate {name}, from {start} of {len(contexts)}",
        )]  # fmt: skip

    chunk = CHUNK * batch_size
    starts = range(0, len(contexts), chunk)
    items = [_content(start, contexts[start : start + chunk]) for start in starts]
    chunks = cache.get_all(items, lambda places: (answers(starts[place]) for place in places))
    return [
        Answer(
            sample_id=sample.id,
            source=name,
            candidate=candidate,
            text=continuation(text, sample.prefix, source),
            finish=finish,
        )
        for (sample, candidate), (text, finish) in zip(
            candidates, [each for part in chunks for each in part], strict=True
        )
    ]


def _content(start: int, contexts: Sequence[Context]) -> list[str]:
    messages = [message.model_dump_json() for messages, _ in contexts for message in messages]
    return [str(start), *messages, *(prefix for _, prefix in contexts)]
