import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tightlip.dvc_lock import hash_paths, parse_lock, read_locks, writers

LOCK = b"""schema: '2.0'
stages:
  train:
    cmd: x
    outs:
    - path: adapters/a
      md5: 1a.dir
"""


def test_hashes_are_those_of_dvc(tmp_path: Path) -> None:
    for name in ("a-b/z.txt", "a/b/x.txt", "a/é.txt", "B.txt"):
        (tmp_path / "folder" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / name).write_text(name)
    for command in (["init", "-q", "--no-scm"], ["add", "-q", "folder"]):
        environment = {**os.environ, "DVC_NO_ANALYTICS": "1"}
        subprocess.run([sys.executable, "-m", "dvc", *command], cwd=tmp_path, check=True, env=environment)
    (out,) = yaml.safe_load((tmp_path / "folder.dvc").read_text())["outs"]
    assert hash_paths(tmp_path, ["folder"]) == {"folder": out["md5"]}


def test_the_stages_of_every_lock_file_are_named_as_dvc_names_them(tmp_path: Path) -> None:
    (tmp_path / "evidence").mkdir()
    (tmp_path / "dvc.lock").write_bytes(LOCK)
    (tmp_path / "evidence/dvc.lock").write_bytes(LOCK.replace(b"train", b"attack"))
    locks = read_locks(tmp_path)
    assert list(locks) == ["train", "evidence/dvc.yaml:attack"]
    assert writers(locks, "adapters/a") == list(locks)


@pytest.mark.parametrize("content", [b"", LOCK[:-1], LOCK[:20], b"- a\n", b"stages:\n", b"stages: [\n"])
def test_a_lock_file_that_is_cut_off_or_something_else_is_named(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"x/dvc\.lock: cut off, or no lock file of DVC; run `make repro`"):
        parse_lock(content, "x/dvc.lock")
