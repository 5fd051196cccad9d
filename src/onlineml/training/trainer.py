"""Helpers around a Lightning trainer: loggers, precision, warnings, interrupts."""

from __future__ import annotations

import importlib
import logging
import math
import signal
import threading
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch

from onlineml.arguments.checks import one_of
from onlineml.data.loading.lightning import pl
from onlineml.errors import ConfigError
from onlineml.training.processes import Processes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pytorch_lightning.loggers import Logger

    from onlineml.tasks.base import VisionModule

__all__ = [
    "FINDS_UNUSED",
    "Strategy",
    "begin_logs",
    "check_trainer",
    "interruptible",
    "leave_signals",
    "log_row",
    "precision_for",
    "quiet",
    "strategy_of",
]

Strategy = Literal["auto", "ddp", "ddp_find_unused_parameters_true"]
FINDS_UNUSED: Strategy = "ddp_find_unused_parameters_true"


def begin_logs(loggers: Sequence[Logger], spec: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> None:
    """Log the settings of a run, and the rows of an earlier attempt where the logger has deleted them.

    Lightning's CSVLogger deletes the file of its version when it begins; others go on in what they have.
    """
    for logger in loggers:
        logger.log_hyperparams(dict(spec))
        if any(base.__name__ == "CSVLogger" for base in type(logger).__mro__):  # of either package
            for row in rows:
                log_row([logger], row)


def log_row(loggers: Sequence[Logger], row: Mapping[str, Any]) -> None:
    """Log the finite numbers of a row of metrics at its step."""
    metrics = {k: float(v) for k, v in row.items() if isinstance(v, int | float) and math.isfinite(v) and k != "step"}
    for logger in loggers:
        logger.log_metrics(metrics, step=int(row["step"]))
        logger.save()


def check_trainer(*, precision: Any, accelerator: Any, devices: Any = 1, strategy: Any = "auto") -> tuple[int, bool]:
    """Let Lightning check the arguments of a trainer, before any work is done.

    Returns:
        The number of devices, each of which takes a process, and whether they are GPUs of CUDA.

    Raises:
        ConfigError: it refuses one of them.
    """
    one_of("strategy", strategy, get_args(Strategy))
    devices = 1 if isinstance(devices, str) and devices == "auto" else devices
    if precision is None and accelerator in {"auto", "cpu"} and devices == 1 and not isinstance(devices, bool):
        return 1, False
    given = f"precision={precision!r}, accelerator={accelerator!r}, devices={devices!r}"
    if isinstance(devices, bool | float) or devices == 0:
        raise ConfigError(
            f"devices={devices!r}: expected their number, at least 1, a list of GPUs, -1 for all, or 'auto'"
        )
    try:
        with quiet():
            plain: dict[str, Any] = {"devices": devices, "logger": False, "enable_checkpointing": False}
            if devices != 1:
                plain["strategy"] = strategy_of(pl, Processes(n=2), finds_unused=False)
            trainer = pl.Trainer(precision=precision, accelerator=accelerator, **plain)
    except Exception as error:  # ValueError, TypeError, RuntimeError, MisconfigurationException, …
        raise ConfigError(f"{given}: {error}") from error
    return trainer.num_devices, trainer.strategy.root_device.type == "cuda"


def strategy_of(package: Any, processes: Processes, *, finds_unused: bool) -> Any:
    """Return Lightning's strategy for processes that exist already.

    Args:
        package: of Lightning.
        processes: which of them this one is.
        finds_unused: whether parameters may come and go during the training.
    """
    if processes.n == 1:
        return "auto"
    n_local = processes.n // processes.n_nodes
    base: Any = importlib.import_module(f"{package.__name__}.plugins.environments").LightningEnvironment

    class Started(base):  # type: ignore[misc]
        creates_processes_externally = True

        def world_size(self) -> int:
            return processes.n

        def global_rank(self) -> int:
            return processes.rank

        def local_rank(self) -> int:
            return processes.local_rank

        def node_rank(self) -> int:
            return processes.rank // n_local

        def set_world_size(self, size: int) -> None: ...

        def set_global_rank(self, rank: int) -> None: ...

        def teardown(self) -> None: ...

    ddp: Any = package.strategies.DDPStrategy

    class Together(ddp):  # type: ignore[misc]
        def _configure_launcher(self) -> None:
            """Start nothing; Lightning refuses its launcher in a notebook even where it has nothing to start."""

    return Together(cluster_environment=Started(), find_unused_parameters=finds_unused)


def precision_for(precision: str | None, accelerator: str, model: VisionModule) -> str:
    if precision is not None:
        return precision
    if accelerator in {"auto", "gpu", "cuda"} and torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "32-true"
    if accelerator in {"auto", "cpu"} and _cpu_has_bf16() and model.prefers_bf16_on_cpu():
        return "bf16-mixed"
    return "32-true"


def _cpu_has_bf16() -> bool:
    """Return whether the CPU has bfloat16 instructions; without them, bfloat16 is slower than 32 bits."""
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # torch has no public function for it
    return any(getattr(torch.cpu, name, lambda: False)() for name in names)


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress Lightning's hardware notes and expected warnings within the block."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            # Lightning 2.6.6 with torch 2.15
            warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning)
            # workers mostly wait for storage
            warnings.filterwarnings("ignore", r"This DataLoader will create \d+ worker processes", UserWarning)
            # there is no validation split
            warnings.filterwarnings("ignore", "You defined a `validation_step` but have no `val_dataloader`")
            # a batch without usable images, which are in the datamodule's findings
            warnings.filterwarnings("ignore", "`training_step` returned `None`")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def interruptible() -> Iterator[None]:
    """Restore KeyboardInterrupt: Lightning turns an interrupt into SystemExit and leaves the signal ignored."""
    main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT) if main else None
    try:
        yield
    except SystemExit as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from error
        raise
    finally:
        if handler is not None:
            signal.signal(signal.SIGINT, handler)


def leave_signals(trainer: pl.Trainer) -> pl.Trainer:
    """Return the trainer, which now leaves SIGTERM to those who handle it already, against Lightning 2.6.

    Its own handler talks to the other processes in the middle of whatever they talk about, and so stops them for good.
    In a single process it ends the training without the checkpoint that a stop stores.
    """
    connector: Any = trainer._signal_connector  # noqa: SLF001 (nothing public turns it off)
    connector.register_signal_handlers = _nothing
    return trainer


def _nothing() -> None: ...
