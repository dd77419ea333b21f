"""Trainings that resume where a killed process stopped, with the same result to the last bit.

The library resumes weights, optimizer, schedule and dropout. It does not resume the order of the epoch's
batches, which it draws anew, nor the sums behind the next line of the log; both are added here.
"""

import shutil
import time
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from tightlip.files import atomic_dir

PREFIX = "checkpoint-"
FORGOTTEN = "forgotten.pt"


def train(trainer: Any, work: Path, save_seconds: float) -> None:
    """Train, from the newest checkpoint if there is one; a training that has ended is only read.

    Args:
        trainer: of the library, over a model with a LoRA adapter; integer epochs, no accumulation of gradients.
        work: directory of the checkpoints; its name must decide all of the training.
        save_seconds: seconds at least between checkpoints; at 0 there is one after each step except an epoch's last.
    """
    checkpoints = _Checkpoints(trainer, work, save_seconds)
    trainer.add_callback(checkpoints)
    newest = checkpoints.newest()
    trainer.train(resume_from_checkpoint=str(newest) if newest else None)


class _Checkpoints(TrainerCallback):
    """Writes a checkpoint when it is time, and one without optimizer at the end; only the newest stays.

    A step's checkpoint is written when the next one begins: then its line is in the log. After the last step of an
    epoch there is none, because the library would resume in the next one, past the evaluation.
    """

    def __init__(self, trainer: Any, work: Path, save_seconds: float) -> None:
        self.trainer, self.work, self.save_seconds = trainer, work, save_seconds
        newest = self.newest()
        path = newest / FORGOTTEN if newest else None
        self.forgotten = torch.load(path, weights_only=True) if path and path.is_file() else None

    def newest(self) -> Path | None:
        return max(self.work.glob(f"{PREFIX}*"), key=lambda path: int(path.name.removeprefix(PREFIX)), default=None)

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.saved = time.monotonic()
        if self.forgotten is None:
            return
        self.trainer._tr_loss += self.forgotten["loss"].to(self.trainer._tr_loss.device)
        self.trainer._globalstep_last_logged = self.forgotten["last_logged"]
        for split, metrics in self.forgotten["metrics"].items():
            self.trainer._stored_metrics[split].update(metrics)

    def on_epoch_begin(self, *_: Any, **__: Any) -> None:
        if self.forgotten is not None:  # the state after the checkpoint's last step comes after the first batch
            torch.set_rng_state(self.forgotten.pop("order"))
            self.forgotten = None
        self.order = torch.get_rng_state()

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        steps_per_epoch = state.max_steps // round(args.num_train_epochs)
        if state.global_step % steps_per_epoch and time.monotonic() - self.saved >= self.save_seconds:
            self._save(state, ended=False)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if not (self.work / f"{PREFIX}{state.global_step}").exists():
            self._save(state, ended=True)

    def _save(self, state: Any, *, ended: bool) -> None:
        path = self.work / f"{PREFIX}{state.global_step}"
        with atomic_dir(path) as folder:
            self.trainer.model.save_pretrained(folder)
            state.save_to_json(str(folder / "trainer_state.json"))
            if not ended:
                self.trainer._save_optimizer_and_scheduler(str(folder))
                self.trainer._save_rng_state(str(folder))
                torch.save(self._sums(), folder / FORGOTTEN)
        for other in self.work.glob(f"{PREFIX}*"):
            if other != path:
                shutil.rmtree(other)
        self.saved = time.monotonic()

    def _sums(self) -> dict[str, Any]:
        stored = getattr(self.trainer, "_stored_metrics", {})
        return {
            "order": self.order,
            "loss": self.trainer._tr_loss,
            "last_logged": self.trainer._globalstep_last_logged,
            "metrics": {split: dict(metrics) for split, metrics in stored.items()},
        }
