"""Memory and disk that a run takes, by arithmetic."""

from tightlip.doctor.shapes import Shape
from tightlip.params import Params

PACKED = 2**31
"""Bytes of weights up to which the written-out decoder keeps a second, packed copy of them (`llama_decoding`)."""

CHUNK = 128
"""Tokens whose logits are held at a time in training (`models.scoring`)."""

PROCESS = 0.5e9
"""Bytes of a process that has imported torch and transformers, and perhaps spaCy or TRL."""

OVERHEAD = 3.3
"""What the written-out layers keep, times this, is what a training's peak was seen to grow by: the backward pass has
tables of its own, and the allocator holds on to what was of another size."""

HELD = 1.9
"""Where small models come and go in one process, its peak was seen to be so much more than what one takes: of tensors
below 32 MB the C library gives little back to the system."""


def inference_bytes(shape: Shape, rows: int, length: float, written_out: bool) -> float:
    """Memory for answering prompts.

    Weights, twice where the written-out decoder packs them; keys and values of all rows, twice while the cache grows,
    in the weights' type; logits of all rows in float32, three tables of them (branches, guided, normalised); and, in
    the written-out decoder, the states of prompts that are read ahead, about twice those of a batch.

    Args:
        shape: of the model.
        rows: of the batch, two per guided prompt.
        length: tokens of the longest prompt with its answer.
        written_out: whether the model is a Llama on a CPU.
    """
    packed = shape.weights if _packs(shape, written_out) else 0
    states = rows * length * shape.cached * shape.bytes
    tables = 4 if written_out else 2
    return shape.weights + packed + tables * states + 3 * 4 * rows * shape.vocabulary


def one_after_another(shape: Shape, one: float, written_out: bool) -> float:
    """Memory of a process in which several models come and go, of which each takes `one`."""
    return HELD * one if _packs(shape, written_out) else one


def _packs(shape: Shape, written_out: bool) -> bool:
    return written_out and shape.weights <= PACKED


def training_bytes(shape: Shape, batch_size: int, length: float, rank: int, written_out: bool) -> float:
    """Memory for a step of tuning, or of ORPO on packed pairs.

    Frozen weights; a LoRA's weights, gradients and two moments of AdamW in float32, 16 bytes a number; what the
    backward pass needs of every token and layer; logits of a chunk of tokens in the weights' type and in float32, and
    the hidden states of all. Of a token and layer the written-out layers keep six vectors of the model's width, three
    of the MLP's, keys and values, in two bytes a number, and the attention's probabilities over the whole length, all
    times `OVERHEAD`. Other models' layers keep about 20 bytes per width and 10 per MLP width (casts, both norms in
    float32, LoRA's inputs), and their attention's kernel no probabilities.

    Args:
        shape: of the model.
        batch_size: rows.
        length: tokens of the longest row: a prompt with both of its answers, or a dialogue.
        rank: of the LoRA.
        written_out: whether the model is a Llama on a CPU.
    """
    kept = 20.0 * shape.hidden + 10 * shape.inner
    if written_out:
        numbers = 6 * shape.hidden + 3 * shape.inner + shape.heads * length + shape.cached / shape.layers
        kept = OVERHEAD * 2 * numbers
    tokens = batch_size * length
    logits = CHUNK * shape.vocabulary * (shape.bytes + 4)
    states = 3 * 4 * tokens * shape.hidden
    return shape.weights + 16 * shape.adapter * rank + tokens * shape.layers * kept + logits + states


def disk_bytes(params: Params, shape: Shape, copies: bool) -> dict[str, float]:
    """Disk that a whole run writes, by what for.

    Args:
        params: of the run.
        shape: of its base model.
        copies: whether DVC's cache holds copies; else it shares its blocks with the files.

    Returns:
        Bytes of models, adapters (float32, one per epoch and training), DVC's cache, the hub's cache, MLflow's
        artifacts (the main trainings' adapters again) and the state of a training that is interrupted.
    """
    adapter = 4.0 * shape.adapter * params.train.lora.rank
    main = sum(len(params.seeds(name)) for name in params.train.variants) * params.train.epochs
    further = sum(len(params.seeds(name)) for name in params.evidence.variants) * params.train.epochs
    models = 3.0 * shape.weights
    adapters = (main + further) * adapter
    sources = [params.base, *([params.tune.given] if params.tune.given else [])]
    return {
        "models": models,
        "adapters": adapters,
        "DVC's cache": models + adapters if copies else 0.0,
        "hub's cache": float(sum(shape.weights for source in sources if source.source == "hub")),
        "MLflow": main * adapter,
        "checkpoint": 3 * adapter,
    }
