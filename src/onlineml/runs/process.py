"""Identity of a process, from which others can determine whether it is still running, and how its work ended."""

from __future__ import annotations

import contextlib
import os
import socket
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from onlineml.errors import StoppedError
from onlineml.storage.credentials import scrubbed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from onlineml.runs.run import State
    from onlineml.storage.location import Location

__all__ = ["describe_process", "end_of", "is_alive", "machine", "this_process"]

_ERROR_LENGTH = 2000  # characters of an error in the status
_SAME_START_S = 2.0  # a clock adjustment shifts a process's start time; a process number is not reused this soon


@lru_cache(maxsize=1)
def machine() -> str:
    """Return an identifier of the host, its current boot, and the container, within which process numbers are unique.

    Two containers may have the same host name, and a rebooted host has other processes.
    """
    parts = [socket.gethostname()]
    boot, numbers = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    with contextlib.suppress(OSError):  # not Linux
        parts += [boot.read_text(encoding="ascii").strip()[-12:], str(numbers.readlink())]
    return "/".join(parts)


def this_process() -> dict[str, Any]:
    """Return ``pid``, ``pid_started`` (seconds since 1970), ``host`` and ``machine`` of this process."""
    return describe_process(os.getpid())


def describe_process(pid: int) -> dict[str, Any]:
    """Return the same facts as `this_process` for another process of this machine.

    Raises:
        ProcessLookupError: the process does not exist.
    """
    try:
        started = psutil.Process(pid).create_time()
    except psutil.NoSuchProcess as error:
        raise ProcessLookupError(f"no process has the number {pid}") from error
    return {"pid": pid, "pid_started": round(started, 2), "host": socket.gethostname(), "machine": machine()}


def is_alive(process: Mapping[str, Any]) -> bool | None:
    """Return whether a process described by `this_process` is still running; None if this machine cannot tell.

    A later process with the same number counts as another process, and a zombie as ended.
    """
    if process.get("machine") != machine() or process.get("pid") is None:
        return None
    try:
        found = psutil.Process(int(process["pid"]))
        if found.status() == psutil.STATUS_ZOMBIE:
            return False
        return abs(found.create_time() - float(process.get("pid_started") or 0)) < _SAME_START_S
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True


def end_of(error: BaseException, *, at: Location) -> tuple[State, dict[str, str]]:
    """Return the state of a run, at its location, that an exception ended, and the facts that tell why."""
    if isinstance(error, StoppedError):
        return "stopped", {"by": "request"}
    if isinstance(error, Exception):
        return "failed", {"error": scrubbed(f"{type(error).__name__}: {error}", at)[:_ERROR_LENGTH]}
    return "stopped", {"by": type(error).__name__}
