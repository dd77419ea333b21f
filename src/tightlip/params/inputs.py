"""Inputs of a run: models and dialogues, and the first steps with them."""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from tightlip.params.block import Block, Count, Fraction

CONVERSATIONS = "conversations"
"""Folder of the dialogues to import: the one that DVC watches, and that git ignores."""


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
        """The columns that have a name."""
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
        count: number of dialogues to invent, or the largest number to import; None imports all.
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
        """Files and folders on this machine that are read."""
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
        train, dev, test: largest number of samples; None keeps all.
    """

    train: Count | None = None
    dev: Count | None = None
    test: Count | None = None


def need_watched(dialogues: Dialogues) -> None:
    """Check that DVC sees the imported files: it follows links to files, but not links to folders."""
    for path in map(Path, dialogues.local):
        link = next((each for each in (path, *path.parents) if each.is_symlink() and each.is_dir()), None)
        if link:
            raise ValueError(f"{link}: DVC does not look into a link to a folder; link its files, or copy them")
