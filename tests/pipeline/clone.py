"""A throw-away copy of the project, in which real commands run as they do for a user."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
RESULTS = ("dvc.lock", "evidence/dvc.lock", "metrics/")


@dataclass(frozen=True)
class Project:
    """A copy of the project under `path`, without the committed results."""

    path: Path

    @property
    def environment(self) -> dict[str, str]:
        """This interpreter, the copy's code, one thread and no network."""
        env = {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "GIT_", "MLFLOW_"))}
        return env | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}",
            "PYTHONPATH": str(self.path / "src"),
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "TOKENIZERS_PARALLELISM": "false",
            "TRL_EXPERIMENTAL_SILENCE": "1",
        }

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a program in this environment."""
        return subprocess.run(command, cwd=self.path, env=self.environment, capture_output=True, text=True, check=False)

    def python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Python."""
        return self.run(sys.executable, *arguments)

    def dvc(self, *arguments: str) -> str:
        """Run dvc, which must succeed, and return what it printed."""
        done = self.python("-m", "dvc", *arguments)
        assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout[-500:]}{done.stderr[-2000:]}"
        return done.stdout

    def compose(self, profile: str) -> None:
        """Write the profile's params.yaml."""
        done = self.python("-m", "tightlip.compose", profile)
        assert done.returncode == 0, done.stderr


def copy_project(path: Path) -> Project:
    """Copy what git tracks or would track, as it stands in the working tree, into a repository of its own."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "-co", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file() and not name.startswith(RESULTS):
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, path / name)
    project = Project(path)
    assert project.run("git", "init", "-q").returncode == 0
    return project
