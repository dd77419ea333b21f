"""How fast work is done: measured on this machine in seconds, or reckoned for a named GPU."""

import copy
import functools
import importlib
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tightlip.doctor.shapes import Shape, measure_shape
from tightlip.doctor.work import Work, training

Clock = Callable[[], float]

LARGEST = 150_000_000
"""Parameters of the model that is measured; of a larger one, some layers and a small vocabulary are taken."""

SMALL_VOCABULARY = 8192
STEPS = 12
"""Decoding steps that are timed."""

PROMPT = 256, 16
"""Tokens and rows of the prompts that are timed."""

LONGEST = 512
"""Tokens of a row in the timed training steps, at most."""

LOADED = 5e8
"""Bytes of weights loaded and, on a CPU, packed per second."""

SCALING = 0.85
"""Two threads were 1.8 times as fast as one: the number of threads to this power."""

UTILISATION, STEP_SHARE, LAUNCHES = 0.4, 0.6, 0.025
"""Of a GPU that is not here: shares of its peak operations and of its bandwidth that one may expect, and the seconds
that launching a decoding step's kernels takes at least, through transformers."""

TRANSFORMER_WORDS = 700.0
"""Words per second of spaCy's transformer pipelines on a CPU, where they are not installed: spaCy's own figure."""

SMALL_WORDS = 10_000.0
PER_STAGE = 1.2
"""Seconds per stage of starting Python, and of DVC's reading and writing its lock."""

BETWEEN = 0.03
"""Seconds of a trainer's own between two steps."""

HOSTED_SECONDS = 3.0
"""Assumed for a request to a hosted model."""


@dataclass(frozen=True)
class Gpu:
    """Data sheet: dense bfloat16 TFLOP/s, memory's TB/s and GB."""

    tflops: float
    bandwidth: float
    memory: float


GPUS = {
    "a40": Gpu(149.7, 0.696, 48),
    "a100": Gpu(312, 2.039, 80),
    "h100": Gpu(989, 3.35, 80),
    "h200": Gpu(989, 4.8, 141),
}


@dataclass(frozen=True)
class Speed:
    """How fast work is done.

    Attributes:
        forward, training: operations per second.
        step, row: seconds of a decoding step, and of each of its rows.
        update: seconds of an optimiser's step.
        words: per second of NER.
        load: seconds to load a model.
        imports: seconds of the imports of a stage with a model.
        note: how it is known.
        workers: requests to hosted models under way at a time.
    """

    forward: float
    training: float
    step: float
    row: float
    update: float
    words: float
    load: float
    imports: float
    note: str
    workers: int = 8

    def seconds(self, work: Work) -> float:
        """Return how long work takes, its start left out."""
        hosted = sum(asked.requests for asked in work.hosted) * HOSTED_SECONDS / self.workers
        return (
            work.forward / self.forward
            + work.training / self.training
            + work.steps * self.step
            + work.rows * self.row
            + work.updates * self.update
            + work.words / self.words
            + work.loads * self.load
            + work.seconds
            + hosted
        )

    def starting(self, works: Sequence[Work]) -> float:
        """Return how long it takes to start stages."""
        with_model = sum(bool(work.loads) for work in works)
        return len(works) * PER_STAGE + with_model * self.imports


def on_gpu(name: str, shape: Shape, words: float, imports: float) -> Speed:
    """Reckon the speed on a GPU: reading and training are bound by operations, decoding by reading the weights."""
    gpu = GPUS[name]
    operations = gpu.tflops * 1e12 * UTILISATION
    bandwidth = gpu.bandwidth * 1e12 * STEP_SHARE
    cached = shape.cached * shape.bytes * 1000  # of a row of a thousand tokens
    assumed = f"{gpu.tflops:g} TFLOP/s × {UTILISATION:g}, {gpu.bandwidth:g} TB/s × {STEP_SHARE:g}"
    note = f"{name.upper()}, not measured: {assumed}"
    step, row = max(LAUNCHES, shape.weights / bandwidth), cached / bandwidth
    return Speed(operations, operations, step, row, BETWEEN, words, 5 + shape.weights / 2e9, imports, note)


def import_seconds() -> float:
    """Import what a stage with a model imports and return how long it took."""
    return _seconds(lambda: importlib.import_module("tightlip.cpu.lora"), time.process_time)


def ner_words(model: str, installed: bool, texts: Sequence[str]) -> float:
    """Measure the words per second of a spaCy pipeline; of one that is not installed, take what is known of others."""
    if not installed:
        return TRANSFORMER_WORDS if model.endswith("_trf") else SMALL_WORDS
    from tightlip.pii.named_entities import entities, load_ner

    pipeline = load_ner(model)
    entities(pipeline, texts[:5], ())
    return sum(len(text.split()) for text in texts) / _seconds(lambda: entities(pipeline, texts, ()), time.process_time)


def measure(
    config: Any, shape: Shape, rank: int, batch_size: int, length: int, words: float, imports: float, busy: bool
) -> Speed:
    """Measure a model with random weights: what it computes takes as long as with others.

    Args:
        config, shape: of the base model.
        rank: of the LoRA.
        batch_size: pairs per training step.
        length: tokens of a pair.
        words: per second of NER.
        imports: seconds of the imports of a stage with a model.
        busy: whether others use the processors. Then one thread is measured: threads that wait for one another on
            busy processors spin, and are slower by an order of magnitude.
    """
    import torch

    threads = torch.get_num_threads()
    clock, gain, where = _watch(threads, busy)
    small, what = _shrunk(config, shape)
    measured = measure_shape(small, "bfloat16" if shape.bytes == 2 else "float32", shape.origin)
    try:
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # PEFT's, of transformers
            torch.manual_seed(0)
            model = _random_model(small, shape.bytes)
            forward, step, row = _decoding(model, measured, clock)
            trained, update = _training(model, measured, rank, batch_size, min(length, LONGEST), clock)
    finally:
        torch.set_num_threads(threads)
    larger, adapters = shape.weights / measured.weights, shape.adapter / measured.adapter
    return Speed(
        forward * gain, trained * gain, step * larger / gain, row * larger / gain, BETWEEN + update * adapters, words,
        0.5 + shape.weights / LOADED, imports, f"{what}, measured on {where}",
    )  # fmt: skip


def _watch(threads: int, busy: bool) -> tuple[Clock, float, str]:
    """Choose how to measure; return the clock, by how much all threads are faster than what it shows, and a note."""
    import torch

    if torch.cuda.is_available():
        return time.monotonic, 1.0, "the GPU"
    if threads == 1:
        return time.process_time, 1.0, "1 CPU thread"
    if not busy:
        return time.monotonic, 1.0, f"{threads} CPU threads"
    torch.set_num_threads(1)
    gain = threads**SCALING
    where = f"one of {threads} CPU threads, since the machine is busy, and taken times {gain:.2g}"
    return time.process_time, gain, where  # a process's time goes on only while it computes


def _shrunk(config: Any, shape: Shape) -> tuple[Any, str]:
    """Return the config of a model that can be measured in seconds, the same one or some of its layers, and which."""
    if shape.parameters <= LARGEST:
        return config, "random weights of the model's shape"
    config = copy.deepcopy(config)
    text = config.get_text_config()
    layers = max(1, min(shape.layers, LARGEST * shape.layers // shape.body))
    text.num_hidden_layers, text.vocab_size = layers, min(SMALL_VOCABULARY, shape.vocabulary)
    text.pad_token_id = text.bos_token_id = text.eos_token_id = None
    if getattr(text, "layer_types", None):
        text.layer_types = text.layer_types[:layers]
    return config, f"extrapolated from {layers} of {shape.layers} layers with random weights"


def _random_model(config: Any, width: int) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    from tightlip.cpu.attention import GROUPED
    from tightlip.models.loading import device

    dtype = torch.bfloat16 if width == 2 else torch.float32
    model = AutoModelForCausalLM.from_config(config, dtype=dtype).to(device()).eval()
    if model.device.type == "cpu" and model.config._attn_implementation == "sdpa":
        model.set_attn_implementation(GROUPED)
    return model


def _decoding(model: Any, shape: Shape, clock: Clock) -> tuple[float, float, float]:
    """Return operations per second of reading, seconds of a decoding step, and of each of its rows."""
    import torch

    from tightlip.guidance.decoder import generate

    length, rows = PROMPT
    prompts = torch.randint(3, shape.vocabulary, (2 * rows, length)).tolist()

    def seconds(count: int, steps: int, kept: dict[tuple[int, ...], Any]) -> float:
        def decode() -> object:
            return generate(
                model, prompts[:count], max_new_tokens=steps, eos_ids=(), pad_id=0, batch_size=count, prompt_cache=kept
            )

        return _seconds(decode, clock)

    seconds(1, 2, {})  # packs the weights
    kept: dict[tuple[int, ...], Any] = {}
    read = seconds(rows, 1, kept)
    few = seconds(4, 1 + STEPS, kept) - seconds(4, 1, kept)
    many = seconds(rows, 1 + STEPS, kept) - seconds(rows, 1, kept)
    row = max((many - few) / STEPS / (rows - 4), 1e-9)
    step = max(few / STEPS - 4 * row, 1e-9)
    return 2 * (shape.body * length + shape.head) * rows / read, step, row


def _training(model: Any, shape: Shape, rank: int, batch_size: int, length: int, clock: Clock) -> tuple[float, float]:
    """Return operations per second of a training step, forward and backward, and the seconds of its update."""
    import torch
    from peft import LoraConfig

    from tightlip.cpu.lora import attach_lora
    from tightlip.models.packing import Group, pack, run, to_device
    from tightlip.models.scoring import token_logps

    config = LoraConfig(r=rank, lora_alpha=rank, target_modules="all-linear", task_type="CAUSAL_LM")
    tuned = attach_lora(model, config).train()
    weights = [weight for weight in tuned.parameters() if weight.requires_grad]
    optimiser, answer = torch.optim.AdamW(weights), max(1, length // 8)

    def step(length: int) -> None:
        rows = torch.randint(3, shape.vocabulary, (batch_size, length)).tolist()
        groups = [Group(ids[: -2 * answer], [ids[-2 * answer : -answer], ids[-answer:]]) for ids in rows]
        batch = to_device(pack(groups), model.device)
        with torch.autocast(model.device.type, dtype=torch.bfloat16):
            hidden = run(tuned, batch).flatten(0, 1)[batch["scored"]]
            loss = -token_logps(tuned, hidden, batch["targets"]).mean()
        loss.backward()
        loss.item()

    def update() -> None:
        torch.nn.utils.clip_grad_norm_(weights, 1.0).item()
        optimiser.step()

    step(length)
    update()
    taken = statistics.median(_seconds(functools.partial(step, length + more), clock) for more in range(3))
    work = training(shape, batch_size * length, 2 * batch_size * answer, rank)
    return work.training / taken, _seconds(update, clock)


def _seconds(action: Callable[[], object], clock: Clock) -> float:
    begin = clock()
    action()
    return clock() - begin
