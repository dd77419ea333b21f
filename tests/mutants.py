"""`make mutants`: change the core's code, one operator or number at a time, and count the changes that tests notice.

The changes are cosmic-ray's. Its own runner starts Python anew for each, which takes longer than the tests; here a
process that has loaded the libraries forks, loads the changed module in place of the real one, and runs the tests of
`mutants.toml`. No file is changed. Outcomes are kept in .scratch/mutants, so that a run that was stopped goes on; an
outcome holds for one text of the module and its tests.

    python tests/mutants.py              all modules
    python tests/mutants.py combine      one of them
"""

import ast
import hashlib
import importlib
import importlib.util
import json
import os
import resource
import signal
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
SCRATCH = ROOT / ".scratch/mutants"
LIBRARIES = (
    "datasets", "hypothesis", "numpy", "pandas", "peft", "pytest", "scipy.stats", "statsmodels.stats.multitest",
    "statsmodels.stats.proportion", "torch", "transformers", "trl.experimental.orpo",
)  # fmt: skip
LEAST = 0.95
WORKERS = 2
PATIENCE = 5
"""A mutant has this many times the time of the unchanged code, and ten seconds, before it counts as hanging."""
MEMORY_BYTES = 8 * 2**30
KILLED, SURVIVED, UNLOADABLE = "killed", "survived", "unloadable"
EXIT_UNLOADABLE = 99


class Target(NamedTuple):
    """A module and the tests that must notice its changes.

    Attributes:
        definitions: names of the functions and classes that are changed; empty for the whole module.
    """

    path: Path
    tests: list[str]
    definitions: list[str]

    @property
    def module(self) -> str:
        """Name under which it is imported."""
        return ".".join(self.path.relative_to(ROOT / "src").with_suffix("").parts)


class Mutant(NamedTuple):
    """A changed module.

    Attributes:
        key: hash of its text and of the tests.
        label: place and change, as printed.
    """

    key: str
    label: str
    text: str


class Loader(SourceFileLoader):
    """Loads a module from a text instead of its file, and is found before every other."""

    def __init__(self, target: Target, text: str) -> None:
        super().__init__(target.module, str(target.path))
        self.text = text

    def get_code(self, fullname: str) -> Any:
        """Compile the text; there is no cached code."""
        return compile(self.text, self.path, "exec")

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Find this module alone."""
        return importlib.util.spec_from_file_location(name, self.path, loader=self) if name == self.name else None


def read_targets() -> dict[str, Target]:
    """Read which modules are changed."""
    with Path(__file__).with_suffix(".toml").open("rb") as file:
        blocks = tomllib.load(file)
    return {
        name: Target(ROOT / block["path"], block["tests"], block.get("definitions", []))
        for name, block in blocks.items()
    }


def mutants(target: Target) -> Iterator[Mutant]:
    """Yield every change that cosmic-ray's operators make within the definitions."""
    from cosmic_ray import plugins
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.mutating import mutate_code

    text = target.path.read_text(encoding="utf-8")
    tests = b"".join((ROOT / test).read_bytes() for test in target.tests)
    ranges = [
        range(node.lineno, (node.end_lineno or node.lineno) + 1)
        for node in ast.parse(text).body
        if not target.definitions or getattr(node, "name", None) in target.definitions
    ]
    for name in sorted(plugins.operator_names()):
        operator = plugins.get_operator(name)
        if operator.arguments():  # needs to be told what to insert
            continue
        made = operator()
        places = [place for node in ast_nodes(get_ast(text)) for place, _ in made.mutation_positions(node)]
        for occurrence, (line, column) in enumerate(places):
            changed = mutate_code(text, made, occurrence)
            if changed and changed != text and any(line in lines for lines in ranges):
                key = hashlib.sha256(changed.encode() + tests).hexdigest()[:16]
                yield Mutant(key, f"{line}:{column} {name.removeprefix('core/')}", changed)


def run_tests(target: Target, text: str) -> int:
    """Run the tests on a text of the module, in a process that ends with them, and return its exit code."""
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    silent = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(silent, stream)
    sys.meta_path.insert(0, Loader(target, text))
    try:
        importlib.import_module(target.module)
    except BaseException:  # whatever the change brings about
        return EXIT_UNLOADABLE
    import pytest

    return int(pytest.main([
        "-x", "-q", "--assert=plain", "-p", "no:cov", "-m", "not slow", "--hypothesis-profile=mutants",
        "--hypothesis-seed=0", *target.tests,
    ]))  # fmt: skip


def start(target: Target, text: str) -> int:
    """Fork a process that runs the tests, in a group of its own; return its id."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = run_tests(target, text)
        finally:
            os._exit(code)
    os.setpgid(child, child)  # killed with all that it starts
    return child


def outcome(status: int) -> str:
    """Name what an exit status means; a process that was killed or crashed did not pass its tests."""
    code = os.waitstatus_to_exitcode(status)
    return {0: SURVIVED, EXIT_UNLOADABLE: UNLOADABLE}.get(code, KILLED)


def run_all(target: Target, waiting: list[Mutant], seconds: float) -> Iterator[tuple[Mutant, str]]:
    """Run the tests on mutants, several at a time, and yield each with its outcome as it ends."""
    running: dict[int, tuple[Mutant, float]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < WORKERS:
                mutant = waiting.pop(0)
                running[start(target, mutant.text)] = mutant, time.monotonic() + seconds
            child, status = os.waitpid(-1, os.WNOHANG)
            if child:
                yield running.pop(child)[0], outcome(status)
                continue
            kill(child for child, (_, end) in running.items() if time.monotonic() > end)
            time.sleep(0.02)
    finally:
        kill(running)  # this process was stopped


def kill(children: Iterable[int]) -> None:
    """Kill processes with all that they started."""
    for child in children:
        os.killpg(child, signal.SIGKILL)


def test_target(name: str, target: Target) -> float:
    """Run all mutants of a module that have no outcome yet, print the survivors and return the share that died.

    Raises:
        SystemExit: the tests fail on the unchanged module.
    """
    begin = time.monotonic()
    if outcome(os.waitpid(start(target, target.path.read_text(encoding="utf-8")), 0)[1]) != SURVIVED:
        sys.exit(f"{name}: the tests fail on the code as it is; run pytest {' '.join(target.tests)}")
    seconds = time.monotonic() - begin
    store = SCRATCH / f"{name}.json"
    outcomes = json.loads(store.read_text()) if store.is_file() else {}
    every = list(mutants(target))
    waiting = [mutant for mutant in every if mutant.key not in outcomes]
    sys.stdout.write(f"{name}: {len(every)} mutants, {len(waiting)} to run, {seconds:.1f} s each\n")
    for mutant, result in run_all(target, waiting, 10 + PATIENCE * seconds):
        outcomes[mutant.key] = result
        part = store.with_suffix(".part")
        part.write_text(json.dumps(outcomes), encoding="utf-8")
        part.replace(store)
    return report(name, target, every, outcomes)


def report(name: str, target: Target, every: Sequence[Mutant], outcomes: dict[str, str]) -> float:
    """Print survivors and counts, and return the share that died of those that could be loaded."""
    count = Counter(outcomes[mutant.key] for mutant in every)
    lines = target.path.read_text(encoding="utf-8").splitlines()
    for mutant in every:
        if outcomes[mutant.key] == SURVIVED:
            number = int(mutant.label.split(":")[0]) - 1
            changed = mutant.text.splitlines()
            sys.stdout.write(f"  {mutant.label}\n    - {lines[number].strip()}\n    + {changed[number].strip()}\n")
    share = count[KILLED] / max(1, count[KILLED] + count[SURVIVED])
    sys.stdout.write(
        f"{name}: {count[KILLED]} killed, {count[SURVIVED]} survived, {share:.1%} killed; {count[UNLOADABLE]} that "
        "cannot be loaded do not count\n"
    )
    sys.stdout.flush()
    return share


def main(names: Sequence[str]) -> None:
    """Run the modules named, or all."""
    targets = read_targets()
    unknown = set(names) - set(targets)
    if unknown:
        sys.exit(f"{min(unknown)}: no such module; there are {', '.join(targets)}")
    os.chdir(ROOT)
    SCRATCH.mkdir(parents=True, exist_ok=True)
    sys.path[:0] = [str(ROOT / "src")]
    sys.dont_write_bytecode = True
    os.environ |= {"OMP_NUM_THREADS": "1", "TRL_EXPERIMENTAL_SILENCE": "1"}  # a worker is a core
    for library in LIBRARIES:
        importlib.import_module(library)
    shares = {name: test_target(name, targets[name]) for name in names or targets}
    low = [name for name, share in shares.items() if share < LEAST]
    if low:
        sys.exit(f"fewer than {LEAST:.0%} killed: {', '.join(low)}")


if __name__ == "__main__":
    main(sys.argv[1:])
