"""The progress of a training, and the learning rate derived from it: pure functions of recorded numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from onlineml.errors import ConfigError

__all__ = ["Knot", "Schedule", "lr_factor"]


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
