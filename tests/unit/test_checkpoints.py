"""Trainings that are cut off at some step and started again, against the same without interruption."""

import copy
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import Trainer

from tightlip.models import checkpoints
from tightlip.models.tuning import tune
from tightlip.params import Dpo, Lora, Orpo, Train, Tune, Variant
from tightlip.preference.pair_encoding import EncodedPair
from tightlip.preference.trainer import train_orpo
from tightlip.records import Dialogue, Turn

STEPS, PER_EPOCH = 21, 7


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Counts training steps; once it holds a number n, the n-th step from there on is not lived through."""
    counted = [0, 10**6]
    take = Trainer.training_step

    def step(self: Any, *args: Any, **kwargs: Any) -> Any:
        if counted[0] == counted[1]:
            raise Killed
        counted[0] += 1
        return take(self, *args, **kwargs)

    monkeypatch.setattr(Trainer, "training_step", step)
    return counted


def until_done(train: Callable[[], Any], steps: list[int], *lives: int) -> tuple[Any, list[int]]:
    """Start a training again and again, killed after so many steps each time; return its result and the steps taken."""
    taken = []
    for life in (*lives, 10**6):
        steps[:] = [0, life]
        try:
            result = train()
        except Killed:
            result = None
        taken.append(steps[0])
    assert result is not None
    return result, taken


@pytest.fixture(scope="module")
def model(tiny_model: Any) -> Any:
    """The tiny model with larger embeddings: its own are too small for an adapter below them to change the answer."""
    larger = copy.deepcopy(tiny_model).to(torch.bfloat16)
    larger.get_input_embeddings().weight.data *= 10
    return larger


@pytest.fixture(scope="module")
def pairs() -> list[EncodedPair]:
    """Fourteen pairs of seven answers, of different lengths: seven steps of two."""
    return [
        EncodedPair(
            answer=str(number // 2), prompt_ids=list(range(10, 14 + number)), chosen_ids=[20 + number, 21, 2],
            rejected_ids=[30 + number, 31 + number % 3, 32, 2],
        )
        for number in range(14)
    ]  # fmt: skip


TrainOrpo = Callable[..., list[dict[str, float | str]]]


@pytest.fixture
def orpo(model: Any, tiny_tokenizer: Any, pairs: list[EncodedPair], tmp_path: Path) -> TrainOrpo:
    def train(work: str, dropout: float = 0.2, **changed: Any) -> list[dict[str, float | str]]:
        out = tmp_path / f"out_{work}"
        shutil.rmtree(out, ignore_errors=True)  # a stage's temporary directory dies with it
        variant = Variant(model="ch", dataset="cfg", **{n: v for n, v in changed.items() if n == "objective"})
        settings = Train(
            epochs=3, learning_rate=1e-2, orpo=Orpo(beta=0.5), dpo=Dpo(beta=0.5), save_seconds=0,
            lora=Lora(rank=4, alpha=8, dropout=dropout, keep=0.85), variants={"ch-lora": variant},
        ).model_copy(update={n: v for n, v in changed.items() if n != "objective"})  # fmt: skip
        return train_orpo(
            copy.deepcopy(model), tiny_tokenizer, pairs, pairs[:4], out, tmp_path / work, variant=variant,
            settings=settings, seed=3,
        )  # fmt: skip

    return train


def adapters(folder: Path) -> dict[str, Any]:
    return {path.parent.name: load_file(path) for path in sorted(folder.rglob("epoch_*/*.safetensors"))}


def same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    if isinstance(next(iter(first.values())), dict):
        return first.keys() == second.keys() and all(same(first[name], second[name]) for name in first)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_a_killed_training_ends_with_the_same_adapters_and_curves(
    orpo: TrainOrpo, steps: list[int], tmp_path: Path, dropout: float
) -> None:
    expected, _ = until_done(lambda: orpo("whole", dropout), steps)
    assert (orpo("other", 0.0) == expected) == (dropout == 0)
    assert [row["step"] for row in expected if row["split"] == "train"] == [5, 10, 15, 20]
    # Before the first checkpoint, in the first epoch, at its last step, at the second's first, in the third.
    curves, taken = until_done(lambda: orpo("killed", dropout), steps, 0, 3, 4, 3, 4)
    assert curves == expected
    assert sum(taken) > STEPS
    kept = adapters(tmp_path / "out_killed")
    assert list(kept) == ["epoch_1", "epoch_2", "epoch_3"]
    assert same(kept, adapters(tmp_path / "out_whole"))
    assert not same(kept["epoch_1"], kept["epoch_2"])
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        ends = [(tmp_path / f"out_{work}/epoch_3" / name).read_bytes() for work in ("killed", "whole")]
        assert ends[0] == ends[1]


def test_no_more_than_one_interval_is_trained_again(orpo: TrainOrpo, steps: list[int], monkeypatch: Any) -> None:
    now = [0.0]
    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: now[0])
    take = Trainer.training_step

    def step(self: Any, *args: Any, **kwargs: Any) -> Any:
        now[0] += 1.0
        return take(self, *args, **kwargs)

    monkeypatch.setattr(Trainer, "training_step", step)
    # A step takes a second, a checkpoint is due after three: they come after steps 3 and 6. The eighth step is killed.
    _, taken = until_done(lambda: orpo("killed", save_seconds=3), steps, 7)
    assert taken == [7, STEPS - 6]


def test_a_training_that_came_to_its_end_takes_no_step_again(orpo: TrainOrpo, steps: list[int], tmp_path: Path) -> None:
    expected, taken = until_done(lambda: orpo("work"), steps)
    before = adapters(tmp_path / "out_work")
    curves, again = until_done(lambda: orpo("work"), steps)
    assert (taken, again) == ([STEPS], [0])
    assert curves == expected
    assert same(adapters(tmp_path / "out_work"), before)
    [checkpoint] = (tmp_path / "work").glob("checkpoint-*")  # what only training needs is gone
    assert not (checkpoint / "optimizer.pt").exists()


def test_one_checkpoint_is_kept_and_a_half_written_one_never_taken(
    orpo: TrainOrpo, steps: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = Trainer._save_rng_state

    def killed(self: Any, folder: str) -> None:
        if self.state.global_step == 5:
            raise Killed
        save(self, folder)

    monkeypatch.setattr(Trainer, "_save_rng_state", killed)
    with pytest.raises(Killed):
        orpo("work")
    assert [path.name for path in (tmp_path / "work").glob("checkpoint-*")] == ["checkpoint-4"]
    monkeypatch.undo()
    assert orpo("work") == orpo("whole")
    assert same(adapters(tmp_path / "out_work"), adapters(tmp_path / "out_whole"))


def dialogue(number: int) -> Dialogue:
    user, assistant = Turn(role="user", content="Who? " * (number % 4)), Turn(role="assistant", content=f"By {number}.")
    return Dialogue(id=f"d{number}", domain="letters", split="train", turns=(user, assistant))


def test_a_killed_tuning_ends_with_the_same_model_and_log(
    model: Any, tiny_tokenizer: Any, steps: list[int], tmp_path: Path
) -> None:
    def train(work: str) -> tuple[Any, list[dict[str, float]]]:
        return tune(
            copy.deepcopy(model), tiny_tokenizer, [dialogue(number) for number in range(28)], tmp_path / work,
            Tune(epochs=3, learning_rate=1e-2, batch_size=4, rank=8, max_length=256), seed=3, save_seconds=0,
        )  # fmt: skip

    (expected, log), _ = until_done(lambda: train("whole"), steps)
    (tuned, same_log), _ = until_done(lambda: train("killed"), steps, 6, 6, 8)
    assert same_log == log
    assert same(dict(tuned.named_parameters()), dict(expected.named_parameters()))
    assert not same(dict(tuned.named_parameters()), dict(model.named_parameters()))
    (read, read_log), again = until_done(lambda: train("killed"), steps)
    assert again == [0]
    assert read_log == log
    assert same(dict(read.named_parameters()), dict(expected.named_parameters()))
