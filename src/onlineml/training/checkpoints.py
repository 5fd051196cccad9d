"""Checkpoints of a training in its run, uploaded in the background."""

from __future__ import annotations

import contextlib
import time
import warnings
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import msgspec
import torch
from msgspec import Meta

from onlineml.data.loading.lightning import BothTorchCheckpointIO, pl
from onlineml.errors import NotFoundError, StoppedError, StorageError
from onlineml.models.weights import check_records
from onlineml.storage.io import read_bytes
from onlineml.training.processes import ALONE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from onlineml.runs.run import Run
    from onlineml.training.budget import Clock
    from onlineml.training.processes import Processes

__all__ = ["Checkpoints", "fetch_checkpoint", "seconds_and_rows", "shared_checkpoint"]

_SHARE = 0.01  # maximum share of the time for writing them
_EVERY_S = 30.0  # minimum interval


class _Done(msgspec.Struct):
    spent_s: Annotated[float, Meta(ge=0)]
    n_rows: Annotated[int, Meta(ge=0)]


class Checkpoints(pl.Callback):
    """Stores the state of the training in the run at intervals, uploading in the background.

    A written one is kept back until the next finite loss has shown that its weights have not diverged; so a stop takes
    a step more than the checkpoint has, and one that is asked for at the last step ends nothing. It must be the last
    callback. After the last batch of an epoch it waits for the end of the epoch, so that a resumed
    training neither repeats nor misses a batch or row. `close` waits for the upload.

    Args:
        draft: local path to which the file is written first.
        publish: moves the finished file to its place, atomically; called in a thread.
        clock: of the run; its seconds are stored in the checkpoint.
        every_s: interval in seconds, extended so that checkpoints take at most 1 % of the time.
        stop: called after each step; if it returns True, a checkpoint is written, and `StoppedError` raised after the
            next step.
        tell: takes a sentence, of a checkpoint that cannot be stored; the training goes on, and the next one is tried.
        processes: that train together: the first one decides when to write, and writes; a stop of any stops all.
    """

    def __init__(
        self,
        draft: Path,
        *,
        publish: Callable[[Path], None],
        clock: Clock,
        every_s: float = _EVERY_S,
        stop: Callable[[], bool] = bool,
        tell: Callable[[str], object] = warnings.warn,
        processes: Processes = ALONE,
    ) -> None:
        self.draft, self.publish, self.clock, self.every_s, self.stop = draft, publish, clock, every_s, stop
        self.io = LocalCheckpoints(draft)
        self.tell, self.failure, self.processes = tell, "", processes
        self.cost_s = 0.0
        self._saved_at = clock.spent()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="onlineml-checkpoint")
        self._upload: Future[None] | None = None
        self._is_pending = False
        self._stops_after: int | None = None

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        del pl_module, outputs, batch
        self._publish()
        if self._stops_after is not None:
            self._stop_now(self._stops_after)
        if batch_idx + 1 < trainer.num_training_batches and not trainer.should_stop:
            self._save_if_due(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        del pl_module
        self._save_if_due(trainer)

    def _save_if_due(self, trainer: pl.Trainer) -> None:
        stops, is_due = self.processes.any_of(self.stop(), self.processes.is_first and self._is_due())
        if stops or is_due:
            self.save(trainer)
        if stops:
            self._stops_after = trainer.global_step

    def _is_due(self) -> bool:
        if self._upload is not None and not self._upload.done():
            return False
        return self.clock.spent() - self._saved_at >= max(self.every_s, self.cost_s / _SHARE)

    def _stop_now(self, step: int) -> NoReturn:
        self._wait_for_upload()
        from_where = f", from the last checkpoint that could be stored ({self.failure})" if self.failure else ""
        raise StoppedError(f"stopped on request after step {step}; call fit() again to continue{from_where}")

    def save(self, trainer: pl.Trainer) -> None:
        """Write a checkpoint now; its upload starts after the next step. A failure is told, and ends no training."""
        self._wait_for_upload()
        begin = time.monotonic()
        trainer.save_checkpoint(self.draft)
        if self.io.error is not None:
            self._failed(self.io.error)
        self._is_pending = self.processes.is_first and self.io.error is None
        self.cost_s = time.monotonic() - begin
        self.clock.aside(self.cost_s)
        self._saved_at = self.clock.spent()

    def _publish(self) -> None:
        if self._is_pending:
            self._is_pending = False
            self._upload = self._thread.submit(self.publish, self.draft)

    def _wait_for_upload(self) -> None:
        if self._upload is None:
            return
        try:
            self._upload.result()
            self.failure = ""
        except OSError as err:
            self._failed(err)
        self._upload = None

    def _failed(self, err: Exception) -> None:
        if not self.failure:
            self.tell(f"a checkpoint cannot be stored now, and the next one is tried: {type(err).__name__}: {err}")
        self.failure = f"{type(err).__name__}: {err}"

    def close(self, *, publish: bool = False) -> None:
        """Wait for the last upload, ignoring its errors: the training is over or has failed.

        Args:
            publish: also upload what is kept back, if its weights are finite; else it is discarded.
        """
        if publish and self._is_pending and _is_finite(self.draft):
            self._publish()
        self._thread.shutdown()
        self.draft.unlink(missing_ok=True)

    def state_dict(self) -> dict[str, Any]:
        return {"spent_s": self.clock.spent()}


class LocalCheckpoints(BothTorchCheckpointIO):
    """Writes our checkpoints directly to disk: Lightning's way through memory takes three times as long.

    Args:
        draft: the path of our checkpoints; others are written by Lightning.

    Attributes:
        error: why the last one of ours could not be written; not raised, since other processes wait for its end.
    """

    def __init__(self, draft: Path) -> None:
        super().__init__()
        self.draft = draft
        self.error: Exception | None = None

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        if Path(path) != self.draft:
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        self.error = None
        try:
            self.draft.parent.mkdir(parents=True, exist_ok=True)
            torch.save(checkpoint, path)
        except (OSError, RuntimeError) as err:  # a full disk; torch has errors of its own
            self.error = err


def shared_checkpoint(run: Run, folder: Path, processes: Processes) -> Path | None:
    """Download the last checkpoint of a run into a folder of each process; None if it has none.

    Args:
        run: the record, of the first process.
        folder: of this process.
        processes: that train together.

    Raises:
        StorageError: the checkpoint is damaged.
    """
    own = processes.share(lambda: fetch_checkpoint(run, folder))
    if processes.n == 1 or own is None:
        return own
    data = processes.agree(own.read_bytes() if processes.is_first else b"")
    path = folder / own.name
    if not processes.is_first:
        path.write_bytes(data)
    return path


def fetch_checkpoint(run: Run, folder: Path) -> Path | None:
    """Download the last checkpoint of a run into a folder; None if it has none.

    Raises:
        StorageError: the checkpoint is damaged.
    """
    try:
        data = read_bytes(run.location / "last.ckpt")
    except NotFoundError:
        return None
    with _damage_named(run):
        check_records(data)
    path = folder / "resume.ckpt"
    path.write_bytes(data)
    return path


@contextlib.contextmanager
def _damage_named(run: Run) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # RuntimeError, EOFError, KeyError, BadZipFile, UnpicklingError, ValidationError, ...
        raise StorageError(
            f"{run.location / 'last.ckpt'} is damaged ({type(error).__name__}): restore it from a copy, or delete it, "
            "and the run begins again with its first step"
        ) from error


def _is_finite(checkpoint: Path) -> bool:
    """Return whether a checkpoint that was written just now has no weight that is nan or infinite."""
    try:
        weights = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"].values()
    except (OSError, RuntimeError):
        return False
    return all(bool(weight.isfinite().all()) for weight in weights)


def seconds_and_rows(run: Run, checkpoint: Path | None) -> tuple[float, int]:
    """Return the seconds spent and the number of rows recorded before a checkpoint of a run.

    Raises:
        StorageError: the checkpoint is damaged.
    """
    if checkpoint is None:
        return 0.0, 0
    with _damage_named(run):
        states = torch.load(checkpoint, map_location="cpu", weights_only=True)["callbacks"].values()
        done = msgspec.convert({name: value for state in states for name, value in state.items()}, _Done)
    return done.spent_s, done.n_rows
