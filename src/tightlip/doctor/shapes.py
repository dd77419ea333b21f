"""The size of a model, from its config alone: no weights are read."""

import re
from dataclasses import dataclass
from typing import Any

from tightlip.models.packaged import find_packaged
from tightlip.params import ModelSource

STEP = 128
"""Widths of a guessed model are multiples of it; its heads are as wide."""

GUESSED_VOCABULARY = 128_256


@dataclass(frozen=True)
class Shape:
    """What a model's costs depend on.

    Attributes:
        parameters: all of them.
        body: those that every token passes: all but embeddings and head.
        head: those that only scored tokens pass.
        adapter: of a LoRA of rank 1 on all linear layers.
        layers, hidden, inner, heads, vocabulary: of the architecture.
        cached: numbers that a token leaves in the cache, over all layers.
        bytes: per weight.
        origin: where the config is from.
        exact: whether it is the model's own.
    """

    parameters: int
    body: int
    head: int
    adapter: int
    layers: int
    hidden: int
    inner: int
    heads: int
    vocabulary: int
    cached: int
    bytes: int
    origin: str
    exact: bool = True

    @property
    def weights(self) -> int:
        """Bytes of all weights."""
        return self.parameters * self.bytes


def measure_shape(config: Any, dtype: str, origin: str, exact: bool = True) -> Shape:
    """Build the model without weights and count.

    Args:
        config: transformers' config of a causal language model.
        dtype: of the weights, `bfloat16` or `float32`.
        origin, exact: see `Shape`.
    """
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    text, head = config.get_text_config(), model.get_output_embeddings()
    embeddings = {id(part.weight): part.weight.numel() for part in (head, model.get_input_embeddings())}
    total = sum(weight.numel() for weight in model.parameters())
    linear = [part for part in model.modules() if type(part) is torch.nn.Linear and part is not head]
    groups = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    return Shape(
        parameters=total,
        body=total - sum(embeddings.values()),
        head=head.weight.numel(),
        adapter=sum(part.in_features + part.out_features for part in linear),
        layers=text.num_hidden_layers,
        hidden=text.hidden_size,
        inner=getattr(text, "intermediate_size", None) or 4 * text.hidden_size,
        heads=text.num_attention_heads,
        vocabulary=text.vocab_size,
        cached=2 * text.num_hidden_layers * groups * size,
        bytes=2 if dtype == "bfloat16" else 4,
        origin=origin,
        exact=exact,
    )


def find_config(source: ModelSource, parameters: int | None = None) -> tuple[Any, str, bool]:
    """Find a model's config without a network, or guess it.

    Args:
        source: where the model comes from.
        parameters: of a hub model, if the hub said.

    Returns:
        The config, where it is from, and whether it is the model's own.

    Raises:
        ValueError: a model that should be on this machine is not, or its size is not known and not in its name.
    """
    from transformers import AutoConfig

    if source.source == "random":
        from tightlip.models.random_model import random_model, random_tokenizer

        return random_model(random_tokenizer(), 0).config, "the random model", True
    if source.source == "package":
        folder, file = find_packaged(source.name)
        return AutoConfig.from_pretrained(folder, gguf_file=file), f"the package's {file}", True
    try:
        config = AutoConfig.from_pretrained(source.name, revision=source.revision, local_files_only=True)
    except (OSError, ValueError) as error:
        if source.source == "path":
            raise ValueError(f"{source.name}: no config.json of a model that transformers knows") from error
    else:
        return config, source.name, True
    told = parameters or size_in_name(source.name)
    if not told:
        raise ValueError(f"{source.name}: its size is not known: it is not in the cache, and the name does not say")
    return guess_config(told), "the hub's parameter count" if parameters else "the name", False


def size_in_name(name: str) -> int | None:
    """Read the parameter count in a name such as `Llama-3.1-8B-Instruct`."""
    match = re.search(r"[-_](\d+(?:\.\d+)?)([bm])(?![a-z0-9])", name, re.IGNORECASE)
    return round(float(match[1]) * (1e9 if match[2] in "bB" else 1e6)) if match else None


def guess_config(parameters: int) -> Any:
    """Return the config of a Llama of about so many parameters, with the proportions of Llama-3.1-8B."""
    from transformers import LlamaConfig

    # Per layer 2 C² for query and output, C² / 2 for keys and values, 10.5 C² for the MLP; C / 128 layers.
    def size(width: int) -> int:
        return 13 * width**3 // STEP + 2 * GUESSED_VOCABULARY * width

    width = min(range(STEP, 256 * STEP, STEP), key=lambda width: abs(size(width) - parameters))
    heads = width // STEP
    return LlamaConfig(
        hidden_size=width, intermediate_size=7 * width // 2, num_hidden_layers=heads, num_attention_heads=heads,
        num_key_value_heads=max(divisor for divisor in range(1, heads // 4 + 2) if heads % divisor == 0),
        vocab_size=GUESSED_VOCABULARY, max_position_embeddings=8192, tie_word_embeddings=False,
    )  # fmt: skip
