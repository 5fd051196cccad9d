"""A training whose processes an engine runs on other machines: followed from here, attended there."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from onlineml import errors
from onlineml.errors import OnlineMLError, StoppedError, TrainingError
from onlineml.storage import io
from onlineml.tasks.loading import load_model
from onlineml.training.progress import make_reporter, stopping_on_interrupt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from onlineml.data.loading.datamodules import ImageDataModule
    from onlineml.runs.run import Run
    from onlineml.tasks.base import VisionModule
    from onlineml.training.engine import Engine
    from onlineml.training.progress import Progress, Reporter

__all__ = ["attended", "train_elsewhere"]

_STOP = "stop.json"  # in the run's folder: a request to stop, for the process that keeps the record
_LOOK_S = 2.0
_BEAT_S = 10.0


def train_elsewhere(
    engine: Engine,
    train: Callable[..., None],
    record: Run,
    *,
    model: VisionModule,
    datamodule: ImageDataModule,
    progress: Progress,
) -> Run:
    """Train where an engine runs the processes, show the progress here, and give the model its weights.

    Raises:
        StoppedError: on a request, as by an interrupt here; the run has a checkpoint.
        TrainingError: the engine gave up; call again with the same run to continue.
        OnlineMLError: the error that ended the training there.
    """
    io.delete(record.location / _STOP)
    reporter = make_reporter(progress, run=record, datamodule=datamodule)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            engine.run(train, record)
        except BaseException as error:  # noqa: BLE001 (raised by the other thread)
            failures.append(error)

    thread = threading.Thread(target=work, name="onlineml-engine", daemon=True)
    try:
        with stopping_on_interrupt(record):
            thread.start()
            _follow(record, reporter, thread)
    finally:
        reporter.close()
        io.delete(record.location / _STOP)
    status = record.status()
    if failures and not isinstance(failures[0], TrainingError):
        raise failures[0]
    if status["state"] != "finished":
        raise _failure(status, record, failures)
    _adopt(model, record)
    return record


def _follow(record: Run, reporter: Reporter, thread: threading.Thread) -> None:
    """Show new rows of the record, and pass a request to stop on, until the thread has ended."""
    shown, asked, over = 0, False, False
    while not over:
        thread.join(_LOOK_S)
        over = not thread.is_alive()  # before the rows, so that the last ones are seen
        if record.stop_requested and not asked:
            io.write_bytes(record.location / _STOP, b"{}")
            asked = True
        with suppress(OSError):  # a store that does not answer is asked again
            rows = record.metrics()
            if rows and len(rows) != shown:  # none after a restart without a checkpoint
                shown = len(rows)
                reporter(rows)


def _failure(status: dict[str, Any], record: Run, failures: list[BaseException]) -> Exception:
    if status["state"] == "stopped":
        return StoppedError(f"stopped on request; the run is {record.location}: call fit() again to continue")
    if failures:
        return TrainingError(f"{failures[0]}; call fit() again with the run {record.location} to continue")
    kind, _, text = str(status.get("error") or f"the training ended as {status['state']}").partition(": ")
    known = vars(errors).get(kind)
    if isinstance(known, type) and issubclass(known, OnlineMLError):
        with suppress(TypeError):  # an error that is made of more than its text
            return known(text)
    return TrainingError(f"{kind}: {text}" if text else kind)


def _adopt(model: VisionModule, record: Run) -> None:
    """Give a model what was trained elsewhere."""
    trained = load_model(record.location / "model")
    model.load_state_dict(trained.state_dict())
    model.thresholds = trained.thresholds
    model.eval()


@contextmanager
def attended(record: Run) -> Iterator[None]:
    """Write heartbeats of this process, and take requests to stop from elsewhere, within the block."""
    ended = threading.Event()

    def attend() -> None:
        beat_at = 0.0
        while not ended.wait(_LOOK_S):
            with suppress(OSError):  # again at the next look
                if io.exists(record.location / _STOP):
                    record.request_stop()
                if time.monotonic() - beat_at > _BEAT_S:
                    beat_at = time.monotonic()
                    record.write_heartbeat()

    thread = threading.Thread(target=attend, name="onlineml-attend", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
