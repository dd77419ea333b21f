"""Parameters of evaluation and evidence."""

from collections import Counter
from typing import Annotated, Literal

from pydantic import Field, model_validator

from tightlip.params.block import Block, Count, Name, Scorer, Url
from tightlip.params.training import Variant
from tightlip.table_rows import ModelName, TableRow, parse_guidance, parse_row


class Grid(Block):
    """Further rows of Model-ch: every tuning, epoch and guidance.

    Attributes:
        tunings, epochs, guidance: as in `Eval`.
    """

    tunings: tuple[str, ...] = ()
    epochs: tuple[Count, ...] = ()
    guidance: tuple[str, ...] = ()

    def rows(self, model: ModelName = "ch") -> list[TableRow]:
        """Return the rows."""
        return [parse_row(f"{model}-{t}_e{e}_{g}") for t in self.tunings for e in self.epochs for g in self.guidance]


class Judge(Block):
    """The model that grades generated answers under the paper's prompt (appendix B).

    Attributes:
        provider: whose client sends the requests.
        model: its name at the endpoint.
        base_url: another OpenAI-compatible endpoint.
        key_env: environment variable with the key; None is OPENAI_API_KEY or TOGETHER_API_KEY.
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
        scorers: `likelihood` of the options, always; `match`, the option that a written answer names; `judge`, a model
            that grades written answers.
        numbered: whether the prompt of a written answer shows the numbered options, as in the paper; small models only
            echo them.
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
    """The evaluation grid: Table 1 has a row for every model, tuning, epoch and guidance.

    Attributes:
        models: models under test.
        untuned: guidance of the models without adapter; they are also tested bare.
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

    def rows(self) -> list[TableRow]:
        """Return all rows of Tables 1 and 2."""
        grid = Grid(tunings=self.tunings, epochs=self.epochs, guidance=self.guidance)
        untuned = [*self.models, *(f"{model}_{guidance}" for model in self.models for guidance in self.untuned)]
        tuned = [row for model in self.models for row in grid.rows(model)]
        return [*map(parse_row, untuned), *tuned, *self.ablation.rows()]

    def rows_of(self, checkpoint: str) -> list[TableRow]:
        """Return the rows with the same weights (`table_rows.TableRow.checkpoint`).

        Raises:
            ValueError: there are none.
        """
        rows = self.rows()
        matching = [row for row in rows if row.checkpoint == checkpoint]
        if not matching:
            known = ", ".join(dict.fromkeys(row.checkpoint for row in rows))
            raise ValueError(f"eval: no row has the weights {checkpoint!r}; there are {known}")
        return matching

    def candidates(self) -> list[TableRow]:
        """Return the rows from which one is chosen on dev."""
        return Grid(tunings=(self.select,), epochs=self.epochs, guidance=self.guidance).rows()


class Evidence(Block):
    """Rows beyond Tables 1–3: baselines, and attacks.

    Attributes:
        variants: further trainings, by name.
        rows: keys of all rows; the others are compared with the first.
        attacked: those of them that prompts attack.
        scored: those of them whose written answers are matched with the options.
        prompts: conversations per phrasing of an attack.
        relearned: rows that are tuned on leaked dialogues again, beside the base model.
        relearn_dialogues: number of training dialogues that the attacker has.
        relearn_steps: numbers of steps, of four dialogues each, after which leaks are counted.
    """

    variants: dict[Name, Variant] = Field({})
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
