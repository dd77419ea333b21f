"""Results that outlive a stage run, each stored under the hash of all that decides it."""

import functools
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tightlip.files import digest, read_json, write_json
from tightlip.process import locked

PACKAGE = Path(__file__).parent
SCRATCH, FINISHED = ".scratch", "finished"

MODEL_CODE = ("cpu", "guidance", "models", "prompts.py")
"""Code that decides what a model learns and answers."""


class ResultCache:
    """Results of one computation in `.scratch/<name>/` of the project, for runs to come.

    A result is read back only while the same inputs, parameters and code decide it: after an interruption, after a
    change of another parameter, or in a DVC experiment, which runs in a folder of its own.

    Args:
        name: of the computation; one per kind of result.
        inputs: files and directories the results depend on.
        params: JSON values the results depend on, by name.
        code: modules and packages of tightlip the results depend on, relative to the package (`models`, `prompts.py`).
    """

    def __init__(self, name: str, *, inputs: Iterable[Path], params: Mapping[str, Any], code: Iterable[str]) -> None:
        self.name = name
        self._parts: list[str | Path] = [
            json.dumps(params, sort_keys=True),
            *inputs,
            *(PACKAGE / module for module in code),
        ]

    @functools.cached_property
    def key(self) -> str:
        """SHA-256 of inputs, parameters and code, as 64 hex digits; reading large weights takes a moment."""
        return digest(*self._parts)

    @property
    def folder(self) -> Path:
        """Where the results lie: DVC's experiments share the folder of the project."""
        return Path(os.environ.get("DVC_ROOT", "."), SCRATCH, self.name)

    def get(self, item: Sequence[str], compute: Callable[[], Any]) -> Any:
        """Return the result for one item, computed if it is not stored.

        Args:
            item: what distinguishes this result from the computation's others.
            compute: returns a JSON value; tuples come back as lists.
        """
        [result] = self.get_all([item], lambda _: [compute()])
        return result

    def get_all(self, items: Sequence[Sequence[str]], compute: Callable[[list[int]], Iterable[Any]]) -> list[Any]:
        """Return one result per item; those that are not stored are computed together and stored one by one.

        Args:
            items: see `get`.
            compute: takes the places in `items` of the missing results and yields their values in that order.
        """
        paths = [self.folder / f"{digest(self.key, *item)}.json" for item in items]
        missing = [place for place, path in enumerate(paths) if not path.is_file()]
        if missing:
            for place, value in zip(missing, compute(missing), strict=True):
                write_json(paths[place], value)
        return [read_json(path) for path in paths]

    @contextmanager
    def training_dir(self) -> Iterator[Path]:
        """Give the directory of a training's checkpoints to one process at a time.

        The directory stays after the training has ended, in case DVC is killed before it has noted that. The next
        training of the same name removes it.
        """
        path = self.folder / self.key[:16]
        path.mkdir(parents=True, exist_ok=True)
        with locked(path / "lock"):
            yield path
            (path / FINISHED).touch()
            for other in path.parent.iterdir():
                if other != path and (other / FINISHED).is_file():
                    _remove_unused(other)


def _remove_unused(folder: Path) -> None:
    """Remove the directory of a training that has ended, unless a process works there."""
    from filelock import FileLock, Timeout

    with suppress(Timeout), FileLock(folder / "lock", timeout=0):
        shutil.rmtree(folder)
