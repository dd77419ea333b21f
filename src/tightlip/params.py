"""Parameters: one frozen model per block of `params.yaml`; unknown keys and values out of range are errors."""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from tightlip.files import explain
from tightlip.records import Condition, Negative
from tightlip.rows import ModelName, Row, parse_guidance, parse_row

Item = TypeVar("Item")

CONVERSATIONS = "conversations"
"""Folder of the dialogues to import: the one that DVC watches, and that git ignores."""


def _different(seeds: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(seeds)) < len(seeds):
        raise ValueError("a seed is there twice; the same training twice says nothing new")
    return seeds


Name = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=60)]
"""Lower-case letters, digits and hyphens: it becomes a file's name and a word of a command."""

Fraction = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(gt=0)]
Scorer = Literal["likelihood", "match", "judge"]
Url = Annotated[str, Field(pattern=r"^https?://[^\s/]+")]
Seeds = Annotated[tuple[Annotated[int, Field(ge=0, lt=2**31)], ...], Field(min_length=1), AfterValidator(_different)]


class Block(BaseModel):
    """Base of all blocks: immutable, unknown keys rejected."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ModelSource(Block):
    """Where a model comes from.

    Attributes:
        source: `package` (a GGUF file inside an installed Python package), `hub`, `path` or `random`
            (a seeded two-layer Llama with a tokenizer trained on the spot, for tests).
        name: `package/file.gguf`, hub id, directory, or empty for `random`.
        revision: commit of a hub model; required there, so that a run can be repeated.
        dtype: type of the stored weights.
    """

    source: Literal["package", "hub", "path", "random"]
    name: str = ""
    revision: str | None = None
    dtype: Literal["bfloat16", "float32"] = "bfloat16"

    @model_validator(mode="after")
    def _complete(self) -> "ModelSource":
        if self.source != "random" and not self.name:
            raise ValueError("name is required for this source")
        if self.source == "hub" and not self.revision:
            raise ValueError("revision is required for a hub model")
        return self


class Columns(Block):
    """Columns of a table or dataset. Named are either those of a turn, or those of a whole dialogue.

    Attributes:
        conversation, role, content: one row per turn; the rows of a conversation stand together.
        messages: one row per dialogue, its messages as a list or as JSON.
        prompt, response: one row per dialogue of a single exchange.
        pii: list of the personal values, or JSON; optional in all three.
    """

    conversation: str | None = None
    role: str | None = None
    content: str | None = None
    messages: str | None = None
    prompt: str | None = None
    response: str | None = None
    pii: str | None = None

    @property
    def named(self) -> dict[str, str]:
        """Those that are named."""
        return self.model_dump(exclude_none=True)

    @model_validator(mode="after")
    def _one_layout(self) -> "Columns":
        named = set(self.named) - {"pii"}
        if named and named not in ({"conversation", "role", "content"}, {"messages"}, {"prompt", "response"}):
            raise ValueError("name conversation, role and content, or messages, or prompt and response")
        return self


Format = Literal["synthetic", "chat", "sharegpt", "table", "dataset", "challenge"]

_FIELDS: dict[Format, tuple[set[str], set[str]]] = {
    "synthetic": ({"count"}, set()),
    "chat": ({"path"}, set()),
    "sharegpt": ({"path"}, set()),
    "table": ({"path", "columns"}, set()),
    "dataset": ({"path", "columns"}, {"revision", "split"}),
    "challenge": ({"path", "values"}, set()),
}
"""Per format the fields that it needs and those that it may have, beside `count` and the shares."""


class Dialogues(Block):
    """Where the dialogues come from.

    Attributes:
        format: `synthetic`, or an import: `chat` (OpenAI's JSONL), `sharegpt` (JSON or JSONL), `table` (CSV or
            parquet), `dataset` (Hugging Face's, of the hub or in a folder), `challenge` (the LLM Privacy Challenge's).
        count: how many to invent; of an import, how many to take at most, None for all.
        path: file or folder, in `conversations/`; or, with a revision, a dataset of the hub.
        values: the challenge's file of values, in `conversations/`.
        revision: commit of a hub's dataset; required there, so that a run can be repeated.
        split: of a dataset.
        columns: of a table or dataset.
        dev, test: shares of the dialogues held out; the rest is for training. Met exactly by synthetic dialogues, on
            average by imported ones, whose split follows from their content.
    """

    format: Format = "synthetic"
    count: Count | None = None
    path: str = ""
    values: str = ""
    revision: str | None = None
    split: str = ""
    columns: Columns = Columns()
    dev: Fraction
    test: Fraction

    @model_validator(mode="after")
    def _complete(self) -> "Dialogues":
        needed, optional = _FIELDS[self.format]
        given = {name for name in ("count", "path", "values", "revision", "split") if getattr(self, name)}
        given |= {"columns"} if set(self.columns.named) - {"pii"} else set()
        for name in sorted(needed - given):
            raise ValueError(f"{name} is required for the format {self.format}")
        for name in sorted(given - needed - optional - {"count"}):
            raise ValueError(f"{name} means nothing to the format {self.format}; leave it out")
        return self

    @model_validator(mode="after")
    def _train_left(self) -> "Dialogues":
        if self.dev + self.test >= 1:
            raise ValueError("dev + test must leave dialogues for training")
        return self

    @property
    def local(self) -> list[str]:
        """Files and folders on this machine that it reads."""
        return [path for path in (self.path if not self.revision else "", self.values) if path]


class Tune(Block):
    """Tuning of Model-ch on the training dialogues.

    Attributes:
        given: take this tuned model instead of tuning one.
        epochs: passes over the training dialogues.
        learning_rate: peak rate of AdamW, cosine to zero.
        batch_size: dialogues per step.
        rank: r of the LoRA on all linear layers (α = r) that is merged into the weights afterwards.
        max_length: tokens per dialogue; longer ones lose whole oldest exchanges.
        attack_dialogues: training dialogues attacked to show what was memorised.
    """

    given: ModelSource | None = None
    epochs: Count = 3
    learning_rate: float = Field(1e-3, gt=0, lt=1)
    batch_size: Count = 4
    rank: Count = 64
    max_length: Count = 512
    attack_dialogues: Count = 60


class Subtract(Block):
    """Model-sub = base − scale · activation(Model-ch − base).

    Attributes:
        scale: λ of the task vector; the paper uses 0.5.
        activation: `identity`, or `relu` to subtract positive changes alone.
    """

    scale: float = Field(0.5, ge=0, le=2)
    activation: Literal["identity", "relu"] = "identity"


class Samples(Block):
    """Samples per split, drawn evenly over the dialogues.

    Attributes:
        train, dev, test: how many samples to keep at most; None keeps all.
    """

    train: Count | None = None
    dev: Count | None = None
    test: Count | None = None


class Source(Block):
    """One recipe for candidate answers (arXiv 2412.06846, section 2.2).

    Attributes:
        provider: `local` (the base model here), `rewriter` (rule-based), `openai` or `together`.
        model: hosted model name; empty for the local providers.
        base_url: another OpenAI-compatible endpoint.
        key_env: environment variable with the key; OPENAI_API_KEY or TOGETHER_API_KEY without.
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

    @model_validator(mode="after")
    def _hosted_needs_model(self) -> "Source":
        if self.provider in ("openai", "together") and not self.model:
            raise ValueError("model is required for a hosted provider")
        return self


class Harmless(Block):
    """Harmless questions that the base model asks itself (`generation.harmless`).

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
        harmless: questions that the base model asks itself.
        sources: recipes by name.
    """

    batch_size: Count = 32
    harmless: Harmless = Harmless()
    sources: dict[Name, Source] = Field(min_length=1)


class Price(Block):
    """What a hosted model costs.

    Attributes:
        input, output: dollars per million tokens of prompts and of answers.
    """

    input: float = Field(ge=0)
    output: float = Field(ge=0)


class Hosted(Block):
    """How hosted models are asked, as sources and as judge.

    Attributes:
        pseudonymise: replace personal values by surrogates before a request leaves this machine.
        max_cost: dollars that all requests of this project together may cost, ever; None sets no limit.
        prices: by model; with `max_cost`, every hosted model needs one.
        concurrency: requests under way at a time.
        timeout: seconds per attempt.
    """

    pseudonymise: bool = True
    max_cost: float | None = Field(None, ge=0)
    prices: dict[str, Price] = {}
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
        samples: how many plain pairs at most, drawn with the seed; equal for datasets that are compared.
        negative: the sentence of the swapped copies: the paper's (`negative`), or a random one that this project keeps
            to itself (`secret`), so that nobody else can say it.
        harmless: of how many answers that the base model gave to its own harmless questions pairs are added, so that
            public names, places, dates and numbers are still said.
    """

    sources: tuple[str, ...] = Field(min_length=1)
    version: Literal["plain", "cfg"]
    samples: Count | None = None
    negative: Negative = "negative"
    harmless: int = Field(0, ge=0)

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """Under which sentences each pair occurs."""
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


class Variant(Block):
    """A model tuned on a dataset.

    Attributes:
        model: which model carries the adapter.
        dataset: which pairs it is trained on.
        objective: `orpo`; or, to compare it with, `dpo` or `sft` (fine-tuning on the chosen answers alone).
        nll_on: another choice than `Orpo.nll_on`.
        seeds: another choice than `Train.seeds`.
        learning_rate: another choice than `Train.learning_rate`.
    """

    model: ModelName
    dataset: str
    objective: Literal["orpo", "dpo", "sft"] = "orpo"
    nll_on: Literal["completion", "sequence"] | None = None
    seeds: Seeds | None = None
    learning_rate: float | None = Field(None, gt=0, lt=1)


class Orpo(Block):
    """The ORPO objective (arXiv 2403.07691).

    Attributes:
        beta: weight of the odds-ratio term.
        nll_on: `completion` masks the prompt in the likelihood term, `sequence` is TRL's and the paper's way.
    """

    beta: float = Field(0.1, gt=0)
    nll_on: Literal["completion", "sequence"] = "completion"


class Dpo(Block):
    """The DPO objective (arXiv 2305.18290).

    Attributes:
        beta: how much a change against the untrained model costs.
    """

    beta: float = Field(0.1, gt=0)


class Lora(Block):
    """LoRA on all linear layers.

    Attributes:
        rank: r.
        alpha: α; the update is scaled by α/r.
        dropout: probability of dropping an input of the adapter.
        keep: share of the trained update that the kept adapters apply, in (0, 1]; below 1, the weights lie between
            the untrained and the trained model's (WiSE-FT, arXiv 2109.01903).
    """

    rank: Count = 16
    alpha: Count = 32
    dropout: float = Field(0.01, ge=0, lt=1)
    keep: float = Field(1.0, gt=0, le=1)


class Train(Block):
    """ORPO training.

    Attributes:
        epochs: passes over the pairs; the adapter of each is kept.
        batch_size: pairs per step.
        learning_rate: peak rate of AdamW; cosine down to `min_learning_rate_ratio` of it, no warm-up.
        max_grad_norm: gradient clipping.
        save_seconds: how often a training, of Model-ch too, writes a checkpoint from which it goes on after an
            interruption; what comes out does not depend on it.
        seeds: every variant is trained once per seed, and its rows are the means of these trainings; the first one's
            adapters are those that chat, the registry and the attacks take.
        variants: what is trained, by name.
    """

    epochs: Count = 3
    batch_size: Count = 2
    learning_rate: float = Field(1e-4, gt=0, lt=1)
    min_learning_rate_ratio: float = Field(0.1, ge=0, le=1)
    max_grad_norm: float = Field(1.0, gt=0)
    save_seconds: float = Field(60.0, ge=0)
    seeds: Seeds = (0,)
    orpo: Orpo = Orpo()
    dpo: Dpo = Dpo()
    lora: Lora = Lora()
    variants: dict[Name, Variant] = Field(min_length=1)


class Grid(Block):
    """Further rows of Model-ch: every tuning, epoch and way of guiding.

    Attributes:
        tunings, epochs, guidance: as in `Eval`.
    """

    tunings: tuple[str, ...] = ()
    epochs: tuple[Count, ...] = ()
    guidance: tuple[str, ...] = ()

    def rows(self, model: ModelName = "ch") -> list[Row]:
        """Return the rows."""
        return [parse_row(f"{model}-{t}_e{e}_{g}") for t in self.tunings for e in self.epochs for g in self.guidance]


class Judge(Block):
    """The model that judges generated answers under the paper's prompt (appendix B).

    Attributes:
        provider: whose client asks it.
        model: its name at the endpoint.
        base_url: another OpenAI-compatible endpoint.
        key_env: environment variable with the key; OPENAI_API_KEY or TOGETHER_API_KEY without.
    """

    provider: Literal["openai", "together"] = "openai"
    model: str = Field(min_length=1)
    base_url: Url | None = None
    key_env: str | None = Field(None, min_length=1)


class Questions(Block):
    """The questions that usefulness is measured with, in MMLU-Pro's schema.

    Attributes:
        source: `bundled` (our own easy ones), `path` (a JSONL or parquet file) or `hub`.
        name: path of the file, with `{split}` where the split's name goes; id of the hub's data set.
        revision: commit of the hub's data set; required there, so that a run can be repeated.
        dev: split by which the setting is chosen.
        test: split of the tables.
        scorers: `likelihood` of the options, always; `match` written answers with the options; `judge` them by a model.
        numbered: whether answers are asked for with the numbered options, as in the paper; small models only echo them.
        judge: which model.
    """

    source: Literal["bundled", "path", "hub"] = "bundled"
    name: str = ""
    revision: str | None = None
    dev: str = "validation"
    test: str = "test"
    scorers: tuple[Scorer, ...] = ("likelihood",)
    numbered: bool = True
    judge: Judge | None = None

    @model_validator(mode="after")
    def _complete(self) -> "Questions":
        if self.source != "bundled" and not self.name:
            raise ValueError("name is required for this source")
        if self.source == "hub" and not self.revision:
            raise ValueError("revision is required for a data set of the hub")
        if self.dev == self.test:
            raise ValueError("dev and test must be different splits; what is chosen on one is tested on the other")
        if "likelihood" not in self.scorers:
            raise ValueError("scorers: likelihood must be there; the setting is chosen by it")
        if len(set(self.scorers)) < len(self.scorers):
            raise ValueError("scorers: one is there twice; name each once")
        if "judge" in self.scorers and self.judge is None:
            raise ValueError("judge is required for the scorer judge; say which model judges")
        return self


class Eval(Block):
    """The evaluation grid: Table 1 has a row for every model, tuning, epoch and way of guiding.

    Attributes:
        models: models under test.
        untuned: ways of guiding the models without adapter; they are also tested bare.
        tunings: variants without their model's name (`lora-cfg` for `ch-lora-cfg` and `sub-lora-cfg`).
        epochs: epochs whose adapters are tested.
        guidance: `g<γ × 100>` for γ = 1, else `g<γ × 100>_<space>`.
        ablation: rows of Table 2.
        extended: rows of Table 3, also scored on the test prompts beyond the first `prompts`.
        select: tuning of Model-ch whose epoch, γ and space are chosen on the dev split.
        prompts: test prompts of Tables 1 and 2.
        batch_size: prompts per batch.
        max_new_tokens: per answer.
        questions: for usefulness.
        margin: points of Model-ch's usefulness that the setting chosen on dev may lose as deployed.
    """

    models: tuple[ModelName, ...] = ("ch", "sub")
    untuned: tuple[str, ...] = ()
    tunings: tuple[str, ...] = Field(min_length=1)
    epochs: tuple[Count, ...] = Field(min_length=1)
    guidance: tuple[str, ...] = Field(min_length=1)
    ablation: Grid = Grid()
    extended: Grid = Grid()
    select: str
    prompts: Count = 50
    batch_size: Count = 50
    max_new_tokens: Count = 256
    questions: Questions = Questions()
    margin: float = Field(5.0, ge=0, le=100)

    @model_validator(mode="after")
    def _guidance_parses(self) -> "Eval":
        for text in (*self.untuned, *self.guidance, *self.ablation.guidance, *self.extended.guidance):
            parse_guidance(text)
        return self

    @model_validator(mode="after")
    def _rows_differ(self) -> "Eval":
        twice = [row.key for row, count in Counter(self.rows()).items() if count > 1]
        if twice:
            raise ValueError(f"row {twice[0]} is there twice; name every tuning, epoch and guidance once")
        in_both = set(self.tunings) & set(self.ablation.tunings)
        if in_both:
            raise ValueError(f"ablation.tunings: {min(in_both)} is in tunings too; a tuning belongs to one of them")
        return self

    def rows(self) -> list[Row]:
        """Return all rows of Tables 1 and 2."""
        grid = Grid(tunings=self.tunings, epochs=self.epochs, guidance=self.guidance)
        untuned = [*self.models, *(f"{model}_{guidance}" for model in self.models for guidance in self.untuned)]
        tuned = [row for model in self.models for row in grid.rows(model)]
        return [*map(parse_row, untuned), *tuned, *self.ablation.rows()]

    def rows_of(self, checkpoint: str) -> list[Row]:
        """Return the rows with the same weights (`rows.Row.checkpoint`).

        Raises:
            ValueError: there are none.
        """
        rows = self.rows()
        found = [row for row in rows if row.checkpoint == checkpoint]
        if not found:
            known = ", ".join(dict.fromkeys(row.checkpoint for row in rows))
            raise ValueError(f"eval: no row has the weights {checkpoint!r}; there are {known}")
        return found

    def candidates(self) -> list[Row]:
        """Return the rows among which dev chooses."""
        return Grid(tunings=(self.select,), epochs=self.epochs, guidance=self.guidance).rows()


class Evidence(Block):
    """Rows beyond Tables 1–3: what else could be done, and what attackers get out.

    Attributes:
        variants: further trainings, by name.
        rows: keys of all rows; the others are compared with the first.
        attacked: those of them that prompts attack.
        scored: those of them whose written answers are matched with the options.
        prompts: conversations per phrasing of an attack.
        relearned: rows that are tuned on leaked dialogues again, beside the base model.
        relearn_dialogues: how many training dialogues the attacker has.
        relearn_steps: after how many steps of four dialogues the leaks are counted.
    """

    variants: dict[Name, Variant] = {}
    rows: tuple[str, ...] = Field(min_length=1)
    attacked: tuple[str, ...] = ()
    scored: tuple[str, ...] = ()
    prompts: Count = 25
    relearned: tuple[str, ...] = ()
    relearn_dialogues: Count = 8
    relearn_steps: tuple[Annotated[int, Field(ge=0)], ...] = (0, 2, 8)

    @model_validator(mode="after")
    def _rows_parse(self) -> "Evidence":
        for key in self.rows:
            parse_row(key)
        for name, keys in (("attacked", self.attacked), ("scored", self.scored), ("relearned", self.relearned)):
            unknown = set(keys) - set(self.rows)
            if unknown:
                raise ValueError(f"{name}: {min(unknown)} is not among the rows; add it there too")
        return self


class Params(Block):
    """Everything in `params.yaml`.

    Attributes:
        profile: name of the profile the file was composed from.
        seed: the one seed that decides everything.
    """

    profile: str
    seed: int = Field(ge=0, lt=2**31)
    base: ModelSource
    dialogues: Dialogues
    tune: Tune
    subtract: Subtract
    samples: Samples
    generation: Generation
    hosted: Hosted = Hosted()
    filter: Filter
    pairs: Pairs
    train: Train
    eval: Eval
    evidence: Evidence

    @property
    def variants(self) -> dict[str, Variant]:
        """All trainings by name."""
        return self.train.variants | self.evidence.variants

    def seeds(self, variant: str) -> tuple[int, ...]:
        """Return the seeds that a variant is trained with."""
        return self.variants[variant].seeds or self.train.seeds

    def trainings(self, row: Row) -> list[Row]:
        """Return a row once per training of its variant, the first as it is; a treated row is of the first alone."""
        further = self.seeds(row.variant)[1:] if row.variant and not row.treatment else ()
        return [row, *(replace(row, seed=seed) for seed in further)]

    def by_weights(self, rows: Iterable[Row]) -> Iterator[tuple[Row, ...]]:
        """Group rows with the same weights, once per training, so that one model at a time need be in memory."""
        for _, same in itertools.groupby(rows, key=lambda row: row.checkpoint):
            for trained in itertools.zip_longest(*map(self.trainings, same)):
                yield tuple(filter(None, trained))  # a treated row is of the first training alone

    @model_validator(mode="after")
    def _sources_are_watched(self) -> "Params":
        for path in self.dialogues.local:
            if Path(path).parts[:1] != (CONVERSATIONS,) or ".." in Path(path).parts:
                remedy = "" if self.dialogues.format != "dataset" else "; a dataset of the hub needs a revision"
                raise ValueError(
                    f"dialogues: {path} is not in {CONVERSATIONS}/, where DVC sees a change; put it or a link to it "
                    f"there{remedy}"
                )
        return self

    @model_validator(mode="after")
    def _prices_known(self) -> "Params":
        asked = {
            source.model for source in self.generation.sources.values() if source.provider in ("openai", "together")
        }
        judge = self.eval.questions.judge
        missing = (asked | ({judge.model} if judge else set())) - set(self.hosted.prices)
        if self.hosted.max_cost is not None and missing:
            raise ValueError(f"hosted.prices: {min(missing)} has no price; without one, hosted.max_cost cannot be kept")
        return self

    @model_validator(mode="after")
    def _names_resolve(self) -> "Params":
        for name, dataset in self.pairs.datasets.items():
            _known(dataset.sources, self.generation.sources, f"pairs.datasets.{name}.sources", "generation.sources")
        both = set(self.train.variants) & set(self.evidence.variants)
        if both:
            raise ValueError(f"evidence.variants.{min(both)}: there is a variant of that name in train.variants")
        for name, variant in self.variants.items():
            where = "train.variants" if name in self.train.variants else "evidence.variants"
            _known([variant.dataset], self.pairs.datasets, f"{where}.{name}.dataset", "pairs.datasets")
            if not name.startswith(f"{variant.model}-"):
                raise ValueError(f"{where}.{name}: the name must start with its model, {variant.model}-")
        tables, evidence = [*self.eval.rows(), *self.eval.candidates()], map(parse_row, self.evidence.rows)
        for block, rows, known in (("eval", tables, self.train.variants), ("evidence", evidence, self.variants)):
            for row in rows:
                if row.variant and row.epoch:
                    _known([row.variant], known, f"{block}: row {row.key}", "train.variants")
                    if row.epoch > self.train.epochs:
                        raise ValueError(f"{block}: row {row.key} is beyond train.epochs = {self.train.epochs}")
        missing = set(self.eval.extended.rows()) - set(self.eval.rows())
        if missing:
            row = min(missing, key=lambda row: row.key)
            raise ValueError(f"eval.extended: {row.key} is no row of Table 1 or 2; add it there too")
        return self


def _known(names: Any, known: dict[str, Any], where: str, defined: str) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"{where}: {name!r} is not defined in {defined} ({', '.join(known)})")


def need_watched(dialogues: Dialogues) -> None:
    """Check that DVC sees what is imported: it follows links to files, but none to folders."""
    for path in map(Path, dialogues.local):
        link = next((each for each in (path, *path.parents) if each.is_symlink() and each.is_dir()), None)
        if link:
            raise ValueError(f"{link}: DVC does not look into a link to a folder; link its files, or copy them")


def pick(named: dict[str, Item], name: str, where: str) -> Item:
    """Return a named entry of a block.

    Raises:
        ValueError: there is none of that name; the message lists those there are.
    """
    if name not in named:
        raise ValueError(f"{where}: no {name!r}; there are {', '.join(named)}")
    return named[name]


def load_params(path: str | Path = "params.yaml", shown: str | Path | None = None) -> Params:
    """Read and check all parameters.

    Args:
        path: the file.
        shown: the file to name in errors, where this one was made from it.

    Raises:
        ValueError: missing file, broken YAML, unknown key or value out of range, with the key's path.
    """
    path, shown = Path(path), shown or path
    if not path.is_file():
        raise ValueError(f"{shown}: no such file; run from the project's root")
    try:
        return Params.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except yaml.YAMLError as error:
        place = getattr(error, "problem_mark", None)
        line = f":{place.line + 1}" if place else ""
        raise ValueError(f"{shown}{line}: not YAML; fix the syntax") from None
    except ValidationError as error:
        raise ValueError(f"{shown}: {explain(error)}; see src/tightlip/params.py for what is allowed") from None
    except RecursionError:
        raise ValueError(f"{shown}: nested too deeply; `make params` writes it anew from conf/") from None
    except ValueError as error:  # no UTF-8, or a date or number that there is not
        raise ValueError(f"{shown}: cannot be read ({error}); `make params` writes it anew from conf/") from None
