"""A time budget as a number of steps: measured at the start, corrected during the run, recorded for a resume."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from onlineml.data.loading.lightning import pl
from onlineml.errors import ConfigError, NotFoundError
from onlineml.storage.codec import encode
from onlineml.storage.documents import decoded
from onlineml.storage.io import read_bytes
from onlineml.tasks.choosing.costs import STEP_FORWARDS
from onlineml.tasks.schedule import Knot
from onlineml.training.processes import ALONE

if TYPE_CHECKING:
    from collections.abc import Callable

    from onlineml.runs.run import Run
    from onlineml.tasks.schedule import Schedule
    from onlineml.training.processes import Processes

__all__ = ["Budget", "Clock", "ending_s", "read_knots", "write_knots"]

_SKIPPED = 2  # first steps, which allocate memory and choose kernels
_CORRECT_SHARE = 0.05  # of the budget between two corrections


class Clock:
    """Seconds spent on a run, including earlier attempts, and the part of them not spent on training steps."""

    def __init__(self, *, spent_s: float = 0.0) -> None:
        self._start = time.monotonic() - spent_s
        self.aside_s = 0.0

    def spent(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._start

    def aside(self, seconds: float) -> None:
        """Note seconds spent on validation, checkpoints and the like."""
        self.aside_s += seconds


class Budget(pl.Callback):
    """Plans a run's number of steps so that the learning rate is annealed when ``budget_s`` seconds are spent.

    Each plan is a knot of the schedule, passed to ``record``. Knots of an earlier attempt are replayed; new ones are
    added only after the last of them.

    Args:
        schedule: of the module; corrected here.
        budget_s: seconds of the whole call.
        clock: started with the call.
        reserve_s: takes the seconds of a step and returns those needed at the end of the run.
        record: stores a knot.
        processes: that train together: the first one plans.
    """

    def __init__(
        self,
        schedule: Schedule,
        *,
        budget_s: float,
        clock: Clock,
        reserve_s: Callable[[float], float],
        record: Callable[[Knot], None],
        processes: Processes = ALONE,
    ) -> None:
        if not budget_s > 0:
            raise ConfigError(f"budget_s={budget_s}: expected more than 0 seconds")
        self.schedule, self.budget_s, self.clock = schedule, budget_s, clock
        self.reserve_s, self.record, self.processes = reserve_s, record, processes
        self._begin: tuple[float, float, bool] | None = None  # step, seconds of training, head only
        self._corrected_at = 0.0
        self._first_step: int | None = None
        self.step_s = float("nan")

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        del outputs, batch
        step = trainer.global_step
        if self.processes.is_first:
            self._plan(step, pl_module, epoch_end=batch_idx + 1 >= trainer.num_training_batches)
        knots = self.schedule.knots
        n_knots, total = self.processes.agree((len(knots), self.schedule.total_steps))
        if n_knots > len(knots) and total is not None:
            self.schedule.correct(step=step, total_steps=total)
        trainer.should_stop = trainer.should_stop or self._is_over(step)

    def _plan(self, step: int, pl_module: Any, *, epoch_end: bool) -> None:
        now = self.clock.spent()
        if self._first_step is None:
            self._first_step = step - 1
        if self._begin is None or self._begin[2] != pl_module.head_only:
            if step - self._first_step >= _SKIPPED or now > 0.2 * self.budget_s:
                self._begin = (step, now - self.clock.aside_s, pl_module.head_only)
                self._corrected_at = 0.0
        elif not self._is_over(step) and step > self._begin[0] and self._due(now, epoch_end=epoch_end):
            self._correct(step, now)

    def _is_over(self, step: int) -> bool:
        """Return whether the rate is annealed: more steps would train at its floor."""
        total = self.schedule.total_steps
        return total is not None and step >= total

    def _due(self, now: float, *, epoch_end: bool) -> bool:
        if self._begin is None:
            return False
        measured = now - self.clock.aside_s - self._begin[1]
        if self._corrected_at == 0.0:  # no plan yet, or the cost of a step has just changed
            return measured >= min(1.0, 0.02 * self.budget_s)
        left = self.budget_s - now
        often = min(_CORRECT_SHARE * self.budget_s, max(0.25 * left, 0.2))
        return epoch_end or now - self._corrected_at >= often

    def _correct(self, step: int, now: float) -> None:
        assert self._begin is not None  # noqa: S101 - checked by _due
        first, since, head_only = self._begin
        trained_s = now - self.clock.aside_s
        self.step_s = (trained_s - since) / (step - first)
        # earlier steps count half at each correction: larger images or a busy machine change the cost of a step
        self._begin = ((first + step) / 2, (since + trained_s) / 2, head_only)
        self._corrected_at = now
        knots = self.schedule.knots
        if knots and knots[-1].step > step:
            return  # replays an earlier attempt
        aside_share = min(0.5, self.clock.aside_s / now)
        left_s = (self.budget_s - now - self.reserve_s(self.step_s)) * (1.0 - aside_share)
        steps = left_s / self.step_s
        if head_only:
            steps = self._steps_with_unfreezing(left_s, step)
        self.record(self.schedule.correct(step=step, total_steps=step + max(0, int(steps))))

    def _steps_with_unfreezing(self, left_s: float, step: int) -> float:
        """Steps that fit into ``left_s``, as those after the head's warm-up cost more."""
        done = self.schedule.progress(step)
        warm = max(0.0, (self.head_warmup - done) / (1.0 - done))
        return left_s / (self.step_s * (warm + (1.0 - warm) * STEP_FORWARDS))

    head_warmup = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.head_warmup = pl_module.head_warmup
        if self._is_over(trainer.global_step):  # killed between its last step and its end
            trainer.should_stop = True


def ending_s(model: Any, validation_s: float) -> float:
    """Return the seconds of a run's end: the last validation, and writing the model.

    Args:
        model: a module.
        validation_s: seconds of a validation.
    """
    size = sum(int(t.numel()) * t.element_size() for t in model.state_dict().values())
    return float(validation_s + size / 200e6 + 0.1)  # 200 MB/s: serialise, hash and write


def read_knots(run: Run) -> list[Knot]:
    """Return the stored schedule of a run; no knots if there is none."""
    try:
        data = read_bytes(run.location / "schedule.json")
    except NotFoundError:
        return []
    return decoded(data, list[Knot], run.location / "schedule.json")


def write_knots(run: Run, schedule: Schedule) -> None:
    """Store the schedule of a run."""
    run.write("schedule.json", encode(schedule.knots))
