"""Starts the other processes of a training on this machine; the calling one is the first of them.

They are new interpreters, never forks: a fork after CUDA, or with the threads of async filesystems, does not work. So
the same call works in a script, a notebook and a background run, and only the caller goes on after it.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import distributed
from torch.multiprocessing.spawn import ProcessContext, start_processes

from onlineml.errors import ConfigError, StoppedError, TrainingError
from onlineml.training.processes import Processes, connected

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["check_script", "check_sendable", "started"]

_HOST = "127.0.0.1"
_POLL_S = 0.05
_END_S = 5.0  # for processes to end by themselves; they hold nothing that is kept


class _Packed:
    """A value whose pickle is unpickled when it is asked for, so that a failure can be told; tensors are copied."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __getstate__(self) -> bytes:
        return pickle.dumps(self.value)  # within that of a starting process, which may be told credentials

    def __setstate__(self, data: bytes) -> None:
        self.data = data

    def open(self) -> Any:
        return pickle.loads(self.data)  # noqa: S301 - of the process that started this one


def check_sendable(name: str, value: Any) -> None:
    """Check that another process can be given a value.

    Raises:
        ConfigError: it cannot be pickled, or its class exists in this notebook or session alone.
    """
    remedy = "define its class in a module that can be imported, or train with devices=1"
    try:
        data = pickle.dumps(value)
    except Exception as error:  # PicklingError, AttributeError, TypeError, ...
        raise ConfigError(f"{name} cannot be sent to other processes ({error}): {remedy}") from error
    if b"__main__" in data and not hasattr(sys.modules["__main__"], "__file__"):
        raise ConfigError(f"{name} uses what is defined in this notebook, which other processes do not have: {remedy}")


def check_script() -> None:
    """Check that other processes can be started, which import the script.

    Raises:
        ConfigError: it has no guard, so that each of them would start more.
    """
    main = sys.modules["__main__"]
    path = getattr(main, "__file__", None)
    is_module = getattr(main, "__spec__", None) is not None
    guard = "put what the script does under if __name__ == '__main__':, since each process imports it"
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise ConfigError(f"a process that fit() started called fit() while it imported the script: {guard}")
    if path is None or is_module or not Path(path).is_file():
        return
    if "__main__" not in Path(path).read_text(encoding="utf-8", errors="replace"):
        raise ConfigError(f"several devices take processes: {guard}; or start it by torchrun")


@contextmanager
def started(
    follow: Callable[[Processes], None], n: int, *, on_gpu: bool, stop: Callable[[], bool]
) -> Iterator[Processes]:
    """Run ``follow`` in ``n - 1`` new processes, and the block in this one, all connected.

    Args:
        follow: takes its `Processes`; must be picklable.
        n: number of processes with this one.
        on_gpu: whether they train on GPUs.
        stop: called until they have started; if it returns True, they are ended.

    Raises:
        StoppedError: ``stop`` returned True.
        TrainingError: a process ended without a message.
        Exception: the first error of any of them.
    """
    store = _store(0, n)
    how = multiprocessing.get_start_method(allow_none=True)  # of workers that they start
    arguments = (store.port, n, _Packed((follow, on_gpu, torch.get_num_threads(), how)))
    with _interrupts_held():
        context: ProcessContext = start_processes(  # type: ignore[no-untyped-call]
            _follow, arguments, nprocs=n - 1, join=False, start_method="spawn"
        )
    processes = Processes(0, n)
    processes.store, processes.deaths = store, partial(_deaths, context, n)
    wait_s = 0.0  # those that have not begun cannot end by themselves
    try:
        _await_start(processes, stop)
        wait_s = _END_S
        with _share_of_threads(n, on_gpu=on_gpu), connected(processes, store, on_gpu=on_gpu):
            yield processes
    finally:
        _end(context, wait_s)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold back interrupts in the block, and for good in processes that it starts: a terminal's Ctrl+C reaches them."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _store(port: int, n: int) -> Any:
    """Torch's store of ``n`` processes; port 0 makes one at a free port."""
    made: Any = distributed.TCPStore  # type: ignore[attr-defined]
    return made(_HOST, port, n, is_master=port == 0, wait_for_workers=False)


def _deaths(context: ProcessContext, n: int) -> str:
    """A sentence about a process that has failed without a message; empty if there is none."""
    for index, process in enumerate(context.processes):
        code = process.exitcode
        if code:
            how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
            if code == -signal.SIGKILL:
                return f"process {index + 2} of {n} {how}, perhaps because memory was exhausted"
            return f"process {index + 2} of {n} {how}"
    return ""


def _await_start(processes: Processes, stop: Callable[[], bool]) -> None:
    wanted = [f"started-{rank}" for rank in range(1, processes.n)]
    while not processes.store.check(wanted):
        if stop():
            raise StoppedError("stopped on request before the training began; call fit() again to continue")
        if (failure := processes.told_failure()) is not None:
            raise failure
        if died := "" if processes.deaths is None else processes.deaths():
            raise TrainingError(f"{died} before the training began; what it wrote is above")
        time.sleep(_POLL_S)


def _end(context: ProcessContext, wait_s: float) -> None:
    until = time.monotonic() + wait_s
    for process in context.processes:
        process.join(max(0.0, until - time.monotonic()))
        if process.is_alive():
            process.kill()
            process.join()


@contextmanager
def _share_of_threads(n: int, *, on_gpu: bool) -> Iterator[None]:
    """Let this process use its share of the CPU's threads within the block, unless the environment sets a number."""
    before = torch.get_num_threads()
    if not on_gpu and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, before // n))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _follow(index: int, port: int, n: int, packed: _Packed) -> None:
    """Train in a started process, until the first one ends; errors are told to that one."""
    for number in (signal.SIGINT, signal.SIGTERM):  # the first process decides when to stop
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    processes = Processes(index + 1, n, local_rank=index + 1)
    store = processes.store = _store(port, n)
    try:
        try:
            follow, on_gpu, n_threads, how = packed.open()
        except Exception as error:
            processes.report(ConfigError(f"a process cannot be given its part of the training: {error}"))
            raise
        torch.set_num_threads(n_threads)
        multiprocessing.set_start_method(how, force=True)
        store.set(f"started-{processes.rank}", "")
        with _share_of_threads(n, on_gpu=on_gpu), connected(processes, store, on_gpu=on_gpu):
            follow(processes)
    except Exception:  # noqa: BLE001 - reported, or the first one's
        os._exit(0)  # no traceback beside the one that matters, and no wait for threads that the others left


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
