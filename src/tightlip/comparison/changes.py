"""What else is not the same in several revisions: parameters, and what went into the stages."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tightlip.comparison.revisions import Revision, hashes

_RESULTS = ("metrics/", "data/rows", "data/records")  # what comes out of a run is compared as figures, not as inputs


class Change(NamedTuple):
    """A parameter or an input that is not the same everywhere: revision → value, left out where there is none."""

    name: str
    values: Mapping[str, Any]


def changed_params(revisions: Sequence[Revision]) -> tuple[Change, ...]:
    """Parameters that are not the same in all revisions."""
    return _changes(revisions, [revision.params for revision in revisions])


def changed_inputs(revisions: Sequence[Revision]) -> tuple[Change, ...]:
    """Code, data, models and adapters that went into a stage and are not the same in all revisions, by their hashes."""
    return _changes(revisions, [_inputs(revision) for revision in revisions])


def _changes(revisions: Sequence[Revision], of: Sequence[Mapping[str, Any]]) -> tuple[Change, ...]:
    names = dict.fromkeys(name for values in of for name in values)
    found = []
    for name in names:
        values = {
            revision.name: each[name] for revision, each in zip(revisions, of, strict=True) if name in each
        }  # fmt: skip
        if len(values) < len(revisions) or any(value != values[revisions[0].name] for value in values.values()):
            found.append(Change(name, values))
    return tuple(found)


def _inputs(revision: Revision) -> dict[str, str]:
    """Hashes of code, data, models and adapters that went into a stage."""
    found = hashes(revision.stages).items()
    return {path: ",".join(sorted(md5s)) for path, md5s in sorted(found) if not path.startswith(_RESULTS)}
