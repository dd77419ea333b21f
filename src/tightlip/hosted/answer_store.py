"""Paid answers and their costs in one SQLite file per project, outside git and DVC.

It outlives every stage, every experiment and `make clean`. It holds answers as they came over the wire (pseudonymised,
where requests were), token counts and costs, but neither prompts nor keys.
"""

import json
import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout
from tqdm import tqdm

FOLDER, FILE = ".answers", "answers.sqlite"
NANO = 10**9  # costs are whole nano-dollars: sums are exact

Finish = Literal["stop", "length", "filtered"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY, text TEXT NOT NULL, finish TEXT NOT NULL, model TEXT NOT NULL,
    prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS attempts (
    id INTEGER PRIMARY KEY, purpose TEXT NOT NULL, model TEXT NOT NULL, nano INTEGER
);
CREATE TABLE IF NOT EXISTS ledger (
    purpose TEXT NOT NULL, model TEXT NOT NULL, requests INTEGER NOT NULL DEFAULT 0,
    retries INTEGER NOT NULL DEFAULT 0, cache_hits INTEGER NOT NULL DEFAULT 0, answers INTEGER NOT NULL DEFAULT 0,
    lost INTEGER NOT NULL DEFAULT 0, prompt_tokens INTEGER NOT NULL DEFAULT 0,
    completion_tokens INTEGER NOT NULL DEFAULT 0, nano INTEGER NOT NULL DEFAULT 0,
    unpriced INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (purpose, model)
) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Reply:
    """An answer of a hosted model.

    Attributes:
        finish: `stop` if the model ended it, `length` if it was cut, `filtered` if the provider's content filter
            withheld it; then the text is empty.
        model: name that the endpoint gave, often that of a dated snapshot.
        prompt_tokens, completion_tokens: billed tokens.
    """

    text: str
    finish: Finish
    model: str
    prompt_tokens: int
    completion_tokens: int


def store_path() -> Path:
    """Return the path of this project's answers: in the main repository, for DVC's temporary experiments too."""
    return Path(os.environ.get("DVC_ROOT", "."), FOLDER, FILE)


@contextmanager
def open_store(path: Path) -> Iterator["AnswerStore"]:
    """Open the answers for one process at a time; a second one waits, then reads the answers that the first paid for.

    Raises:
        ValueError: the file is damaged, or cannot be written.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = FileLock(path.with_suffix(".lock"), mode=0o600)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        tqdm.write("another process of this project is asking hosted models; waiting for it", file=sys.stderr)
        lock.acquire()
    try:
        with _explained(path):
            store = AnswerStore(path)
            try:
                yield store
            finally:
                store.close()
    finally:
        lock.release()


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:  # locked, full, read-only, …
        raise ValueError(f"{path}: the answers cannot be kept ({error}); see to the disk and its permissions") from None
    except sqlite3.DatabaseError as error:
        if type(error) is not sqlite3.DatabaseError:
            raise  # a bug of ours
        raise ValueError(
            f"{path}: this file of paid answers is damaged ({error}); restore it from a backup, try `sqlite3 {path} "
            ".recover`, or move it away, which means to pay for its answers again"
        ) from None


class AnswerStore:
    """The open file; every method is one transaction, on the disk when it returns.

    An attempt is entered with its worst case before it is sent and settled when it ended. One that never ended, because
    its process was killed, counts with its worst case.
    """

    def __init__(self, path: Path) -> None:
        path.touch(mode=0o600, exist_ok=True)
        self._db = sqlite3.connect(path, isolation_level=None)
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "busy_timeout = 10000"):
            self._db.execute(f"PRAGMA {pragma}")
        if (state := self._db.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise sqlite3.DatabaseError("failed its integrity check" if state else "unreadable")
        self._db.executescript(_SCHEMA)
        self.settle()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def get(self, key: str) -> Reply | None:
        """Return the answer to a request, if it was ever paid for."""
        row = self._db.execute(
            "SELECT text, finish, model, prompt_tokens, completion_tokens FROM answers WHERE key = ?", (key,)
        ).fetchone()
        return Reply(*row) if row else None

    def begin(self, purpose: str, model: str, worst: int | None, *, retry: bool) -> int:
        """Enter an attempt before it is sent.

        Args:
            purpose: source or judge that the request is for.
            model: name in the request.
            worst: highest possible cost, in nano-dollars; None without a price.
            retry: whether the request was sent before.

        Returns:
            Number of the attempt.
        """
        with self._transaction():
            self._add(purpose, model, requests=1, retries=int(retry))
            attempt = self._db.execute(
                "INSERT INTO attempts (purpose, model, nano) VALUES (?, ?, ?)", (purpose, model, worst)
            ).lastrowid
        assert attempt is not None  # noqa: S101  (an insert has a row)
        return attempt

    def keep(self, attempt: int, key: str, reply: Reply, cost: int | None) -> None:
        """Keep an answer and settle its attempt."""
        row = (key, reply.text, reply.finish, reply.model, reply.prompt_tokens, reply.completion_tokens)
        with self._transaction():
            self._db.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?)", row)
            self._end(
                attempt, cost, answers=1, prompt_tokens=reply.prompt_tokens, completion_tokens=reply.completion_tokens
            )

    def lose(self, attempt: int, cost: int | None) -> None:
        """Settle an attempt without an answer; its cost is None where nobody can know it."""
        with self._transaction():
            self._end(attempt, cost, lost=1)

    def settle(self) -> None:
        """Settle attempts that never ended with their worst case."""
        with self._transaction():
            for attempt, worst in self._db.execute("SELECT id, nano FROM attempts").fetchall():
                self._end(attempt, worst, lost=1)

    def hit(self, purpose: str, model: str, count: int) -> None:
        """Count answers that were stored already."""
        with self._transaction():
            self._add(purpose, model, cache_hits=count)

    def committed(self) -> int:
        """Return the nano-dollars spent in this project, plus the highest possible cost of attempts under way."""
        return int(
            self._db.execute(
                "SELECT (SELECT COALESCE(SUM(nano), 0) FROM ledger) + (SELECT COALESCE(SUM(nano), 0) FROM attempts)"
            ).fetchone()[0]
        )

    def ledger(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Return all counts by purpose and model; a cost is null where a price was missing."""
        fields = ("requests", "retries", "cache_hits", "answers", "lost", "prompt_tokens", "completion_tokens")
        rows = self._db.execute(
            f"SELECT purpose, model, nano, unpriced, {', '.join(fields)} FROM ledger ORDER BY purpose, model"  # noqa: S608
        )
        ledger: dict[str, dict[str, dict[str, Any]]] = {}
        for purpose, model, nano, unpriced, *counts in rows:
            cost = None if unpriced else nano / NANO
            ledger.setdefault(purpose, {})[model] = dict(zip(fields, counts, strict=True)) | {"cost_dollars": cost}
        return ledger

    def _end(self, attempt: int, cost: int | None, **counts: int) -> None:
        purpose, model = self._db.execute("SELECT purpose, model FROM attempts WHERE id = ?", (attempt,)).fetchone()
        self._db.execute("DELETE FROM attempts WHERE id = ?", (attempt,))
        self._add(purpose, model, nano=cost or 0, unpriced=int(cost is None), **counts)

    def _add(self, purpose: str, model: str, **counts: int) -> None:
        self._db.execute("INSERT OR IGNORE INTO ledger (purpose, model) VALUES (?, ?)", (purpose, model))
        added = ", ".join(f"{name} = {name} + ?" for name in counts)
        self._db.execute(
            f"UPDATE ledger SET {added} WHERE purpose = ? AND model = ?",  # noqa: S608  (names are ours)
            (*counts.values(), purpose, model),
        )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")


def canonical(value: Any) -> str:
    """Return JSON that is the same for equal values."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
