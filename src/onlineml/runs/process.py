"""Which process this is, told so that another process, or another machine, can say whether it still runs."""

from __future__ import annotations

import contextlib
import os
import socket
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["describe_process", "is_alive", "machine", "this_process"]

_SAME_START_S = 2.0  # a clock that was set since moves a process's start; a number is not used again so soon


@lru_cache(maxsize=1)
def machine() -> str:
    """A name for what process numbers mean something on: the host, this boot of it, and the container.

    Two containers may well have one host name, and a host that was started again has other processes.
    """
    parts = [socket.gethostname()]
    boot, numbers = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    with contextlib.suppress(OSError):  # not Linux
        parts += [boot.read_text(encoding="ascii").strip()[-12:], str(numbers.readlink())]
    return "/".join(parts)


def this_process() -> dict[str, Any]:
    """``pid``, ``pid_started`` (seconds since 1970), ``host`` and ``machine`` of this process."""
    return describe_process(os.getpid())


def describe_process(pid: int) -> dict[str, Any]:
    """The same of another process of this machine.

    Raises:
        ProcessLookupError: there is none.
    """
    try:
        started = psutil.Process(pid).create_time()
    except psutil.NoSuchProcess as error:
        raise ProcessLookupError(f"there is no process {pid}") from error
    return {"pid": pid, "pid_started": round(started, 2), "host": socket.gethostname(), "machine": machine()}


def is_alive(process: Mapping[str, Any]) -> bool | None:
    """Whether a process that `this_process` described still runs; None where this machine cannot tell.

    A later process of the same number is another one, and one that has ended but was not waited for is none.
    """
    if process.get("machine") != machine() or "pid" not in process:
        return None
    try:
        found = psutil.Process(int(process["pid"]))
        if found.status() == psutil.STATUS_ZOMBIE:
            return False
        return abs(found.create_time() - float(process["pid_started"])) < _SAME_START_S
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
