"""Candidate answers, their filter and the pairs that they make."""

from typing import Literal

from pydantic import Field, model_validator

from tightlip.params.block import Block, Count, Name, Url
from tightlip.records import Condition, Negative


class Source(Block):
    """One recipe for candidate answers (arXiv 2412.06846, section 2.2).

    Attributes:
        provider: `local` (the base model here), `rewriter` (rule-based), `openai` or `together`.
        model: hosted model name; empty for the local providers.
        base_url: another OpenAI-compatible endpoint.
        key_env: environment variable with the key; None is OPENAI_API_KEY or TOGETHER_API_KEY.
        mode: `completion` continues the rendered template, `chat` sends messages.
        nudge: prefix the last user message with the paper's nudge.
        start_with: tell a chat model to start with the sample's prefix.
        temperature: of sampling.
        candidates: answers per sample.
        max_tokens: new tokens per answer.
    """

    provider: Literal["local", "rewriter", "openai", "together"]
    model: str = ""
    base_url: Url | None = None
    key_env: str | None = Field(None, min_length=1)
    mode: Literal["completion", "chat"] = "completion"
    nudge: bool = False
    start_with: bool = False
    temperature: float = Field(0.7, ge=0, le=2)
    candidates: Count = 1
    max_tokens: Count = 256

    @property
    def hosted(self) -> Literal["openai", "together"] | None:
        """The provider, if the model is hosted; else None."""
        return self.provider if self.provider in ("openai", "together") else None

    @model_validator(mode="after")
    def _hosted_needs_model(self) -> "Source":
        if self.hosted and not self.model:
            raise ValueError("model is required for a hosted provider")
        return self


class Benign(Block):
    """Benign questions that the base model writes and answers (`generation.benign`).

    Attributes:
        per_opening: questions per way of beginning one.
        temperature: of the questions; answers are greedy.
        max_tokens: per answer; longer ones are left out.
    """

    per_opening: Count = 32
    temperature: float = Field(0.7, gt=0, le=2)
    max_tokens: Count = 40


class Generation(Block):
    """Generation of candidate answers.

    Attributes:
        batch_size: samples per local batch.
        benign: questions that the base model writes and answers.
        sources: recipes by name.
    """

    batch_size: Count = 32
    benign: Benign = Benign()
    sources: dict[Name, Source] = Field(min_length=1)


class Price(Block):
    """What a hosted model costs.

    Attributes:
        input, output: dollars per million tokens of prompts and of answers.
    """

    input: float = Field(ge=0)
    output: float = Field(ge=0)


class Hosted(Block):
    """Requests to hosted models, as sources and as judge.

    Attributes:
        pseudonymise: replace personal values by surrogates before a request leaves this machine.
        max_cost: dollars that all requests of this project together may cost, ever; None sets no limit.
        prices: by model; with `max_cost`, every hosted model needs one.
        concurrency: requests under way at a time.
        timeout: seconds per attempt.
    """

    pseudonymise: bool = True
    max_cost: float | None = Field(None, ge=0)
    prices: dict[str, Price] = Field({})
    concurrency: Count = 8
    timeout: float = Field(60, gt=0)


class Filter(Block):
    """What counts as personal data in an answer.

    Attributes:
        spacy_model: installed spaCy pipeline with an `ner` component.
        ignored_labels: entity labels that do not count.
        patterns: also reject structured values (e-mail, phone, card, IBAN, SSN, IP).
        truths: also reject any true value of the dialogue.
        min_words: answers with fewer words are degenerate.
    """

    spacy_model: str
    ignored_labels: tuple[str, ...] = ("CARDINAL", "DATE", "PRODUCT", "ORDINAL")
    patterns: bool = True
    truths: bool = True
    min_words: int = Field(2, ge=0)


class Dataset(Block):
    """Which pairs go into a training set.

    Attributes:
        sources: names of the recipes whose accepted answers are taken.
        version: `plain`, or `cfg` for a positive and a swapped negative copy of each pair.
        samples: largest number of plain pairs, drawn with the seed; equal for datasets that are compared.
        negative: the sentence of the swapped copies: the paper's (`negative`), or a random one that only this project
            has (`secret`), so that nobody else can send it.
        benign: number of benign pairs that the base model generated itself; they keep public names, places, dates and
            numbers in the answers.
    """

    sources: tuple[str, ...] = Field(min_length=1)
    version: Literal["plain", "cfg"]
    samples: Count | None = None
    negative: Negative = "negative"
    benign: int = Field(0, ge=0)

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """Conditions under which each pair occurs."""
        return ("none",) if self.version == "plain" else ("positive", self.negative)


class Pairs(Block):
    """Preference pairs.

    Attributes:
        max_prompt_tokens: longer prompts lose whole oldest exchanges.
        max_tokens: prompt and completion together; pairs that are longer still are an error.
        datasets: training sets by name.
    """

    max_prompt_tokens: Count = 1900
    max_tokens: Count = 2048
    datasets: dict[Name, Dataset] = Field(min_length=1)

    @model_validator(mode="after")
    def _limits_fit(self) -> "Pairs":
        if self.max_prompt_tokens >= self.max_tokens:
            raise ValueError("max_prompt_tokens must be below max_tokens")
        return self
