"""Hostile files: valid ones bent at a random place, cut, spliced, or never valid at all."""

import copy
import json
from typing import Any

from hypothesis import strategies as st

NASTY = (
    "", " ", "\x00", "\x1b[2J", "\ud800", "\ufeff", "../../etc/passwd", "/dev/zero", "{{ 7 * 7 }}", "{% for x in y %}",
    "${seed}", "<|im_end|>", "<|eot_id|>", "</s>", "$(reboot)", "; rm -rf /", "NaN", "-0", "é" * 300, "a" * 10_000,
    "9" * 5_000, "\u202e", "__class__", "null", "'",
)  # fmt: skip
"""Strings that have broken other programs."""

strings = st.sampled_from(NASTY) | st.text(max_size=20)
scalars = (
    st.none() | st.booleans() | st.integers() | st.integers(-(10**30), 10**30) | st.floats() | strings
    | st.sampled_from([0, -1, 2**31, 2**63, 10**400, float("inf"), float("nan")])
)  # fmt: skip
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(strings, inner, max_size=4),
    max_leaves=12,
)
"""Anything that JSON or YAML can say."""


@st.composite
def bent(draw: st.DrawFn, valid: Any) -> Any:
    """Return a valid tree with one to three of its places replaced, taken away or given company."""
    tree = copy.deepcopy(valid)
    for _ in range(draw(st.integers(1, 3))):
        holders = [holder for holder in _holders(tree) if holder]
        if not holders:
            return draw(values)
        holder = draw(st.sampled_from(holders))
        key = draw(st.sampled_from(list(holder) if isinstance(holder, dict) else range(len(holder))))
        match draw(st.sampled_from(["replace", "remove", "add", "nest"])):
            case "replace":
                holder[key] = draw(values)
            case "remove":
                del holder[key]
            case "add" if isinstance(holder, dict):
                holder[draw(strings)] = draw(values)
            case "add":
                holder.append(draw(values))
            case _:
                holder[key] = [holder[key]]
    return tree


def _holders(tree: Any) -> list[Any]:
    inner = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else None
    return [] if inner is None else [tree, *(holder for each in inner for holder in _holders(each))]


@st.composite
def spliced(draw: st.DrawFn, valid: bytes) -> bytes:
    """Return valid bytes, cut short or with others in their midst."""
    start = draw(st.integers(0, len(valid)))
    end = draw(st.integers(start, min(len(valid), start + 40)) | st.just(len(valid)))
    nasty = st.sampled_from([each.encode("utf-8", "surrogatepass") for each in NASTY])
    deep = st.sampled_from([b"[" * 3_000, b'{"a":' * 3_000, b"- " * 3_000, b"\xff\xfe", b"\xef\xbb\xbf", b"\x80"])
    return valid[:start] + draw(st.binary(max_size=40) | nasty | deep) + valid[end:]


def as_json(tree: Any) -> bytes:
    """Write a tree as JSON on one line, whatever is in it."""
    return json.dumps(tree, default=str).encode("utf-8", "surrogatepass")
