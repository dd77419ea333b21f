"""The size of a model from its config, and the memory and disk that a run takes with it."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tightlip.doctor.model_checks import load_config, sources
from tightlip.params import ModelSource, Params

PROCESS = 0.5e9
"""Bytes of a process that has imported torch and transformers."""

PACKED = 2**31
"""Bytes of weights up to which the CPU decoder keeps a second, packed copy of them (`llama_decoding`)."""

CHUNK = 128
"""Tokens whose logits are in memory at a time in training (`models.scoring`)."""

OVERHEAD = 3.3
"""Empirical factor between saved activations and the peak memory of a training step on a CPU."""

HEAP_GROWTH = 1.9
"""Empirical factor for a process that loads one small model after another: the C library returns little memory."""

HEAD = 128
"""Width of an attention head of a guessed model."""

GUESSED_VOCABULARY = 128_256


@dataclass(frozen=True)
class ModelSize:
    """What a model's costs depend on.

    Attributes:
        parameters: number of all parameters.
        adapter: number of parameters of a LoRA of rank 1 on all linear layers.
        layers, hidden, inner, heads, vocabulary: of the architecture.
        cached: numbers that a token leaves in the key-value cache, over all layers.
        bytes: per weight.
        llama_on_cpu: whether this project's own CPU code for Llamas runs it.
        origin: where the config is from.
    """

    parameters: int
    adapter: int
    layers: int
    hidden: int
    inner: int
    heads: int
    vocabulary: int
    cached: int
    bytes: int
    llama_on_cpu: bool
    origin: str

    @property
    def weights(self) -> int:
        """Bytes of all weights."""
        return self.parameters * self.bytes


def measure_size(config: Any, dtype: str, origin: str, on_cpu: bool) -> ModelSize:
    """Build the model without weights and count its parameters."""
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    text, head = config.get_text_config(), model.get_output_embeddings()
    linear = [part for part in model.modules() if type(part) is torch.nn.Linear and part is not head]
    groups = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    width = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    return ModelSize(
        parameters=sum(weight.numel() for weight in model.parameters()),
        adapter=sum(part.in_features + part.out_features for part in linear),
        layers=text.num_hidden_layers, hidden=text.hidden_size, heads=text.num_attention_heads,
        inner=getattr(text, "intermediate_size", None) or 4 * text.hidden_size, vocabulary=text.vocab_size,
        cached=2 * text.num_hidden_layers * groups * width, bytes=2 if dtype == "bfloat16" else 4,
        llama_on_cpu=on_cpu and config.model_type == "llama", origin=origin,
    )  # fmt: skip


def find_config(source: ModelSource, root: Path, parameters: int | None = None) -> tuple[Any, str]:
    """Return a model's config and its origin; of a hub model that is not here, the config of a like-sized Llama.

    Args:
        source: where the model comes from.
        root: of the project.
        parameters: number of parameters, if the hub knows it.

    Raises:
        ValueError: the model is not on this machine, and its size is not in its name.
    """
    try:
        return load_config(source, root), source.name or "the random model"
    except OSError as error:
        if source.source != "hub":
            raise ValueError(f"{source.name}: no config.json of a model that transformers knows") from error
    count = parameters or size_in_name(source.name)
    if not count:
        raise ValueError(f"{source.name}: it is not in the cache, and its name does not say its size")
    return guess_config(count), f"guessed from {'the hub’s parameter count' if parameters else 'its name'}"


def size_in_name(name: str) -> int | None:
    """Read the number of parameters in a name such as `Llama-3.1-8B-Instruct`."""
    match = re.search(r"[-_](\d+(?:\.\d+)?)([bm])(?![a-z0-9])", name, re.IGNORECASE)
    return round(float(match[1]) * (1e9 if match[2] in "bB" else 1e6)) if match else None


def guess_config(parameters: int) -> Any:
    """Return the config of a Llama of about so many parameters, with the proportions of Llama-3.1-8B."""
    from transformers import LlamaConfig

    # Per layer 2 C² for query and output, C² / 2 for keys and values, 10.5 C² for the MLP; C / 128 layers.
    def size(width: int) -> int:
        return 13 * width**3 // HEAD + 2 * GUESSED_VOCABULARY * width

    width = min(range(HEAD, 256 * HEAD, HEAD), key=lambda width: abs(size(width) - parameters))
    heads = width // HEAD
    return LlamaConfig(
        hidden_size=width, intermediate_size=7 * width // 2, num_hidden_layers=heads, num_attention_heads=heads,
        num_key_value_heads=max(divisor for divisor in range(1, heads // 4 + 2) if heads % divisor == 0),
        vocab_size=GUESSED_VOCABULARY, max_position_embeddings=8192, tie_word_embeddings=False,
    )  # fmt: skip


def evaluation_bytes(size: ModelSize, rows: int, length: float) -> float:
    """Return the peak memory of answering prompts.

    It is the weights, twice where the CPU decoder packs them; the key-value cache, doubled while it grows and again
    for prompts that the CPU decoder reads ahead; three tables of logits in float32.

    Args:
        size: of the model.
        rows: of a batch; two per guided prompt.
        length: tokens of the longest prompt with its answer.
    """
    cache = rows * length * size.cached * size.bytes
    return (
        size.weights * (2 if _packs(size) else 1)
        + (4 if size.llama_on_cpu else 2) * cache
        + 12 * rows * size.vocabulary
    )


def evidence_bytes(size: ModelSize, evaluation: float) -> float:
    """Return the peak memory of `test_evidence`, which keeps the base model beside each model under test."""
    return (evaluation + size.weights) * (HEAP_GROWTH if _packs(size) else 1)


def training_bytes(size: ModelSize, batch_size: int, length: float, rank: int) -> float:
    """Return the peak memory of a training step.

    It is the frozen weights; a LoRA's weights, gradients and two moments of AdamW in float32; a chunk of logits in two
    types; hidden states; and the activations that the backward pass needs.

    Args:
        size: of the model.
        batch_size: rows.
        length: tokens of the longest row: a prompt with both of its answers, or a dialogue.
        rank: of the LoRA.
    """
    activations = 20.0 * size.hidden + 10 * size.inner  # bytes per token and layer
    if size.llama_on_cpu:
        numbers = 6 * size.hidden + 3 * size.inner + size.heads * length + size.cached / size.layers
        activations = OVERHEAD * 2 * numbers
    tokens = batch_size * length
    logits = CHUNK * size.vocabulary * (size.bytes + 4)
    return (
        size.weights
        + 16 * size.adapter * rank
        + tokens * size.layers * activations
        + logits
        + 12 * tokens * size.hidden
    )


def _packs(size: ModelSize) -> bool:
    return size.llama_on_cpu and size.weights <= PACKED


def disk_bytes(params: Params, size: ModelSize) -> dict[str, float]:
    """Return the disk that a whole run writes at most: DVC's cache holds copies, MLflow the main adapters again."""
    adapter = 4.0 * size.adapter * params.train.lora.rank * params.train.epochs
    main = adapter * sum(len(params.seeds(name)) for name in params.train.variants)
    adapters = main + adapter * sum(len(params.seeds(name)) for name in params.evidence.variants)
    models = 3.0 * size.weights
    hub = size.weights * sum(source.source == "hub" for source in sources(params).values())
    return {
        "models": models,
        "adapters": adapters,
        "DVC's cache": models + adapters,
        "hub's cache": hub,
        "MLflow": main,
    }
