"""Models inside installed Python packages."""

import importlib.util
from pathlib import Path


def find_packaged(name: str) -> tuple[Path, str]:
    """Return folder and file of a model in an installed package.

    Args:
        name: `package/file.gguf`.

    Raises:
        ValueError: there is no such package or file.
    """
    package, _, file = name.partition("/")
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(f"package {package!r} is not installed; run `make setup`")
    folder = Path(next(iter(spec.submodule_search_locations)))
    if not (folder / file).is_file():
        raise ValueError(f"package {package!r} has no file {file!r}; check the name and the version")
    return folder, file
