"""The local provider: a model on this machine, sampled in batches."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tightlip.files import digest, kept
from tightlip.generation.recipes import continuation, recipe_messages
from tightlip.guidance.completion import Context, complete
from tightlip.guidance.prompt_setup import BARE
from tightlip.params import Source
from tightlip.records import Answer, Sample

CHUNK = 8
"""Batches whose answers are kept together. Fixed, since what is batched together decides the last bits."""


def answer_locally(
    samples: Sequence[Sample],
    name: str,
    source: Source,
    model: Any,
    tokenizer: Any,
    *,
    max_prompt_tokens: int,
    batch_size: int,
    seed: int,
    scratch: Path,
) -> list[Answer]:
    """Ask a model on this machine for every candidate of every sample, in the samples' order.

    Answers are kept in `scratch`, whose name must decide all but the samples, and not asked for again.
    """
    asked = [(sample, candidate) for sample in samples for candidate in range(source.candidates)]
    contexts = [
        (recipe_messages(sample, source), sample.prefix if source.mode == "completion" else "") for sample, _ in asked
    ]

    def completions(start: int, some: Sequence[Context]) -> list[Any]:
        return [(completion.text, completion.finish) for completion in complete(
            model, tokenizer, some, BARE, max_prompt_tokens=max_prompt_tokens, max_new_tokens=source.max_tokens,
            batch_size=batch_size, temperature=source.temperature, seed=seed, first=start,
            progress=f"generate {name}, from {start} of {len(contexts)}",
        )]  # fmt: skip

    chunk, found = CHUNK * batch_size, []
    for start in range(0, len(contexts), chunk):
        some = contexts[start : start + chunk]
        told = [message.model_dump_json() for messages, _ in some for message in messages]
        path = scratch / f"{digest(str(start), *told, *(prefix for _, prefix in some))}.json"
        found += kept(path, functools.partial(completions, start, some))
    return [
        Answer(
            sample_id=sample.id,
            source=name,
            candidate=candidate,
            text=continuation(text, sample.prefix, source),
            finish=finish,
        )
        for (sample, candidate), (text, finish) in zip(asked, found, strict=True)
    ]
