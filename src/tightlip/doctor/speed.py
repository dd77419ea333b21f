"""How fast a machine computes: measured here in a second, or taken from a GPU's data sheet."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

SCALING = 0.85
"""Two threads were 1.8 times as fast as one: the number of threads to this power."""

CPU_SHARE = 0.6
"""Share of the measured products that training reached on the recorded CPU."""

GPU_SHARE, BANDWIDTH_SHARE = 0.4, 0.6
"""Expected shares of a GPU's peak operations in training, and of its bandwidth in decoding. Nobody measured them."""

LAUNCHES = 0.025
"""Seconds that launching the kernels of a decoding step takes at least on a GPU, through transformers."""

SHAPE = 384, 576, 1536
"""The measured product: tokens of a packed batch by an MLP's weights in SmolLM2-135M."""


@dataclass(frozen=True)
class Speed:
    """Speed of a processor.

    Attributes:
        flops: operations per second of bfloat16 products.
        bandwidth: bytes of memory that a GPU reads per second; 0 for a CPU.
        origin: how it is known, for the report.
        memory: bytes of memory of a GPU in the table.
    """

    flops: float
    bandwidth: float
    origin: str
    memory: float = 0

    @property
    def gpu(self) -> bool:
        """Whether it is a GPU."""
        return self.bandwidth > 0

    @property
    def training(self) -> float:
        """Operations per second that training is expected to reach."""
        return self.flops * (GPU_SHARE if self.gpu else CPU_SHARE)

    def step_seconds(self, weights: float) -> float:
        """Return the seconds of a decoding step on a GPU, which reads `weights` bytes of weights."""
        return max(LAUNCHES, weights / (self.bandwidth * BANDWIDTH_SHARE))


UNCERTAIN = "expect between half and twice these times"


def _data_sheet(name: str, tflops: float, bandwidth: float, memory: float) -> Speed:
    origin = f"{name}'s data sheet, not measured; {UNCERTAIN}"
    return Speed(tflops * 1e12, bandwidth * 1e12, origin, memory * 1e9)


GPUS = {
    "a40": _data_sheet("A40", 149.7, 0.696, 48),
    "a100": _data_sheet("A100", 312, 2.039, 80),
    "h100": _data_sheet("H100", 989, 3.35, 80),
    "h200": _data_sheet("H200", 989, 4.8, 141),
}
"""Dense bfloat16 TFLOP/s, TB/s and GB."""


def measure_speed(dtype: str) -> Speed:
    """Measure this machine's GPU, or one thread of its CPU in processor time, which other programs do not slow down.

    Args:
        dtype: of the weights, `bfloat16` or `float32`.
    """
    import torch

    from tightlip.cpu import has_bfloat16

    gpu, threads = torch.cuda.is_available(), torch.get_num_threads()
    dtype = dtype if has_bfloat16() else "float32"  # what models compute in on such a machine
    tokens, inner, outer = (8 * number for number in SHAPE) if gpu else SHAPE
    options = {"dtype": getattr(torch, dtype), "device": "cuda" if gpu else "cpu"}
    torch.set_num_threads(1)
    try:
        states, weights = torch.ones(tokens, inner, **options), torch.ones(outer, inner, **options)
        flops = 2 * tokens * inner * outer / _seconds(lambda: torch.nn.functional.linear(states, weights), gpu)
        table = torch.ones(2**28 if gpu else 1, device=options["device"])
        bandwidth = 4 * table.numel() / _seconds(table.sum, gpu)
    finally:
        torch.set_num_threads(threads)
    if gpu:
        return Speed(flops, bandwidth, f"{flops / 1e12:.0f} TFLOP/s measured; {UNCERTAIN}")
    gain = threads**SCALING
    origin = f"{flops * gain / 1e9:.0f} GFLOP/s on {threads} CPU threads, measured on one of them"
    return Speed(flops * gain, 0, origin)


def _seconds(action: Callable[[], object], gpu: bool) -> float:
    """Return the median seconds of an action, after one run to warm up and at least three more."""
    import torch

    clock = time.monotonic if gpu else time.process_time
    times: list[float] = []
    while len(times) < 4 or (len(times) < 50 and sum(times) < 0.3):
        begin = clock()
        action()
        if gpu:
            torch.cuda.synchronize()
        times.append(clock() - begin)
    return max(statistics.median(times[1:]), 1e-9)
