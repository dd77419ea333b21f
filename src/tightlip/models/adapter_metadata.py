"""Metadata beside an adapter: the negative sentence that it was trained with, and that guidance leads away from."""

from pathlib import Path
from typing import get_args

from tightlip.files import read_json, write_json
from tightlip.records import Negative

METADATA_FILE = "guidance.json"


def write_adapter_metadata(adapter: Path, negative: Negative) -> None:
    """Write an adapter's metadata."""
    write_json(adapter / METADATA_FILE, {"negative": negative})


def trained_negative(adapter: Path | None) -> Negative:
    """Return which negative sentence an adapter was trained with; the plain one without an adapter.

    Raises:
        ValueError: the adapter has no metadata, or broken ones.
    """
    if adapter is None:
        return "negative"
    metadata = read_json(adapter / METADATA_FILE)
    negative = metadata.get("negative") if isinstance(metadata, dict) else None
    if not isinstance(negative, str) or negative not in get_args(Negative):
        raise ValueError(
            f"{adapter / METADATA_FILE}: negative: expected {' or '.join(get_args(Negative))}; train it again"
        )
    return negative  # type: ignore[return-value]
