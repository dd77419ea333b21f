"""Parameters, and inputs of stages, that are not the same in several revisions."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tightlip.comparison.revisions import Revision, hashes

_RESULTS = ("metrics/", "data/rows", "data/records")  # results of a run are compared as metrics, not as inputs


class Change(NamedTuple):
    """A parameter or an input that is not the same everywhere: revision → value, left out where there is none."""

    name: str
    values: Mapping[str, Any]


def changed_params(revisions: Sequence[Revision]) -> tuple[Change, ...]:
    """Return the parameters that are not the same in all revisions."""
    return _changes(revisions, [revision.params for revision in revisions])


def changed_inputs(revisions: Sequence[Revision]) -> tuple[Change, ...]:
    """Return the code, data, models and adapters that went into a stage and differ, by their hashes."""
    return _changes(revisions, [_inputs(revision) for revision in revisions])


def _changes(revisions: Sequence[Revision], values: Sequence[Mapping[str, Any]]) -> tuple[Change, ...]:
    changes = []
    for name in dict.fromkeys(name for each in values for name in each):
        known = {
            revision.name: each[name] for revision, each in zip(revisions, values, strict=True) if name in each
        }  # fmt: skip
        if len(known) < len(revisions) or any(value != known[revisions[0].name] for value in known.values()):
            changes.append(Change(name, known))
    return tuple(changes)


def _inputs(revision: Revision) -> dict[str, str]:
    by_path = sorted(hashes(revision.stages).items())
    return {path: ",".join(sorted(md5s)) for path, md5s in by_path if not path.startswith(_RESULTS)}
