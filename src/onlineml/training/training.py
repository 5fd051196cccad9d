"""One training: the warm-up of the head, the schedule, Lightning's loop, and the choice of the final weights."""

from __future__ import annotations

import math
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import torch

from onlineml.data.loading.lightning import lightning_of
from onlineml.errors import DivergedError, StoppedError
from onlineml.runs.backlog import FIRST_S
from onlineml.storage import patience
from onlineml.storage.io import delete, delete_drafts, draft_for, upload_file
from onlineml.tasks.choosing.costs import STEP_FORWARDS
from onlineml.tasks.schedule import Schedule, count_steps
from onlineml.training.budget import Budget, Clock, ending_s, read_knots, write_knots
from onlineml.training.callbacks import NEVER, EpochRecord, SharedFindings, WeightsSnapshot
from onlineml.training.checkpoints import Checkpoints, fetch_checkpoint, seconds_and_rows, shared_checkpoint
from onlineml.training.ema import Ema
from onlineml.training.processes import ALONE, Processes
from onlineml.training.progress import Progress, Reporter, kept_line, make_reporter, tell
from onlineml.training.trainer import (
    FINDS_UNUSED,
    begin_logs,
    interruptible,
    leave_signals,
    log_row,
    precision_for,
    quiet,
    strategy_of,
)
from onlineml.training.warm_up import NO_TIME, follow_flips, last_layer_row, warm_up_head

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from pytorch_lightning.loggers import Logger
    from torch import nn

    from onlineml.data.loading.datamodules import ImageDataModule
    from onlineml.data.loading.lightning import pl
    from onlineml.data.loading.loaders import Loader
    from onlineml.runs.run import Run
    from onlineml.tasks.base import VisionModule
    from onlineml.training.trainer import Strategy

__all__ = ["CALL", "Training"]

CALL = "fit(model, datamodule, run=…)"  # which continues a run

# In a short run the backbone's first layers stay frozen: they take a third of a step, and know edges and colours. In
# 480 s on one core sign digits come to .986 at 128 px, .974 at 160 px with all layers and a lower rate
_FROZEN_SHARE = 0.25


class Training:
    """One call of `onlineml.fit`, in each of its processes: prepare, execute."""

    before: WeightsSnapshot | None

    def __init__(
        self,
        model: VisionModule,
        datamodule: ImageDataModule,
        run: Run,
        folder: Path,
        *,
        epochs: int | None,
        budget_s: float | None,
        processes: Processes = ALONE,
    ) -> None:
        self.model, self.datamodule, self.run, self.folder = model, datamodule, run, folder
        self.epochs, self.budget_s, self.processes = epochs, budget_s, processes
        self.checkpoint = shared_checkpoint(run, folder, processes)
        spent_s, self._n_rows = seconds_and_rows(run, self.checkpoint)
        self.clock = Clock(spent_s=spent_s)
        self.reporter = Reporter()
        self.loaders: list[Loader] = []

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """Record an early end of the training in the run's status; leave the model ready for use."""
        try:
            with self.run.recorded(call=CALL), quiet(), self.processes.told():
                yield
        except BaseException as error:
            self._close(error)
            if isinstance(error, StoppedError):
                raise StoppedError(f"{error}; the run is {self.run.location}") from None
            raise
        finally:
            self._close()
            self.model.schedule = None
            self.model.eval()
            self.reporter.close()

    def _close(self, error: BaseException | None = None) -> None:
        for loader in self.loaders:
            loader.close(error)

    def _loader(self, split: str, *, shared: bool = False, **options: bool) -> Loader:
        """Return a loader of all images, or of this process's share."""
        rank, n = (self.processes.rank, self.processes.n) if shared else (0, 1)
        self.loaders.append(self.datamodule.loader(split, rank=rank, n_ranks=n, **options))
        return self.loaders[-1]

    def prepare(
        self,
        *,
        patience: int | None,
        ema: bool,
        progress: Progress,
        loggers: Sequence[Logger] = (),
        callbacks: Sequence[pl.Callback] = (),
    ) -> None:
        """Warm up the head, and create the loader, the schedule and the callbacks, before those of the user."""
        self.loggers, self.users, self.progress = list(loggers), list(callbacks), progress
        self.model.before_training(self.datamodule)
        if not self.model.training:  # trained or loaded before: Lightning keeps the mode
            self.model.train()
        self._warm_up()
        self.start = None if self.checkpoint else self.before or WeightsSnapshot.of(self.model, {})  # at the start
        self.loader = self._loader("train", train=True, shared=True)
        if self.epochs is not None:
            schedule = Schedule.of_length(count_steps(len(self.loader), self.epochs, self.users))
        else:
            schedule = Schedule(self.processes.share(lambda: read_knots(self.run)))
        self.model.schedule = schedule
        val = self._loader("val") if len(self.datamodule.rows_of("val")) else None
        self.val = val if val is None or self.processes.n == 1 else self._loader("val", shared=True)
        self.reporter = make_reporter(progress, run=self.run, datamodule=self.datamodule)
        self.ema = Ema() if ema else None
        self.record = EpochRecord(
            val,
            ema=self.ema,
            clock=self.clock,
            record=self._record_row,
            note=self.run.note,
            show=self.reporter,
            patience=patience,
            saves_time=self.budget_s is not None,
            rows=self.run.rewind(self._n_rows),
            processes=self.processes,
        )
        row = None if self.trains else last_layer_row(self.run.spec["plan"], self.clock)
        self.record.begin_with(self.before, row, names=self.model.metric_names)
        self.callbacks: list[pl.Callback] = [] if self.ema is None else [self.ema]
        if self.budget_s is not None:
            budget = Budget(
                schedule,
                budget_s=self.budget_s,
                clock=self.clock,
                reserve_s=self._reserve_s,
                record=lambda _: write_knots(self.run, schedule),
                processes=self.processes,
            )
            self.callbacks.append(budget)
        self.checkpoints = Checkpoints(
            draft_for(self.run.location / "last.ckpt", folder=self.folder),
            publish=self._publish_checkpoint,
            clock=self.clock,
            stop=lambda: self.run.stop_requested,
            tell=self.run.log_line,
            processes=self.processes,
        )
        self.callbacks += [self.record, SharedFindings(self.datamodule)]

    def _record_row(self, row: Mapping[str, Any]) -> None:  # and to the user's loggers
        self.run.log_metrics(row)
        log_row(self.loggers if self.processes.is_first else (), row)

    def _warm_up(self) -> None:
        """Fit the head of a pretrained network to cached features; freeze the first layers if there are few epochs."""
        self.trains, self.before, head = True, None, self.model.linear_head()
        if head is None or not self.model.pretrained or not all(map(self.model.is_trainable, head.parameters())):
            return
        self.model.head_is_warm = True
        plan = None if self.checkpoint is None else self.run.spec.get("plan")
        plan = self.processes.share(lambda: plan or self._probe(head))
        self.run.update_spec({"plan": plan})
        self.trains = plan.get("trains", True) or bool(self.checkpoint or self.users) or self.processes.n > 1
        tell([] if self.trains else [NO_TIME], self.run, self.progress)
        if plan["short"] and self.model.may_freeze:
            self.model.frozen_share = _FROZEN_SHARE
        self.datamodule = follow_flips(plan, self.model, self.datamodule, run=self.run, progress=self.progress)

    def _probe(self, head: nn.Linear) -> dict[str, Any]:
        plan, self.before = warm_up_head(
            self.model, head, self.datamodule, load=self._loader, run=self.run, clock=self.clock, budget_s=self.budget_s
        )
        return plan

    def _reserve_s(self, step_s: float) -> float:
        """Seconds for the last validation and writing the model."""
        forward_s = step_s * len(self.datamodule.rows_of("val")) / self.datamodule.batch_size / STEP_FORWARDS
        return ending_s(self.model, forward_s if self.record.validation_s is None else self.record.validation_s)

    def execute(self, *, precision: str | None, accelerator: str, **chosen: Any) -> None:
        """Train; the first process keeps the best weights and writes the model, which lasting processes get, too."""
        begin_logs(self.loggers if self.processes.is_first else (), self.run.spec, self.record.rows)
        if self.trains:
            with interruptible():
                precision = precision_for(precision, accelerator, self.model)
                self._fit(self._trainer(precision=precision, accelerator=accelerator, **chosen))
        if self.processes.is_first:
            self._finish(self._choose())
        if self.processes.is_lasting:
            model = self.model
            weights, model.thresholds = self.processes.share(lambda: (model.state_dict(), model.thresholds))
            model.load_state_dict(weights)

    def _finish(self, kept: Mapping[str, Any]) -> None:
        for logger in self.loggers:
            logger.finalize("success")  # after the last row, which Lightning has not waited for
        delete(self.run.location / "model/model.json")  # of an attempt that was killed after it
        self.model.save(self.run.location / "model")
        facts = {k: kept[k] for k in ("step", "train_loss", *self.model.metric_names)}
        self.run.set_status("finished", facts=facts | {"seconds": round(self.clock.spent(), 2)})
        with suppress(OSError):  # the sweep finds it
            delete(self.run.location / "last.ckpt")
            delete_drafts(self.run.location / "last.ckpt")

    def _fit(self, trainer: pl.Trainer) -> None:
        """Train; weights that diverged are replaced by the last good ones."""
        try:
            with self.processes.told():
                trainer.fit(self.model, self.loader, self.val, ckpt_path=self.checkpoint, weights_only=True)
        except DivergedError:
            self.checkpoints.close()  # its checkpoint may be read
            saved = fetch_checkpoint(self.run, self.folder)
            if saved is not None:
                self.model.load_state_dict(torch.load(saved, map_location="cpu", weights_only=True)["state_dict"])
            elif self.start is not None:
                self.model.load_state_dict(self.start.weights)
            raise
        except BaseException:
            self.checkpoints.close(publish=True)
            raise
        self.checkpoints.close()

    def _publish_checkpoint(self, draft: Path) -> None:
        with patience.at_most(FIRST_S):  # the training waits for what is being stored
            self.run.flush()  # the rows that the checkpoint counts
        upload_file(draft, self.run.location / "last.ckpt", move=True)
        self.start = None

    def _trainer(self, *, strategy: Strategy = "auto", **chosen: Any) -> pl.Trainer:
        """Return a trainer of the package of Lightning that the user's callbacks and loggers come from."""
        package = lightning_of([*self.users, *self.loggers])

        def brought(kind: str) -> bool:
            return any(isinstance(c, getattr(package.callbacks, kind)) for c in self.users)

        made: pl.Trainer = package.Trainer(
            max_epochs=-1 if self.epochs is None else self.epochs,
            **chosen,
            num_nodes=self.processes.n_nodes,
            strategy=strategy_of(package, self.processes, finds_unused=strategy == FINDS_UNUSED or self.model.thaws()),
            use_distributed_sampler=False,
            callbacks=[*self.callbacks, *self.users, self.checkpoints],
            plugins=self.checkpoints.io,
            default_root_dir=self.folder,
            num_sanity_val_steps=0,
            check_val_every_n_epoch=1 if self.budget_s is None else NEVER,  # EpochRecord decides
            logger=self.loggers or False,
            log_every_n_steps=1,  # avoids a warning for short epochs
            enable_checkpointing=brought("Checkpoint"),
            enable_progress_bar=brought("ProgressBar"),
            enable_model_summary=brought("ModelSummary"),
            gradient_clip_val=self.model.gradient_clip,
        )
        return leave_signals(made)

    def _choose(self) -> dict[str, Any]:
        """Load the final weights, record the last epoch, and return the metrics of the final weights."""
        record, good = self.record, self.model.selection_score
        if self.ema is not None:
            self.ema.keep(self.model)
        validated = record.val_batches is None or not math.isnan(good(record.last_row))
        kept = shown = last = record.last_row if validated else record.last_row | record.validate(self.model)
        if record.best is not None and not good(kept) >= good(record.best.row):
            kept = record.best.row
            self.model.load_state_dict(record.best.weights)
        if record.before is not None and good(record.before.row) > good(kept):  # only the new head
            fitted = self.run.spec["plan"].get("probe_penalty") is not None
            before = "only the last layer trained" if fitted else "the model as it was"
            text = kept_line(before, self.model.metric_names, record.before.row, instead_of=kept)
            tell([text], self.run, self.progress)
            kept = shown = kept | record.before.row
            self.model.load_state_dict(record.before.weights)
        if (kept is not last or not self.trains) and record.val_batches is not None:
            self.model.after_training(record.val_batches)
        if not record.is_recorded:
            record.keep(shown)
        return kept
