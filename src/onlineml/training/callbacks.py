"""Callbacks that `onlineml.fit` adds to a Lightning trainer: metrics of each epoch, early stopping."""

from __future__ import annotations

import math
import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from onlineml.data.loading.lightning import pl
from onlineml.models.processes import gathered, mean_over_processes, n_processes
from onlineml.training.processes import ALONE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from onlineml.data.loading.datamodules import ImageDataModule
    from onlineml.training.budget import Clock
    from onlineml.training.ema import Ema
    from onlineml.training.processes import Processes
    from onlineml.training.progress import Reporter

__all__ = ["NEVER", "EpochRecord", "SharedFindings", "WeightsSnapshot"]

NEVER = sys.maxsize  # a value of Trainer.check_val_every_n_epoch: no epoch ends with a validation

_VALIDATION_SHARE = 0.05  # maximum share of the time for validations between epochs
_TICK_S = 1.0  # between two updates within an epoch: each waits for the device


class WeightsSnapshot(NamedTuple):
    """Candidates for the final weights, with their row of metrics."""

    row: dict[str, Any]
    weights: dict[str, Any]

    @classmethod
    def of(cls, module: Any, row: Mapping[str, Any]) -> WeightsSnapshot:
        """Return a snapshot of the present weights of ``module``."""
        return cls(dict(row), {k: v.detach().clone() for k, v in module.state_dict().items()})


class EpochRecord(pl.Callback):
    """Decides which epochs end with a validation, records and shows a row of metrics, and stops early.

    Args:
        val_batches: of the trainer's validations; None if there is no validation split.
        ema: its average is validated; None validates the weights themselves.
        clock: of the run.
        record: stores a row.
        note: takes the metrics within an epoch, at most once a second; so does `show`.
        show: takes all rows.
        patience: stop after this many validations without improvement; None never.
        saves_time: validate at most 5 % of the time, for a budget; else after every epoch.
        rows: of an earlier attempt, up to its last checkpoint.
        processes: that train together: rows are of all of them, and the first one decides.

    Attributes:
        last_row: metrics of the last epoch.
        is_recorded: whether it is recorded; the final row is recorded by `fit`.
        best: with patience, the best validation.
        before: metrics and weights at the start of training, if known.
    """

    last_row: dict[str, Any]

    def __init__(
        self,
        val_batches: Iterable[Any] | None,
        *,
        ema: Ema | None,
        clock: Clock,
        record: Callable[[Mapping[str, Any]], None],
        note: Callable[[Mapping[str, Any]], None],
        show: Reporter,
        patience: int | None,
        saves_time: bool,
        rows: Sequence[Mapping[str, Any]] = (),
        processes: Processes = ALONE,
    ) -> None:
        self.val_batches, self.ema, self.clock = val_batches, ema, clock
        self.record, self.note, self.show = record, note, show
        self.patience, self.saves_time = patience, saves_time
        self.rows, self.processes = list(rows), processes
        self.validation_s: float | None = None
        self._scores: dict[str, float] = {}  # of the epoch's validation
        self.is_recorded = False
        self.best: WeightsSnapshot | None = None
        self.before: WeightsSnapshot | None = None
        self.waited = 0
        self._validated_at = clock.spent()
        self._ticked_at = time.monotonic()
        self._reset()

    def _reset(self) -> None:
        self._loss: Any = 0.0
        self._batches, self._images, self._earlier_s = 0.0, 0.0, 0.0
        self._start_timing()

    def _start_timing(self) -> None:
        self._begin, self._aside = self.clock.spent(), self.clock.aside_s

    def _epoch_s(self) -> float:
        """Seconds of training in this epoch, including those before an interruption."""
        return self._earlier_s + self.clock.spent() - self._begin - (self.clock.aside_s - self._aside)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        del pl_module
        self._start_timing()
        if self.patience is not None and self.waited >= self.patience:  # killed after the decision to stop
            trainer.should_stop = True

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.saves_time and (trainer.should_stop or batch_idx + 1 >= trainer.num_training_batches):
            due = self.processes.agree(self._is_due(trainer, pl_module))
            trainer.check_val_every_n_epoch = 1 if due else NEVER
        if not len(batch["image"]):  # all images were unusable
            return
        self._loss = self._loss + outputs["loss"].detach()
        self._batches += 1
        self._images += len(batch["image"]) * self.processes.n  # about
        if time.monotonic() - self._ticked_at >= _TICK_S:
            self._ticked_at = time.monotonic()
            now = self._metric_values(trainer, pl_module, {}, epoch_s=self._epoch_s())
            self.note(now)
            self.show.tick(now)

    def _metric_values(
        self, trainer: pl.Trainer, module: Any, scores: Mapping[str, float], *, epoch_s: float
    ) -> dict[str, Any]:
        """A row of the metrics of this epoch so far."""
        return {
            "epoch": trainer.current_epoch,
            "step": trainer.global_step,
            "train_loss": float(self._loss) / max(1, self._batches),
            **scores,
            "lr": max(group["lr"] for o in trainer.optimizers for group in o.param_groups),
            "progress": module.progress(),
            "images_per_s": self._images / max(1e-9, epoch_s),
            "epoch_s": epoch_s,
            "seconds": self.clock.spent(),
        }

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        del trainer, pl_module
        self._validation_began = time.monotonic()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        del trainer
        self._scores = dict(pl_module.validated)
        self._note_validation(time.monotonic() - self._validation_began)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        last = trainer.should_stop or pl_module.progress() >= 1.0
        own = torch.tensor([float(self._loss), self._batches, self._images], dtype=torch.float64)
        self._loss, self._batches, self._images = mean_over_processes(own).tolist()
        scores = self.processes.agree(self._scores) or dict.fromkeys(pl_module.metric_names, math.nan)
        row = self._metric_values(trainer, pl_module, scores, epoch_s=max(1e-9, self._epoch_s()))
        if not last:
            self.keep(row)
        self.last_row, self.is_recorded, self._scores = row, not last, {}
        if not math.isnan(row["train_loss"]):
            several = self.processes.n > 1  # all have the same value
            # the user's loggers get the row from fit
            pl_module.log("train_loss", row["train_loss"], logger=False, sync_dist=several)
        if not math.isnan(pl_module.selection_score(row)):
            self._wait(trainer, pl_module, row)
        self._reset()

    def keep(self, row: Mapping[str, Any]) -> None:
        """Record a row and show it."""
        self.rows.append(dict(row))
        self.record(row)
        self.show(self.rows)

    def _is_due(self, trainer: pl.Trainer, module: Any) -> bool:
        """Return whether to validate after the epoch that ends: the last one, and others as time permits."""
        if self.validation_s is None or trainer.should_stop or module.progress() >= 1.0:
            return True
        return self.clock.spent() - self._validated_at >= self.validation_s / _VALIDATION_SHARE

    def begin_with(
        self, before: WeightsSnapshot | None, row: Mapping[str, Any] | None, *, names: Iterable[str]
    ) -> None:
        """Take note of the start.

        Args:
            before: metrics and weights, if known.
            row: of the last epoch, without scores, where there will be none; they are those of ``before``.
            names: of the scores.
        """
        self.before = before
        if row is not None:
            known = {} if before is None else before.row
            self.last_row = {**row, **{name: known.get(name, math.nan) for name in names}}

    def validate(self, module: Any) -> dict[str, float]:
        """Validate the final weights, where Lightning did not."""
        if self.val_batches is None:
            return dict.fromkeys(module.metric_names, math.nan)
        begin = time.monotonic()
        scores: dict[str, float] = module.validate(self.val_batches)
        self._note_validation(time.monotonic() - begin)
        return scores

    def _note_validation(self, seconds: float) -> None:
        self.validation_s = seconds
        self.clock.aside(seconds)
        self._validated_at = self.clock.spent()

    def _wait(self, trainer: pl.Trainer, module: Any, row: dict[str, Any]) -> None:
        if self.patience is None:
            return
        if self.best is None or module.selection_score(row) > module.selection_score(self.best.row):
            if self.ema is None:
                self.best = WeightsSnapshot.of(module, row)
            else:
                with self.ema.applied(module):
                    self.best = WeightsSnapshot.of(module, row)
            self.waited = 0
            return
        self.waited += 1
        trainer.should_stop = trainer.should_stop or self.waited >= self.patience

    def state_dict(self) -> dict[str, Any]:
        return {
            "best": None if self.best is None else self.best._asdict(),
            "before": None if self.before is None else self.before._asdict(),
            "waited": self.waited,
            "n_rows": len(self.rows),
            "last_row": getattr(self, "last_row", None),
            "told": self.is_recorded,
            "epoch": (self._loss, self._batches, self._images, self._epoch_s()),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        best, before, self.waited = state_dict["best"], state_dict["before"], state_dict["waited"]
        self.best = None if best is None else WeightsSnapshot(**best)
        self.before = None if before is None else WeightsSnapshot(**before)
        if state_dict["last_row"] is not None:
            self.last_row, self.is_recorded = state_dict["last_row"], state_dict["told"]
        self._loss, self._batches, self._images, self._earlier_s = state_dict["epoch"]


class SharedFindings(pl.Callback):
    """Tells a datamodule the bad images that other processes met, after each epoch.

    Args:
        datamodule: of this process.
    """

    def __init__(self, datamodule: ImageDataModule) -> None:
        self.datamodule = datamodule

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        del trainer, pl_module
        for found in gathered(self.datamodule.bad_rows()) if n_processes() > 1 else ():
            for split, rows in found.items():
                self.datamodule.note_bad(rows, split=split)
