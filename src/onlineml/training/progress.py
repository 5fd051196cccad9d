"""The display of a run in progress: lines of epochs, or a live panel."""

from __future__ import annotations

import math
import os
import signal
import sys
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Literal, get_args

from onlineml.arguments.checks import one_of
from onlineml.errors import ConfigError
from onlineml.lazy import import_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from onlineml.data.loading.datamodules import ImageDataModule
    from onlineml.runs.run import Run

__all__ = [
    "Progress",
    "Reporter",
    "check_progress",
    "epoch_line",
    "kept_line",
    "live_view",
    "make_reporter",
    "stopping_on_interrupt",
    "tell",
]

Progress = Literal["lines", "live", "none"]
# by import path, since widgets are a higher layer
_LIVE_VIEWS = {
    "training": "onlineml.widgets.progress:shown_live",
    "job": "onlineml.widgets.progress:follow_live",
}
_MOST_LINES = 20
_SHOWN = ("train_loss", "val_loss", "val_accuracy", "val_map", "val_map_50", "val_map_50_95")


def epoch_line(row: Mapping[str, Any]) -> str:
    """Format an epoch's metrics as one line."""
    parts = [f"epoch {row['epoch']:>3}", f"{100 * row['progress']:3.0f} %"]
    parts += [f"{name} {row[name]:.4f}" for name in _SHOWN if not math.isnan(row.get(name, math.nan))]
    parts += [f"lr {row['lr']:.1e}", f"{row['images_per_s']:.0f} images/s", f"{row['seconds']:.0f} s"]
    return "  ".join(parts)


def kept_line(name: str, metrics: Iterable[str], better: Mapping[str, Any], *, instead_of: Mapping[str, Any]) -> str:
    """Format the news that training all layers did not help, as one line."""
    known = [metric for metric in metrics if metric in better and metric in instead_of]
    kept, other = (", ".join(f"{m} {row[m]:.4f}" for m in known) for row in (better, instead_of))
    return f"Kept {name}: {kept} on the validation images, against {other} with all layers trained."


def tell(texts: Iterable[str], run: Run, progress: Progress) -> None:
    """Write sentences to the run's log and, above or below the lines of epochs, for people."""
    for text in texts:
        run.log_line(text)
        if progress != "none":
            sys.stdout.write(text + "\n")


def check_progress(progress: Progress) -> None:
    """Check the argument of `make_reporter`.

    Raises:
        ConfigError: it is not one of the choices.
    """
    one_of("progress", progress, get_args(Progress))


class Reporter:
    """Shows the progress of a training; this base class shows nothing."""

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Take all rows so far, after an epoch."""

    def tick(self, now: Mapping[str, Any]) -> None:
        """Take the metrics within an epoch, at most once a second."""

    def close(self) -> None:
        """End the display; the run's status says how the training ended."""


class _Lines(Reporter):
    """Prints evenly spread epochs, and the last one."""

    def __init__(self) -> None:
        self._printed = 0  # parts of the training, the end being one of its own
        self._left: Mapping[str, Any] | None = None

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self._left, progress = rows[-1], rows[-1]["progress"]
        part = _MOST_LINES if progress >= 1 else 1 + int((_MOST_LINES - 1) * progress)
        if part > self._printed:
            self._printed = part
            self.close()

    def close(self) -> None:
        row, self._left = self._left, None  # first: an interrupt while printing does not print it twice
        if row is not None:
            sys.stdout.write(epoch_line(row) + "\n")
            sys.stdout.flush()


def make_reporter(progress: Progress, *, run: Run | None = None, datamodule: ImageDataModule | None = None) -> Reporter:
    """Return a reporter that shows a training.

    Args:
        progress: ``"lines"`` prints at most 20 epochs, evenly spread (for papermill and logs), ``"live"`` shows a panel
            in a notebook, ``"none"`` nothing.
        run: the run for the panel.
        datamodule: with the samples for the panel.

    Raises:
        ConfigError: ``progress`` is none of these, or ``"live"`` without a run.
    """
    check_progress(progress)
    if progress == "lines":
        return _Lines()
    if progress == "none":
        return Reporter()
    if run is None:
        raise ConfigError("progress='live' needs a run; expected run=, found None")
    reporter: Reporter = live_view("training")(run, datamodule)
    return reporter


def live_view(of: Literal["training", "job"]) -> Callable[..., Any]:
    """Import a live view for notebooks.

    Args:
        of: ``"training"``: a function of the run and a datamodule or None that returns a `Reporter`; ``"job"``: a
            function of the job and the seconds between updates that returns when the job has ended.
    """
    show: Callable[..., Any] = import_path(_LIVE_VIEWS[of])
    return show


@contextmanager
def stopping_on_interrupt(run: Run) -> Iterator[None]:
    """Make the first interrupt request a stop of the run within the block; a second one interrupts at once.

    Interrupts are Ctrl+C, a notebook's ■ button (while a cell runs, nothing else is sure to reach the kernel), and the
    SIGTERM of schedulers and of torchrun. What is handled by other code already, such as that of a job, or ignored, is
    left to that.
    """
    usual: dict[int, Any] = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    if threading.current_thread() is not threading.main_thread():
        usual = {}
    before = {number: usual[number] for number in usual if signal.getsignal(number) is usual[number]}

    def ask(number: int, frame: Any) -> None:
        if run.stop_requested:
            if number == signal.SIGTERM:
                raise SystemExit(128 + number)
            signal.default_int_handler(number, frame)
        run.request_stop()
        with suppress(OSError):  # not sys.stderr, which may be in the middle of a write
            os.write(2, b"stopping after this step, with a checkpoint; interrupt again to end at once\n")

    for number in before:
        signal.signal(number, ask)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
