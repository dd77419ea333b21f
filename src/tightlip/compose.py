"""`python -m tightlip.compose PROFILE`: write params.yaml from conf/, as `dvc exp run` does."""

import sys
import tempfile
from pathlib import Path

from tightlip.files import one_line, write_text
from tightlip.params import load_params


def compose(profile: str, out: str | Path = "params.yaml", conf: str | Path = "conf") -> None:
    """Compose a profile with Hydra, check it and write it.

    Raises:
        ValueError: there is no such profile, or its parameters are wrong; `out` is then as it was.
    """
    from dvc.utils.hydra import compose_and_dump

    known = sorted(path.stem for path in Path(conf, "profile").glob("*.yaml"))
    if profile not in known:
        raise ValueError(f"no profile {profile!r} in {conf}/profile; there are {', '.join(known)}")
    source = Path(conf, "profile", f"{profile}.yaml")
    with tempfile.TemporaryDirectory() as folder:
        composed = Path(folder, "params.yaml")
        try:
            compose_and_dump(str(composed), str(Path(conf).resolve()), None, "config", "", [f"profile={profile}"])
        except RecursionError:
            raise ValueError(f"{source}: nested too deeply, or a profile whose defaults lead back to itself") from None
        except Exception as error:  # whatever a broken profile makes Hydra raise
            reason = (one_line(error) or type(error).__name__).replace(str(Path(conf).resolve()), str(conf))
            raise ValueError(f"{source}: Hydra cannot compose it ({reason}); correct it") from None
        load_params(composed, shown=source)
        write_text(out, composed.read_text(encoding="utf-8"))


if __name__ == "__main__":
    try:
        compose(sys.argv[1])
    except ValueError as error:
        sys.exit(f"Error: {error}")
