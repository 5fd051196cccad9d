"""What `onlineml.fit` adds to a Lightning trainer: figures of each epoch, early stopping, checkpoints in the run."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import torch

from onlineml._lightning import pl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from onlineml.tasks.budget import Clock
    from onlineml.tasks.ema import Ema

__all__ = ["Checkpoints", "EpochRecord", "validate"]

_VALIDATION_SHARE = 0.05  # of the time, at most, goes into validating between epochs
_CHECKPOINT_SHARE = 0.01  # and this much into checkpoints
_CHECKPOINT_S = 30.0  # no two are closer


def validate(module: Any, batches: Iterable[Any]) -> dict[str, float]:
    """Loss and accuracy over all images of ``batches``; nan where there are none.

    The module is left in the modes it was in.
    """
    modes = [(m, m.training) for m in module.modules()]
    module.eval()
    loss, right, n = 0.0, 0, 0
    with torch.inference_mode():
        for batch in batches:
            logits = module(batch["image"].to(module.device, non_blocking=True)).float()
            labels = batch["label"].to(module.device)
            loss += float(torch.nn.functional.cross_entropy(logits, labels, reduction="sum"))
            right += int((logits.argmax(1) == labels).sum())
            n += len(labels)
    for m, training in modes:
        m.training = training
    return {"val_loss": loss / n if n else math.nan, "val_accuracy": right / n if n else math.nan}


class EpochRecord(pl.Callback):
    """After each epoch: validates when it is worth its time, records a row, shows it, stops early.

    Args:
        val_batches: iterated for each validation; None where there is no validation split.
        ema: its average is validated; None validates the weights as they are.
        clock: of the run.
        record: keeps a row.
        show: is given all rows.
        patience: stop after so many validations without a lower loss; None never.
        saves_time: under a budget, validate at most a twentieth of the time; else after every epoch.
    """

    def __init__(
        self,
        val_batches: Iterable[Any] | None,
        *,
        ema: Ema | None,
        clock: Clock,
        record: Callable[[Mapping[str, Any]], None],
        show: Callable[[Sequence[Mapping[str, Any]]], None],
        patience: int | None,
        saves_time: bool,
        rows: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self.val_batches, self.ema, self.clock = val_batches, ema, clock
        self.record, self.show, self.patience, self.saves_time = record, show, patience, saves_time
        self.rows = list(rows)
        self.validation_s: float | None = None
        self.best: tuple[float, dict[str, Any]] | None = None
        self.waited = 0
        self._validated_at = clock.spent()
        self._reset()

    def _reset(self) -> None:
        self._loss: Any = 0.0
        self._batches, self._images, self._begin = 0, 0, self.clock.spent()
        self._aside = self.clock.aside_s

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        del trainer, pl_module
        self._reset()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        del trainer, pl_module, batch_idx
        self._loss = self._loss + outputs["loss"].detach()
        self._batches += 1
        self._images += len(batch["label"])

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        last = trainer.should_stop or pl_module.progress() >= 1.0
        due = not self.saves_time or self.validation_s is None or self._is_due()
        scores = {"val_loss": math.nan, "val_accuracy": math.nan}
        seconds = max(1e-9, self.clock.spent() - self._begin - (self.clock.aside_s - self._aside))
        if due and not last:  # the last one is validated by fit, with the weights that are kept
            scores = self.validate(pl_module)
        row = {
            "epoch": trainer.current_epoch,
            "step": trainer.global_step,
            "train_loss": float(self._loss) / max(1, self._batches),
            **scores,
            "lr": max(group["lr"] for o in trainer.optimizers for group in o.param_groups),
            "progress": pl_module.progress(),
            "images_per_s": self._images / seconds,
            "epoch_s": seconds,
            "seconds": self.clock.spent(),
        }
        if not last:
            self.keep(row)
        self.last_row = row
        for name in ("train_loss", "val_loss", "val_accuracy"):
            if not math.isnan(row[name]):
                pl_module.log(name, row[name])
        if not math.isnan(row["val_loss"]):
            self._wait(trainer, pl_module, row["val_loss"])

    def keep(self, row: Mapping[str, Any]) -> None:
        """Record a row and show it."""
        self.rows.append(dict(row))
        self.record(row)
        self.show(self.rows)

    def _is_due(self) -> bool:
        return self.clock.spent() - self._validated_at >= (self.validation_s or 0.0) / _VALIDATION_SHARE

    def validate(self, module: Any) -> dict[str, float]:
        """Validate the weights that would be kept, and note the time that it took."""
        if self.val_batches is None:
            return {"val_loss": math.nan, "val_accuracy": math.nan}
        begin = time.monotonic()
        if self.ema is None:
            scores = validate(module, self.val_batches)
        else:
            with self.ema.applied(module):
                scores = validate(module, self.val_batches)
        self.validation_s = time.monotonic() - begin
        self.clock.aside(self.validation_s)
        self._validated_at = self.clock.spent()
        return scores

    def _wait(self, trainer: pl.Trainer, module: Any, val_loss: float) -> None:
        if self.patience is None:
            return
        if self.best is None or val_loss < self.best[0]:
            if self.ema is None:
                self.best = (val_loss, _copy(module))
            else:
                with self.ema.applied(module):
                    self.best = (val_loss, _copy(module))
            self.waited = 0
            return
        self.waited += 1
        trainer.should_stop = trainer.should_stop or self.waited >= self.patience

    def state_dict(self) -> dict[str, Any]:
        best = None if self.best is None else {"val_loss": self.best[0], "weights": self.best[1]}
        return {"best": best, "waited": self.waited}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        best = state_dict["best"]
        self.best = None if best is None else (best["val_loss"], best["weights"])
        self.waited = state_dict["waited"]


def _copy(module: Any) -> dict[str, Any]:
    return {k: v.detach().clone() for k, v in module.state_dict().items()}


class Checkpoints(pl.Callback):
    """Writes the whole state of the training to the run, often enough to lose little and seldom enough to cost little.

    Args:
        folder: on this machine, where the file is written first.
        publish: puts the finished file in its place, atomically.
        clock: of the run; its seconds are kept in the checkpoint.
        every_s: seconds between two, stretched so that they take at most 1 % of the time.
    """

    def __init__(
        self, folder: Path, *, publish: Callable[[Path], None], clock: Clock, every_s: float = _CHECKPOINT_S
    ) -> None:
        self.folder, self.publish, self.clock, self.every_s = folder, publish, clock, every_s
        self.cost_s = 0.0
        self._saved_at = clock.spent()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        del pl_module, outputs, batch, batch_idx
        if self.clock.spent() - self._saved_at >= max(self.every_s, self.cost_s / _CHECKPOINT_SHARE):
            self.save(trainer)

    def save(self, trainer: pl.Trainer) -> None:
        """Write a checkpoint now."""
        begin = time.monotonic()
        path = self.folder / "last.ckpt"
        trainer.save_checkpoint(path)
        self.publish(path)
        self.cost_s = time.monotonic() - begin
        self.clock.aside(self.cost_s)
        self._saved_at = self.clock.spent()

    def state_dict(self) -> dict[str, Any]:
        return {"spent_s": self.clock.spent()}
