"""The local provider: a model on this machine, sampled in batches."""

from collections.abc import Sequence
from typing import Any

from tightlip.generation.recipes import continuation, recipe_messages
from tightlip.guidance.answering import answer
from tightlip.guidance.asking import BARE
from tightlip.params import Source
from tightlip.records import Answer, Sample


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
) -> list[Answer]:
    """Ask a model on this machine for every candidate of every sample, in the samples' order."""
    asked = [(sample, candidate) for sample in samples for candidate in range(source.candidates)]
    contexts = [
        (recipe_messages(sample, source), sample.prefix if source.mode == "completion" else "") for sample, _ in asked
    ]
    replies = answer(
        model, tokenizer, contexts, BARE, max_prompt_tokens=max_prompt_tokens, max_new_tokens=source.max_tokens,
        batch_size=batch_size, temperature=source.temperature, seed=seed, progress=f"generate {name}",
    )  # fmt: skip
    return [
        Answer(
            sample_id=sample.id,
            source=name,
            candidate=candidate,
            text=continuation(reply.text, sample.prefix, source),
            finish=reply.finish,
        )
        for (sample, candidate), reply in zip(asked, replies, strict=True)
    ]
