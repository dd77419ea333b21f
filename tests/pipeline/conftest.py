"""One run of the whole pipeline for all tests of this directory."""

import pytest
from clone import Project, copy_project


@pytest.fixture(scope="session")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project after one run of the smoke profile; tests put back what they change."""
    project = copy_project(tmp_path_factory.mktemp("smoke"))
    project.compose("smoke")
    project.dvc("repro")
    project.dvc("repro", "evidence/dvc.yaml")
    assert project.run("git", "add", "-A").returncode == 0
    return project
