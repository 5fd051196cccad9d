"""Callbacks that `onlineml.fit` adds to a Lightning trainer: metrics of each epoch, early stopping."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from onlineml.data.loading.lightning import pl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from onlineml.training.budget import Clock
    from onlineml.training.ema import Ema
    from onlineml.training.progress import Reporter

__all__ = ["EpochRecord", "WeightsSnapshot"]

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
    """Validates after epochs, records and shows a row of metrics, and stops early.

    Args:
        val_batches: iterated for each validation; None if there is no validation split.
        ema: its average is validated; None validates the weights themselves.
        clock: of the run.
        record: stores a row.
        note: takes the metrics within an epoch, at most once a second; so does `show`.
        show: takes all rows.
        patience: stop after this many validations without improvement; None never.
        saves_time: validate at most 5 % of the time, for a budget; else after every epoch.
        rows: of an earlier attempt, up to its last checkpoint.

    Attributes:
        last_row: metrics of the last epoch.
        is_recorded: whether it is recorded; the final row is validated and recorded by `fit`.
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
    ) -> None:
        self.val_batches, self.ema, self.clock = val_batches, ema, clock
        self.record, self.note, self.show = record, note, show
        self.patience, self.saves_time = patience, saves_time
        self.rows = list(rows)
        self.validation_s: float | None = None
        self.is_recorded = False
        self.best: WeightsSnapshot | None = None
        self.before: WeightsSnapshot | None = None
        self.waited = 0
        self._validated_at = clock.spent()
        self._ticked_at = time.monotonic()
        self._reset()

    def _reset(self) -> None:
        self._loss: Any = 0.0
        self._batches, self._images, self._earlier_s = 0, 0, 0.0
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
        del batch_idx
        if not len(batch["image"]):  # all images were unusable
            return
        self._loss = self._loss + outputs["loss"].detach()
        self._batches += 1
        self._images += len(batch["image"])
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

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        last = trainer.should_stop or pl_module.progress() >= 1.0
        due = not self.saves_time or self.validation_s is None or self._is_due()
        scores: dict[str, float] = dict.fromkeys(pl_module.metric_names, math.nan)
        epoch_s = max(1e-9, self._epoch_s())
        if due and not last:  # the last one is validated by fit, with the final weights
            scores = self.validate(pl_module)
        row = self._metric_values(trainer, pl_module, scores, epoch_s=epoch_s)
        if not last:
            self.keep(row)
        self.last_row, self.is_recorded = row, not last
        for name in ("train_loss", *pl_module.metric_names):
            if not math.isnan(row[name]):
                pl_module.log(name, row[name], logger=False)  # the user's loggers get the row from fit
        if not math.isnan(pl_module.selection_score(row)):
            self._wait(trainer, pl_module, row)
        self._reset()

    def keep(self, row: Mapping[str, Any]) -> None:
        """Record a row and show it."""
        self.rows.append(dict(row))
        self.record(row)
        self.show(self.rows)

    def _is_due(self) -> bool:
        return self.clock.spent() - self._validated_at >= (self.validation_s or 0.0) / _VALIDATION_SHARE

    def validate(self, module: Any) -> dict[str, float]:
        """Validate the weights that would be kept, and measure the time."""
        if self.val_batches is None:
            return dict.fromkeys(module.metric_names, math.nan)
        begin = time.monotonic()
        if self.ema is None:
            scores: dict[str, float] = module.validate(self.val_batches)
        else:
            with self.ema.applied(module):
                scores = module.validate(self.val_batches)
        self.validation_s = time.monotonic() - begin
        self.clock.aside(self.validation_s)
        self._validated_at = self.clock.spent()
        return scores

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
