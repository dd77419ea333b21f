"""A short version of `make soak`: a few kills up to a training."""

from pathlib import Path

import pytest
from clone import Project
from soak import soak


@pytest.mark.slow
def test_a_pipeline_that_is_killed_again_and_again_ends_with_the_same_files(smoke: Project, tmp_path: Path) -> None:
    told: list[str] = []
    kills = soak(smoke, tmp_path, kills=4, seed=0, tell=told.append, targets=[("train_orpo@ch-lora",)])
    assert len(kills) == len(told) == 4
    assert len({kill.kind for kill in kills}) > 1
