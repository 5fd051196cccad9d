"""Engines of trainings: what starts the processes of `onlineml.fit` on other machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from onlineml.runs.run import Run
    from onlineml.training.processes import Processes
    from onlineml.training.progress import Progress

__all__ = ["Engine"]


class Engine(Protocol):
    """Runs the processes of a training. Any object with these members is one, such as `onlineml.ray.RayTrain`.

    Attributes:
        n: number of processes.
        on_gpu: whether each of them has a GPU.
    """

    n: int
    on_gpu: bool

    def run(self, train: Callable[[Run, Processes, Progress, Any], None], record: Run) -> None:
        """Train in ``n`` processes, of which the first keeps the record; return when all have ended.

        Args:
            train: takes the record, the processes, the progress that is shown, and the devices of one process as
                Lightning takes them; it can be pickled.
            record: the run, at a URL that all processes reach. What becomes of the training is read from it.
        """
