"""Checkpoints of a training in its run, written while it goes on."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from onlineml.data.loading.lightning import TorchCheckpointIO, pl
from onlineml.errors import StoppedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from onlineml.training.budget import Clock

__all__ = ["Checkpoints", "LocalCheckpoints"]

_SHARE = 0.01  # of the time, at most, goes into writing them
_EVERY_S = 30.0  # no two are closer


class Checkpoints(pl.Callback):
    """Writes the whole state of the training to the run, often enough to lose little and seldom enough to cost little.

    It comes after all other callbacks, and after the last batch of an epoch waits for the epoch's end: what is resumed
    has seen every batch and told every epoch. The training goes on while a file is on its way to storage; `close` waits
    for that.

    Args:
        draft: on this machine, where the file is written first.
        publish: puts the finished file in its place, atomically; in a thread.
        clock: of the run; its seconds are kept in the checkpoint.
        every_s: seconds between two, stretched so that they take at most 1 % of the time.
        stop: asked after each step; where it says so, a checkpoint is written and `StoppedError` raised.
    """

    def __init__(
        self,
        draft: Path,
        *,
        publish: Callable[[Path], None],
        clock: Clock,
        every_s: float = _EVERY_S,
        stop: Callable[[], bool] = bool,
    ) -> None:
        self.draft, self.publish, self.clock, self.every_s, self.stop = draft, publish, clock, every_s, stop
        self.cost_s = 0.0
        self._saved_at = clock.spent()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="onlineml-checkpoint")
        self._on_its_way: Future[None] | None = None

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        del pl_module, outputs, batch
        if batch_idx + 1 < trainer.num_training_batches and not trainer.should_stop:
            self._save_if_due(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        del pl_module
        self._save_if_due(trainer)

    def _save_if_due(self, trainer: pl.Trainer) -> None:
        if self.stop():
            self.save(trainer)
            self._arrived()
            raise StoppedError(f"asked to stop, after step {trainer.global_step}; call fit() again to go on from there")
        if self._on_its_way is not None and not self._on_its_way.done():
            return
        if self.clock.spent() - self._saved_at >= max(self.every_s, self.cost_s / _SHARE):
            self.save(trainer)

    def save(self, trainer: pl.Trainer) -> None:
        """Write a checkpoint now, and send it off.

        Raises:
            StorageError: the one before did not arrive.
        """
        self._arrived()
        begin = time.monotonic()
        self.draft.parent.mkdir(parents=True, exist_ok=True)
        trainer.save_checkpoint(self.draft)
        self._on_its_way = self._thread.submit(self.publish, self.draft)
        self.cost_s = time.monotonic() - begin
        self.clock.aside(self.cost_s)
        self._saved_at = self.clock.spent()

    def _arrived(self) -> None:
        if self._on_its_way is not None:
            self._on_its_way.result()

    def close(self) -> None:
        """Wait for the last file; whether it arrived no longer matters, since the training is over or has failed."""
        self._thread.shutdown()
        self.draft.unlink(missing_ok=True)

    def state_dict(self) -> dict[str, Any]:
        return {"spent_s": self.clock.spent()}


class LocalCheckpoints(TorchCheckpointIO):
    """Writes ours at once: Lightning's way through memory takes three times as long. Others are written as ever.

    Args:
        draft: the path of ours.
    """

    def __init__(self, draft: Path) -> None:
        super().__init__()
        self.draft = draft

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        if Path(path) == self.draft:
            torch.save(checkpoint, path)
        else:
            super().save_checkpoint(checkpoint, path, storage_options)
