"""The processes that train one model together: what they agree on, and how the failure of one ends all."""

from __future__ import annotations

import base64
import importlib
import os
import pickle
import sys
import time
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import distributed

from onlineml.errors import OnlineMLError, StoppedError, TrainingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["ALONE", "Processes", "connected", "groups_store", "launched_by_others", "launchers_store"]

T = TypeVar("T")

_TIMEOUT = timedelta(minutes=30)  # torch's, of a step; what takes longer is waited for in the store
_FAILURE = "failure"  # key of the store
_POLL_S = 0.05
_DEATH_S = 3.0  # a killed process is known to have ended
_numbers = count()  # of trainings in this process: a launcher's store remembers earlier ones


class Processes:
    """The processes of one training; by default this one alone.

    The methods `agree`, `any_of` and `share` must be called by all of them, in the same order.

    Attributes:
        rank: number of this process, from 0; the first one keeps the record, decides, and writes.
        n: number of processes.
        local_rank: number of this process on its machine.
        n_nodes: number of machines.
        is_lasting: whether a launcher made them, so that each goes on after the training.
        store: of torch, that all of them reach.
        deaths: returns a sentence about a process that ended without a message, empty if there is none; None where only
            the launcher knows.
    """

    def __init__(
        self, rank: int = 0, n: int = 1, *, local_rank: int = 0, n_nodes: int = 1, is_lasting: bool = False
    ) -> None:
        self.rank, self.n, self.local_rank, self.n_nodes, self.is_lasting = rank, n, local_rank, n_nodes, is_lasting
        self.store: Any = None
        self._n_shared = 0
        self._told: Exception | None = None
        self.deaths: Callable[[], str] | None = None

    @property
    def is_first(self) -> bool:
        """True for the process that keeps the record."""
        return self.rank == 0

    def agree(self, value: T) -> T:
        """Return the value that the first process has."""
        if self.n == 1:
            return value
        given = [value]
        distributed.broadcast_object_list(given, src=0)
        return given[0]

    def any_of(self, *flags: bool) -> tuple[bool, ...]:
        """Return for each flag whether any process has set it."""
        if self.n == 1:
            return flags
        found = torch.tensor(flags, dtype=torch.int32)
        distributed.all_reduce(found, op=distributed.ReduceOp.MAX)
        return tuple(bool(flag) for flag in found.tolist())

    def share(self, make: Callable[[], T]) -> T:
        """Return what ``make`` returns in the first process, for which the others wait as long as it takes.

        Raises:
            TrainingError: in the others, if it failed there.
        """
        if self.n == 1:
            return make()
        self._n_shared += 1
        key = f"shared-{self._n_shared}"
        given: Any = None
        if self.is_first:
            given = make()
            self.store.set(key, "made")
        else:
            while not self.store.check([key]):
                if (failure := self.told_failure()) is not None:
                    raise failure
                time.sleep(_POLL_S)
        value: T = self.agree(given)
        return value

    @contextmanager
    def told(self) -> Iterator[None]:
        """Tell the others about an error that ends the block, and raise the first one that any process has told."""
        try:
            yield
        except Exception as error:
            first = self.report(error)
            if first is error:
                raise
            raise first from error
        except BaseException as error:
            if not self.is_first:  # as by sys.exit() in a callback: the others would only see a broken connection
                self.report(TrainingError(self._blamed(self.rank, error)))
            raise

    def report(self, error: Exception) -> Exception:
        """Tell the others about an error; return the first one that any process has told, which may be this one."""
        if self.n == 1 or error is self._told:
            return error
        told = self._packed(error)
        try:
            is_first = self.store.compare_set(_FAILURE, "", told).decode() == told
        except (RuntimeError, OSError):  # the process with the store has ended
            is_first = True
        # who stops has its own reason, at the same step
        self._told = self._named(error) if is_first or isinstance(error, StoppedError) else self._failure()
        return self._told

    def _packed(self, error: Exception) -> str:
        """Return (rank, error) as text; what cannot be pickled is told by its text."""
        try:
            data = pickle.dumps((self.rank, error))
            pickle.loads(data)  # noqa: S301 - made just now
        except Exception:  # noqa: BLE001 - of anybody's class
            data = pickle.dumps((self.rank, TrainingError(self._blamed(self.rank, error))))
        return base64.b64encode(data).decode()

    def told_failure(self) -> Exception | None:
        """The first error that any process has told; None if there is none."""
        return self._failure() if self.store.check([_FAILURE]) else None

    def _failure(self) -> Exception:
        error: Exception
        rank, error = pickle.loads(base64.b64decode(self.store.get(_FAILURE)))  # noqa: S301 - of these processes
        if _is_broken_connection(error):  # who has noticed a death first is not who died
            return self._named(error)
        if not isinstance(error, OnlineMLError):
            error = TrainingError(self._blamed(rank, error))
        return error

    def _blamed(self, rank: int, error: BaseException) -> str:
        return f"process {rank + 1} of {self.n} failed: {type(error).__name__}: {error}"

    def _named(self, error: Exception) -> Exception:
        """The death of another process in place of the broken connection that it left."""
        if isinstance(error, OnlineMLError) or not _is_broken_connection(error):
            return error
        until, died = time.monotonic() + _DEATH_S, ""
        while self.deaths is not None and not died and time.monotonic() < until:
            died = self.deaths()
            time.sleep(_POLL_S)
        died = died or f"one of {self.n} processes has ended without a message, as when it is killed: {error}"
        return TrainingError(f"{died}; call fit() again with the same run to continue from its last checkpoint")


ALONE = Processes()


def _is_broken_connection(error: Exception) -> bool:
    words = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "Socket closed")
    return isinstance(error, RuntimeError) and any(word in str(error) for word in words)


@contextmanager
def connected(processes: Processes, store: Any, *, on_gpu: bool) -> Iterator[Processes]:
    """Connect processes within the block, by torch's process group, and tell the others about an error that ends it.

    Args:
        processes: which of them this one is.
        store: of torch, that all of them reach.
        on_gpu: whether they train on GPUs.

    Raises:
        Exception: the first error of any of the processes.
    """
    processes.store = store
    is_own = not distributed.is_initialized()  # else the user's script is connected already
    shows_errors = sys.excepthook
    try:
        if is_own:
            backend, options = "cpu:gloo,cuda:nccl" if on_gpu else "gloo", {"store": store, "timeout": _TIMEOUT}
            distributed.init_process_group(backend, rank=processes.rank, world_size=processes.n, **options)
        with processes.told():
            yield processes
    finally:
        if is_own and distributed.is_initialized():
            distributed.destroy_process_group()
        if is_own:
            sys.excepthook = shows_errors  # torch's would put "[rank0]:" before each line of later errors, for good


def launched_by_others() -> Processes | None:
    """The processes that torchrun or SLURM started with this one; None if there are no others."""
    slurm: Any = importlib.import_module("lightning_fabric.plugins.environments").SLURMEnvironment
    given = os.environ
    if {"RANK", "WORLD_SIZE", "LOCAL_RANK"} <= given.keys():
        rank, n, local_rank = (int(given[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
        n_local = int(given.get("LOCAL_WORLD_SIZE", n))
    elif slurm.detect():
        found = slurm()
        rank, n, local_rank = found.global_rank(), found.world_size(), found.local_rank()
        n_local = n // int(given.get("SLURM_NNODES", 1))
        given.setdefault("MASTER_ADDR", found.main_address)
        given.setdefault("MASTER_PORT", str(found.main_port))
    else:
        return None
    if n == 1:
        return None
    return Processes(rank, n, local_rank=local_rank, n_nodes=max(1, n // n_local), is_lasting=True)


def launchers_store() -> Any:
    """The store of the processes of a launcher, as torch's environment variables name it, for the next training."""
    torchs: Any = distributed
    if distributed.is_initialized():  # the port that the variables name is taken
        return groups_store(distributed.get_rank(), distributed.get_world_size())
    store, _, _ = next(torchs.rendezvous("env://"))
    return torchs.PrefixStore(f"onlineml-{next(_numbers)}", store)


def groups_store(rank: int, n: int) -> Any:
    """A new store of processes that torch's process group connects already."""
    torchs: Any = distributed
    host = os.environ["MASTER_ADDR"]
    made = torchs.TCPStore(host, 0, n, is_master=True, wait_for_workers=False) if rank == 0 else None
    given = [None if made is None else made.port]
    distributed.broadcast_object_list(given, src=0)
    return torchs.TCPStore(host, given[0], n, is_master=False, wait_for_workers=False) if made is None else made
