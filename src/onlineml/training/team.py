"""The processes that a training takes, and who starts them: nobody, `fit`, torchrun and SLURM, or an engine."""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onlineml.arguments.checks import whole
from onlineml.errors import ConfigError
from onlineml.runs.run import Run
from onlineml.training.launch import check_script, check_sendable, started
from onlineml.training.processes import ALONE, Processes, connected, launched_by_others, launchers_store
from onlineml.training.trainer import check_trainer
from onlineml.training.training import CALL

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from onlineml.training.engine import Engine
    from onlineml.training.progress import Progress

__all__ = ["Team", "assist", "check_engine"]


@dataclass(frozen=True)
class Team:
    """The processes that one call of `onlineml.fit` trains in.

    Attributes:
        n: their number.
        devices: of this machine, for Lightning.
        on_gpu: whether these are GPUs.
        launched: that torchrun or SLURM started; None if `fit` starts them.
    """

    n: int
    devices: Any
    on_gpu: bool
    launched: Processes | None

    @classmethod
    def of(cls, *, precision: Any, accelerator: Any, devices: Any, num_nodes: int, strategy: Any) -> Team:
        """The processes that arguments of `onlineml.fit` ask for.

        Raises:
            ConfigError: Lightning refuses an argument, torchrun or SLURM started other processes, or none can be.
        """
        num_nodes = whole("num_nodes", num_nodes, least=1)
        launched = launched_by_others()
        wanted = devices
        if launched is not None and devices == "auto":
            wanted = launched.n // launched.n_nodes
        n, on_gpu = check_trainer(precision=precision, accelerator=accelerator, devices=wanted, strategy=strategy)
        devices = 1 if isinstance(wanted, str) and wanted == "auto" else wanted
        if launched is not None:
            n_local = launched.n // launched.n_nodes
            if n != n_local or num_nodes not in {1, launched.n_nodes}:
                raise ConfigError(
                    f"devices={devices!r}, num_nodes={num_nodes}: the launcher started {n_local} processes on each of "
                    f"{launched.n_nodes} machines; leave both out, or start as many"
                )
            return cls(launched.n, devices, on_gpu, launched)
        if num_nodes > 1:
            raise ConfigError(
                f"num_nodes={num_nodes}: fit starts processes on its own machine only; start the script on each "
                f"machine by torchrun --nnodes={num_nodes}, or by SLURM"
            )
        if n > 1:
            check_script()
        return cls(n, devices, on_gpu, None)

    def run(
        self, train: Callable[[Run, Processes, Progress], None], *, opened: Callable[[], Run], progress: Progress
    ) -> Run:
        """Train in all processes, and return the run.

        Args:
            train: takes the record, the processes and the progress; picklable if there are several.
            opened: returns the run, in the first process.
            progress: of the first process.
        """
        if self.n == 1:
            record = opened()
            train(record, ALONE, progress)
            return record
        if self.launched is not None:
            return self._run_launched(self.launched, train, opened, progress)
        check_sendable("the model, the datamodule, a logger or a callback", train)
        record = opened()
        with ExitStack() as stack:
            with record.recorded(call=CALL):
                follow = partial(assist, train)
                made = started(follow, self.n, on_gpu=self.on_gpu, stop=lambda: record.stop_requested)
                processes = stack.enter_context(made)
            train(record, processes, progress)
        return record

    def _run_launched(
        self,
        processes: Processes,
        train: Callable[[Run, Processes, Progress], None],
        opened: Callable[[], Run],
        progress: Progress,
    ) -> Run:
        with connected(processes, launchers_store(), on_gpu=self.on_gpu):
            if processes.is_first:
                record = processes.share(opened)
                train(record, processes, progress)
                return record
            found = processes.share(opened)
            assist(train, processes)
            return found


def assist(train: Callable[..., None], processes: Processes, devices: Any = None) -> None:
    """Train in another than the first process, with a record that nobody reads; ``devices`` as for an engine."""
    with tempfile.TemporaryDirectory(prefix="onlineml-") as folder:
        train(Run.create(Path(folder) / f"run-{os.getpid()}"), processes, "none", devices)


def check_engine(engine: Engine | None, *, given: Mapping[str, Any]) -> None:
    """Refuse arguments of `onlineml.fit` that an engine decides.

    Args:
        engine: None for none.
        given: the arguments by name, as they were given.

    Raises:
        ConfigError: one is not its default, or torchrun or SLURM started this process.
    """
    if engine is None:
        return
    if not callable(getattr(engine, "run", None)):
        raise ConfigError(f"engine={engine!r}: expected an engine, such as onlineml.ray.RayTrain(4)")
    if wrong := [f"{name}={value!r}" for name, value in given.items() if value not in ("auto", 1)]:
        raise ConfigError(f"{', '.join(wrong)}: the engine decides this; leave it out, or train without engine=")
    if launched_by_others() is not None:
        raise ConfigError("torchrun or SLURM started this process: expected engine=None, as it starts them all")
