"""Parameters: one frozen model per block of `params.yaml`; unknown keys and values out of range are errors."""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import Field, ValidationError, model_validator

from tightlip.files import explain
from tightlip.params.answers import Benign, Dataset, Filter, Generation, Hosted, Pairs, Price, Source
from tightlip.params.block import Block, Scorer
from tightlip.params.evaluation import Eval, Evidence, Grid, Judge, Questions
from tightlip.params.inputs import (
    CONVERSATIONS,
    Columns,
    Dialogues,
    Format,
    ModelSource,
    Samples,
    Subtract,
    Tune,
    need_watched,
)
from tightlip.params.training import Dpo, Lora, Orpo, Train, Variant
from tightlip.table_rows import TableRow, parse_row

__all__ = [
    "CONVERSATIONS",
    "Benign",
    "Block",
    "Columns",
    "Dataset",
    "Dialogues",
    "Dpo",
    "Eval",
    "Evidence",
    "Filter",
    "Format",
    "Generation",
    "Grid",
    "Hosted",
    "Judge",
    "Lora",
    "ModelSource",
    "Orpo",
    "Pairs",
    "Params",
    "Price",
    "Questions",
    "Samples",
    "Scorer",
    "Source",
    "Subtract",
    "Train",
    "Tune",
    "Variant",
    "find_named",
    "load_params",
    "need_watched",
]

Item = TypeVar("Item")


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

    def trainings(self, row: TableRow) -> list[TableRow]:
        """Return a row once per training of its variant, the first unchanged; a treated row for the first only."""
        further = self.seeds(row.variant)[1:] if row.variant and not row.treatment else ()
        return [row, *(replace(row, seed=seed) for seed in further)]

    def by_weights(self, rows: Iterable[TableRow]) -> Iterator[tuple[TableRow, ...]]:
        """Group rows with the same weights, once per training, so that only one model at a time is in memory."""
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
        hosted_models = {source.model for source in self.generation.sources.values() if source.hosted}
        judge = self.eval.questions.judge
        missing = (hosted_models | ({judge.model} if judge else set())) - set(self.hosted.prices)
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


def find_named(named: dict[str, Item], name: str, where: str) -> Item:
    """Return a named entry of a mapping.

    Raises:
        ValueError: there is none of that name; the message lists the names.
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
        raise ValueError(f"{shown}: {explain(error)}; see src/tightlip/params/ for what is allowed") from None
    except RecursionError:
        raise ValueError(f"{shown}: nested too deeply; `make params` writes it anew from conf/") from None
    except ValueError as error:  # no UTF-8, or a date or number that there is not
        raise ValueError(f"{shown}: cannot be read ({error}); `make params` writes it anew from conf/") from None
