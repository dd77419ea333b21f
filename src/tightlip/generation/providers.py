"""Which provider carries out a recipe."""

from collections.abc import Sequence

from tightlip.cache import ResultCache
from tightlip.params import Filter, Hosted, Source
from tightlip.records import Answer, Sample


def answer(
    samples: Sequence[Sample],
    name: str,
    source: Source,
    cache: ResultCache,
    *,
    hosted: Hosted,
    base: str,
    settings: Filter,
    max_prompt_tokens: int,
    batch_size: int,
    seed: int,
) -> list[Answer]:
    """Get every candidate of every sample from a source, in the samples' order.

    Args:
        samples: prompts.
        name: of the source.
        source: the recipe.
        cache: of the local provider's answers; its key must decide all but the samples.
        hosted: how requests to hosted models are sent.
        base: directory of the local provider's model; its tokenizer measures and renders prompts for hosted ones.
        settings: the filter that the rewriter's answers have to pass.
        max_prompt_tokens: longer prompts lose whole oldest exchanges.
        batch_size: samples per batch of the local provider.
        seed: of sampling.

    Raises:
        ValueError: a hosted model does not answer, or the budget ends.
    """
    if source.provider == "local":
        from tightlip.generation.local import answer_locally
        from tightlip.models.loading import load_model
        from tightlip.models.tokenizer import load_tokenizer

        model, tokenizer = load_model(base), load_tokenizer(base)
        return answer_locally(
            samples, name, source, model, tokenizer, cache, max_prompt_tokens=max_prompt_tokens,
            batch_size=batch_size, seed=seed,
        )  # fmt: skip
    if source.provider == "rewriter":
        from tightlip.generation.rewriter import rewrite_samples

        return rewrite_samples(samples, name, source, settings, seed=seed)
    from tightlip.generation.remote import answer_remotely
    from tightlip.models.tokenizer import load_tokenizer

    return answer_remotely(samples, name, source, hosted, load_tokenizer(base), max_prompt_tokens=max_prompt_tokens)
