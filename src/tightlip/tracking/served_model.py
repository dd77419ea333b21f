"""The registered model as MLflow's models from code: this file is copied into each version and run on loading.

The adapter is part of the version; its base model is looked up by path and checked by SHA-256.
"""

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow
from mlflow.pyfunc import PythonModel
from pydantic import TypeAdapter, ValidationError

from tightlip.files import digest, explain
from tightlip.guidance.prompt_setup import PromptSetup
from tightlip.models.adapter_metadata import trained_negative
from tightlip.records import Message
from tightlip.table_rows import Guidance

ROOT_VARIABLE = "TIGHTLIP_ROOT"
"""Environment variable with the project's root, for projects that moved since the version was published."""

_MESSAGES = TypeAdapter(tuple[Message, ...])


class ServedModel(PythonModel):
    """A base model with an adapter, prompted with the defence sentence and guided away from the opposite one."""

    def load_context(self, context: Any) -> None:
        """Load the base that the adapter was made for, and the adapter into it."""
        from tightlip.models.loading import load_model
        from tightlip.models.tokenizer import load_tokenizer

        base = find_base(context.model_config["base"])
        self.model = load_model(base, adapter=context.artifacts["adapter"])
        self.tokenizer = load_tokenizer(base)
        self.negative = trained_negative(Path(context.artifacts["adapter"]))

    # No type hints: MLflow would infer the signature from them, and the params schema would be lost.
    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        """Answer every row greedily.

        Args:
            context: not used; `load_context` has read it.
            model_input: data frame with a column `prompt` (text of one user message) or `messages` (a conversation
                as JSON, `[{"role": …, "content": …}, …]`, ending with the user's).
            params: `guidance_scale` (γ ≥ 0), `space` (`log` or `prob`) and `max_new_tokens`.

        Returns:
            One answer per row.

        Raises:
            ValueError: a row or a parameter is invalid; messages name the row, never its text.
        """
        from tightlip.guidance.completion import complete

        guidance, max_new_tokens = _settings(params or {})
        max_prompt_tokens = self.model.config.max_position_embeddings - max_new_tokens
        conversations = [conversation(row, number) for number, row in enumerate(model_input.to_dict("records"))]
        completions = complete(
            self.model, self.tokenizer, [(messages, "") for messages in conversations],
            PromptSetup("positive", guidance, self.negative),
            max_prompt_tokens=max_prompt_tokens, max_new_tokens=max_new_tokens,
        )  # fmt: skip
        return [completion.text.strip() for completion in completions]


def find_base(base: Mapping[str, Any]) -> Path:
    """Return the directory of the base model that the adapter was made for.

    Args:
        base: reference as published: `root`, `path` below it, `sha256` of the directory.

    Raises:
        ValueError: it is missing, or its weights or tokenizer are others.
    """
    path = Path(os.environ.get(ROOT_VARIABLE, base["root"]), base["path"])
    remedy = (
        f"bring it back with `dvc checkout {base['path']}` at the commit in this version's tag tightlip.lock_sha, "
        f"or set {ROOT_VARIABLE} to the project that holds it"
    )
    if not path.is_dir():
        raise ValueError(f"{path}: the adapter's base model is missing; {remedy}")
    if (sha256 := digest(path)) != base["sha256"]:
        raise ValueError(
            f"{path}: not the model that this adapter was made for (sha256 {sha256[:12]}…, "
            f"expected {base['sha256'][:12]}…); {remedy}"
        )
    return path


def conversation(row: Mapping[str, Any], number: int) -> tuple[Message, ...]:
    """Read the messages of one input row.

    Raises:
        ValueError: neither or both columns are filled, broken JSON, or the last message is not the user's.
    """
    inputs = {name: row[name] for name in ("prompt", "messages") if isinstance(row.get(name), str)}
    if len(inputs) != 1:
        raise ValueError(f"row {number}: fill either the column prompt or the column messages, with text")
    if "prompt" in inputs:
        return (Message(role="user", content=inputs["prompt"]),)
    try:
        messages = _MESSAGES.validate_json(inputs["messages"])
    except ValidationError as error:
        raise ValueError(f"row {number}, messages: {explain(error)}; write [{{role, content}}, …] as JSON") from None
    if not messages or messages[-1].role != "user":
        raise ValueError(f"row {number}, messages: the last message must be the user's")
    return messages


def _settings(params: Mapping[str, Any]) -> tuple[Guidance, int]:
    scale, space = float(params["guidance_scale"]), params["space"]
    max_new_tokens = int(params["max_new_tokens"])
    if not 0 <= scale < math.inf:
        raise ValueError("guidance_scale: must be a number from 0")
    if space not in ("log", "prob"):
        raise ValueError("space: must be log or prob")
    if max_new_tokens < 1:
        raise ValueError("max_new_tokens: must be at least 1")
    return Guidance(scale, space), max_new_tokens


mlflow.models.set_model(ServedModel())
