"""What a check says."""

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Finding:
    """Outcome of a check.

    Attributes:
        name: what was looked at, in a word or two.
        status: `fail` if a run would fail, `warn` if it may, or if it cannot be known.
        text: what is there.
        remedy: what to do about it.
    """

    name: str
    status: Status
    text: str
    remedy: str = ""


def failed(name: str, error: Exception) -> Finding:
    """Return what an error says: our own name the problem and, after the last semicolon, the remedy."""
    text, _, remedy = str(error).rpartition("; ")
    return Finding(name, "fail", text or remedy, remedy if text else "")


def judged(name: str, text: str, problem: Status | None = None, remedy: str = "") -> Finding:
    """Return a finding; without a problem all is well and no remedy is needed."""
    return Finding(name, problem or "ok", text, remedy if problem else "")
