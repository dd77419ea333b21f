from pathlib import Path
from typing import Any

import pytest

from tightlip import cache as cache_module
from tightlip.cache import FINISHED, ResultCache


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project in the working directory, and a package of one module beside it."""
    (tmp_path / "package/models").mkdir(parents=True)
    (tmp_path / "package/models/loading.py").write_text("x = 1")
    (tmp_path / "weights").write_text("w")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.setattr(cache_module, "PACKAGE", tmp_path / "package")
    return tmp_path


def cache(seed: int = 0, name: str = "answers") -> ResultCache:
    return ResultCache(name, inputs=[Path("weights")], params={"seed": seed, "rows": [1, 2]}, code=["models"])


def test_a_result_is_computed_once_and_read_back_as_json() -> None:
    computed: list[int] = []

    def compute() -> list[tuple[str, int]]:
        computed.append(1)
        return [("ä", 1)]

    assert cache().get(["item"], compute) == cache().get(["item"], compute) == [["ä", 1]]
    assert len(computed) == 1


@pytest.mark.parametrize("change", ["params", "inputs", "code", "item", "name"])
def test_a_change_of_anything_that_decides_a_result_computes_it_anew(project: Path, change: str) -> None:
    assert cache().get(["item"], lambda: "old") == "old"
    if change == "inputs":
        (project / "weights").write_text("v")
    if change == "code":
        (project / "package/models/loading.py").write_text("x = 2")
    item = ["item", "further"] if change == "item" else ["item"]
    changed = cache(seed=int(change == "params"), name="other" if change == "name" else "answers")
    assert changed.get(item, lambda: "new") == "new"


def test_the_border_between_the_parts_of_an_item_counts() -> None:
    cache().get(["ab", "c"], lambda: "old")
    assert cache().get(["a", "bc"], lambda: "new") == "new"


def test_only_missing_results_are_computed_and_each_is_stored_when_it_is_there() -> None:
    items, computed = [["a"], ["b"], ["c"]], []
    cache().get(["b"], lambda: "B")

    def compute(places: list[int], fail: bool = False) -> Any:
        for place in places:
            if fail and place == 2:
                raise KeyboardInterrupt
            computed.append(place)
            yield items[place][0].upper()

    with pytest.raises(KeyboardInterrupt):
        cache().get_all(items, lambda places: compute(places, fail=True))
    assert cache().get_all(items, compute) == ["A", "B", "C"]
    assert computed == [0, 2]


def test_an_experiment_shares_the_results_of_the_project(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache().get(["item"], lambda: "of the project")
    (project / "experiment").mkdir()
    monkeypatch.setenv("DVC_ROOT", str(project))
    shared = ResultCache("answers", inputs=[project / "weights"], params={"seed": 0, "rows": [1, 2]}, code=["models"])
    monkeypatch.chdir(project / "experiment")
    assert shared.get(["item"], lambda: "of the experiment") == "of the project"


def test_a_missing_input_is_an_error_with_a_remedy(project: Path) -> None:
    (project / "weights").unlink()
    with pytest.raises(ValueError, match=r"^weights: no such file or directory; run `dvc repro` to make it$"):
        cache().get(["item"], lambda: 1)


# --- Directories of trainings --------------------------------------------------------------------------------------


def training(seed: int) -> ResultCache:
    return cache(seed, "train/x")


@pytest.fixture
def trained(project: Path) -> Path:
    """A finished training of seed 0 and an interrupted one of seed 1, both of the same name."""
    with training(0).training_dir() as work:
        (work / "adapter").touch()
    with pytest.raises(FileNotFoundError), training(1).training_dir() as work:
        (work / "missing/checkpoint").touch()
    return project / ".scratch/train/x"


def test_a_finished_training_stays_until_the_next_of_its_name_has_finished(trained: Path) -> None:
    finished, interrupted, following = (trained / training(seed).key[:16] for seed in range(3))
    assert (finished / FINISHED).is_file()
    with training(2).training_dir():
        assert (finished / "adapter").is_file()
    assert set(trained.iterdir()) == {interrupted, following}  # an interrupted training can be resumed


def test_a_finished_training_that_a_process_reads_is_left_alone(trained: Path) -> None:
    with training(0).training_dir() as work, training(2).training_dir():
        pass
    assert (work / "adapter").is_file()
