"""What a check of the doctor reports."""

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Finding:
    """Result of a check.

    Attributes:
        name: what was checked, in a word or two.
        status: `fail` if a run would fail, `warn` if it may fail or if nobody can know yet.
        text: what the check saw.
        remedy: what to do about it; empty if all is well.
    """

    name: str
    status: Status
    text: str
    remedy: str = ""


def finding(name: str, text: str, problem: Status | None = None, remedy: str = "") -> Finding:
    """Return a finding; without a problem its status is `ok` and the remedy is dropped."""
    return Finding(name, problem or "ok", text, remedy if problem else "")


def error_finding(name: str, error: Exception) -> Finding:
    """Return a failure; our own errors name the problem and, after the last semicolon, the remedy."""
    text, _, remedy = str(error).rpartition("; ")
    return Finding(name, "fail", text or remedy, remedy if text else "")
