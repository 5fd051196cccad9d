"""The progress of a training, and the learning rate derived from it: pure functions of recorded numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from onlineml.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["Knot", "Schedule", "count_steps", "lr_factor", "planned_steps"]


@dataclass(frozen=True)
class Knot:
    """From optimizer step ``step`` on, at progress ``progress``, the run is planned to end at step ``total_steps``."""

    step: int
    progress: float
    total_steps: int


@dataclass
class Schedule:
    """Progress of a run whose length may be corrected while it runs.

    Between corrections progress is linear in the steps and reaches 1 at the planned end; a correction changes only the
    following slope, so that the same corrections give the same learning rates.
    """

    knots: list[Knot] = field(default_factory=list)

    @classmethod
    def of_length(cls, total_steps: int) -> Schedule:
        """A run of ``total_steps`` optimizer steps."""
        return cls([Knot(0, 0.0, max(1, total_steps))])

    @property
    def total_steps(self) -> int | None:
        """The planned end; None while unknown."""
        return self.knots[-1].total_steps if self.knots else None

    def progress(self, step: int) -> float:
        """Completed share of the run before optimizer step ``step``, 0..1; 0 while the length is unknown."""
        for knot in reversed(self.knots):
            if knot.step <= step:
                left = knot.total_steps - knot.step
                share = min(1.0, (step - knot.step) / left) if left > 0 else 1.0
                return knot.progress + (1.0 - knot.progress) * share
        return 0.0

    def correct(self, *, step: int, total_steps: int) -> Knot:
        """From ``step`` on, plan to end at ``total_steps``.

        Raises:
            ConfigError: ``step`` is before an earlier correction.
        """
        if self.knots and step < self.knots[-1].step:
            raise ConfigError(f"step={step}: the schedule was corrected at step {self.knots[-1].step} already")
        knot = Knot(step, self.progress(step), max(step, total_steps))
        self.knots.append(knot)
        return knot


def lr_factor(progress: float, *, step: int, warmup_steps: int, floor: float = 0.01) -> float:
    """Linear warm-up in steps, then half a cosine in progress (Loshchilov & Hutter 2017).

    Args:
        progress: completed share of the run, 0..1.
        step: completed optimizer steps.
        warmup_steps: steps until the full rate; 0 for none.
        floor: the factor at the end.

    Returns:
        The factor of the learning rate, in (0, 1].
    """
    warm = min(1.0, (step + 1) / warmup_steps) if warmup_steps > 0 else 1.0
    return warm * (floor + (1.0 - floor) * 0.5 * (1.0 + math.cos(math.pi * progress)))


def count_steps(n_batches: int, epochs: int, callbacks: Iterable[Any]) -> int:
    """Optimizer steps of a training.

    Args:
        n_batches: of an epoch.
        epochs: number of them.
        callbacks: of the trainer; a `GradientAccumulationScheduler` among them has several batches make a step.
    """
    accumulated = _accumulation(callbacks) or (lambda _: 1)
    return sum(-(-n_batches // accumulated(epoch)) for epoch in range(epochs))


def planned_steps(trainer: Any) -> float:
    """Optimizer steps of a user's trainer; inf or -1 if their number is unknown."""
    planned: float = trainer.estimated_stepping_batches
    if _accumulation(trainer.callbacks) is None or trainer.max_epochs in {None, -1} or not math.isfinite(planned):
        return planned
    # Lightning's estimate takes the present accumulation for that of all epochs
    planned = count_steps(int(trainer.num_training_batches), trainer.max_epochs or 0, trainer.callbacks)
    return planned if trainer.max_steps == -1 else min(planned, trainer.max_steps)


def _accumulation(callbacks: Iterable[Any]) -> Callable[[int], int] | None:
    """Return a function from an epoch to the number of batches of a step, of a `GradientAccumulationScheduler`."""
    name = "get_accumulate_grad_batches"  # of the class in either package of Lightning
    return next((getattr(c, name) for c in callbacks if hasattr(c, name)), None)
