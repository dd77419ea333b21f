"""Checks of the machine and of the project: Python, packages, git and DVC, disk, memory, processor."""

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from tightlip.doctor.findings import Finding, Status, finding
from tightlip.files import read_json
from tightlip.repair import RWLOCK

PYTHON = (3, 11)
BUSY = 0.3
"""Share of the processors that other programs may use before the run takes noticeably longer."""


def check_python(version: tuple[int, ...] = sys.version_info[:3]) -> Finding:
    """Check Python's version."""
    text, needed = ".".join(map(str, version)), ".".join(map(str, PYTHON))
    problem: Status | None = "fail" if tuple(version[:2]) < PYTHON else None
    return finding("Python", text, problem, f"tightlip needs {needed} or later: `make setup PYTHON=python{needed}`")


def check_packages(lock: Path, installed: Mapping[str, str], required: Iterable[str]) -> Finding:
    """Compare the installed packages with the lock.

    Args:
        lock: constraints.txt.
        installed: versions by normalised name.
        required: normalised names without which nothing runs.
    """
    if not lock.is_file():
        return Finding("packages", "warn", f"{lock.name} is missing", "run `tightlip doctor` in the project's root")
    locked = dict(re.findall(r"^([\w.-]+)==(\S+)", lock.read_text(encoding="utf-8"), re.MULTILINE))
    missing = [name for name in locked if normal(name) not in installed]
    needed = set(required)
    fatal = [name for name in missing if normal(name) in needed] + sorted(
        needed - set(installed) - set(map(normal, missing))
    )
    other = [
        f"{name} {installed[normal(name)]} for {version}"
        for name, version in locked.items()
        if normal(name) in installed and not _same(installed[normal(name)], version)
    ]
    if fatal:
        return Finding("packages", "fail", f"missing: {', '.join(fatal)}", "make setup")
    if missing or other:
        text = "; ".join([*(f"{name} missing" for name in missing), *other])
        return Finding("packages", "warn", f"not those of {lock.name}: {text}", "make setup")
    return finding("packages", f"all {len(locked)} of {lock.name}")


def _same(installed: str, locked: str) -> bool:
    return installed.partition("+")[0] == locked.partition("+")[0]  # 2.13.0+cu128 is torch 2.13.0


def installed_packages() -> dict[str, str]:
    """Return versions by normalised name."""
    return {normal(each.metadata["Name"]): each.version for each in metadata.distributions() if each.metadata["Name"]}


def required_packages() -> set[str]:
    """Return the packages that tightlip itself names, extras left out."""
    try:
        lines = metadata.requires("tightlip") or []
    except metadata.PackageNotFoundError:
        return set()
    return {normal(re.split(r"[^\w.-]", line)[0]) for line in lines if "extra ==" not in line}


def normal(name: str) -> str:
    """Return a package's name as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def check_project(root: Path) -> list[Finding]:
    """Check git, DVC and that nothing else runs the pipeline."""
    commit = _run(root, "git", "rev-parse", "--short", "HEAD")
    dvc = shutil.which("dvc") or (Path(sys.executable).parent / "dvc").is_file()
    writable = os.access(root, os.W_OK)
    initialised = (root / ".dvc/config").is_file()
    return [
        finding("git", f"commit {commit}" if commit else "no repository with a commit", None if commit else "fail",
               "git init && git add -A && git commit -m 'Begin'"),
        finding("DVC", "initialised" if dvc and initialised else "not installed" if not dvc else "no .dvc/config here",
               None if dvc and initialised else "fail", "make setup" if not dvc else "run in the project's root"),
        finding("writing", f"{root} can{'' if writable else 'not'} be written to", None if writable else "fail",
               f"chmod u+w {root}"),
        *check_locks(root),
    ]  # fmt: skip


def check_locks(root: Path) -> list[Finding]:
    """Check that no other DVC holds files of the project; locks of dead processes do not count."""
    import psutil

    path = root / RWLOCK
    try:
        locks = read_json(path) if path.is_file() and path.stat().st_size else {}
    except ValueError:
        return [Finding("locks", "warn", f"{path} was left half-written by a killed dvc", "make repro mends it")]
    holders = [
        *locks.get("write", {}).values(),
        *(each for readers in locks.get("read", {}).values() for each in readers),
    ]
    alive = sorted({holder["pid"] for holder in holders if psutil.pid_exists(holder["pid"])})
    if not alive:
        return [finding("locks", "nothing else runs here")]
    text = f"a dvc is running here (process {', '.join(map(str, alive))})"
    return [Finding("locks", "warn", text, "wait for its end; two at a time fail as busy")]


def check_disk(free: float, parts: Mapping[str, float]) -> Finding:
    """Compare the free disk with what the run writes."""
    needed = sum(parts.values())
    detail = ", ".join(f"{name} {gigabytes(size)}" for name, size in parts.items() if size >= 0.01 * needed)
    text = f"{gigabytes(free)} free, up to {gigabytes(needed)} needed ({detail})"
    own = needed - parts.get("DVC's cache", 0)  # where files share blocks, the cache takes no room
    problem: Status | None = "fail" if free < own else "warn" if free < 1.2 * needed else None
    return finding("disk", text, problem, "free some disk, or set `dvc config cache.dir` to a larger one")


def check_memory(total: float, free: float, needed: float, stage: str, where: str = "memory") -> Finding:
    """Compare memory with the peak of the largest stage.

    Args:
        total: bytes of memory.
        free: bytes of it that are free now.
        needed: bytes at the peak of the stage.
        stage: name of the stage that needs most.
        where: `memory`, or the GPU's.
    """
    text = f"{gigabytes(total)}, {gigabytes(free)} free; {stage} takes about {gigabytes(needed)}"
    if needed > total:
        remedy = "take a smaller base model, lower batch_size or the token limits, or use a larger machine"
        return Finding(where, "fail", text, remedy)
    return finding(where, text, "warn" if needed > free else None, "end other programs first")


def memory() -> tuple[float, float]:
    """Return the bytes of memory that processes here may use, and of them the free ones; a container's limit counts."""
    import psutil

    machine = psutil.virtual_memory()
    total, free = float(machine.total), float(machine.available)
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        allowed, used_bytes = _number(Path(limit)), _number(Path(used))
        if allowed is not None and allowed < total:
            total, free = allowed, min(free, allowed - (used_bytes or 0))
    return total, free


def _number(path: Path) -> float | None:
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return float(text) if text.isdigit() else None


def check_gpu(dtype: str) -> Finding:
    """Name the GPU, and check that it has the weights' type."""
    import torch

    if not torch.cuda.is_available():
        if shutil.which("nvidia-smi"):
            remedy = "install the CUDA build of torch (https://pytorch.org), and check the driver with nvidia-smi"
            return Finding("GPU", "warn", "there is one, which this torch cannot use", remedy)
        return finding("GPU", "none; the CPU does everything")
    supported = dtype != "bfloat16" or torch.cuda.is_bf16_supported(including_emulation=False)
    text = f"{torch.cuda.get_device_name()}, {gigabytes(torch.cuda.get_device_properties(0).total_memory)}"
    return finding(
        "GPU", f"{text}{'' if supported else ', no bfloat16'}", None if supported else "warn", "base.dtype: float32"
    )


def check_cpu(dtype: str, flags: Sequence[str] | None = None, threads: int | None = None) -> Finding:
    """Check the number of threads, and whether the processor has instructions for the weights' type.

    Args:
        dtype: of the weights.
        flags: of the processor; None reads those of this one.
        threads: number that torch uses; None reads it.
    """
    import torch

    flags = _cpu_flags() if flags is None else flags
    threads = torch.get_num_threads() if threads is None else threads
    cores = os.cpu_count() or 1
    names = [name for flag, name in (("avx512_bf16", "AVX512-BF16"), ("amx_bf16", "AMX-BF16"), ("bf16", "BF16"))
           if flag in flags]  # fmt: skip
    text = f"{threads} of {cores} cores, {' and '.join(names) or 'no bfloat16 instructions'}"
    if dtype == "bfloat16" and not names:
        return Finding("CPU", "warn", text, "if it is slow, try base.dtype: float32; twice the memory, no emulation")
    return finding("CPU", text, "warn" if threads < cores else None, "unset OMP_NUM_THREADS, unless that is meant")


def check_load(share: float) -> Finding:
    """Check that other programs leave the processors idle; `share` in use, in [0, 1]."""
    text = f"{100 * share:.0f}% of the processors are in use"
    return finding("load", text, "warn" if share > BUSY else None, "run with nothing else running")


def _cpu_flags() -> list[str]:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return ["bf16"] if platform.machine() == "arm64" else []
    match = re.search(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
    return match[1].split() if match else []


def gigabytes(size: float) -> str:
    """Write bytes in GB, or in MB if there are few."""
    if size < 1e8:
        return f"{size / 1e6:.0f} MB"
    return f"{size / 1e9:.2f} GB" if size < 1e10 else f"{size / 1e9:.0f} GB"


def _run(root: Path, *command: str) -> str:
    """Return what a command prints, or nothing if it fails."""
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)  # noqa: S603
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def ignored_by_git(root: Path, name: str) -> bool | None:
    """Return whether git ignores a file; None outside of a repository."""
    try:
        done: Any = subprocess.run(  # noqa: S603
            ["git", "check-ignore", "-q", name], cwd=root, capture_output=True, check=False  # noqa: S607
        )  # fmt: skip
    except OSError:
        return None
    return done.returncode == 0 if done.returncode in (0, 1) else None
