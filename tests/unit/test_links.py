import re

import pytest
import yaml

from tightlip.files import read_json
from tightlip.tracking.links import row_keys, run_urls

pytestmark = pytest.mark.filterwarnings("ignore:.*type hint:UserWarning")  # MLflow's, about itself and `predict`


def test_every_published_row_has_its_address(published):
    stages = yaml.safe_load((published / "dvc.lock").read_text())["stages"]
    urls = run_urls(published)
    for key, block in read_json(published / "metrics/summary.json").items():
        (published_key,) = row_keys(stages, key, block)
        assert re.fullmatch(r"http://127\.0\.0\.1:5000/#/experiments/1/runs/[0-9a-f]{32}", urls[published_key])
        assert row_keys(stages, key, {**block, "leak_count": 99})[0] not in urls


def test_nothing_published_means_no_addresses(tmp_path, small_project):
    assert run_urls(tmp_path) == {}
    assert run_urls(small_project) == {}  # a store without the experiment
    (tmp_path / "mlflow.db").write_text("no database")
    assert run_urls(tmp_path) == {}
