"""Executors of jobs: a detached process of this machine, or any object that has these three methods."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import IO, TYPE_CHECKING, Any, Protocol

import psutil

from onlineml.errors import ConfigError
from onlineml.runs.process import describe_process, is_alive
from onlineml.storage.cache import make_private, own_cache

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["Executor", "LocalProcesses"]

_OF_THE_KERNEL = (
    "JPY_",
    "JUPYTER_TOKEN",
    "JUPYTERHUB_API_TOKEN",
    "IPY_",
)  # a job is not a kernel and must not get the server's tokens
_started: list[subprocess.Popen[bytes]] = []  # polled, so that ended ones do not stay zombies


class Executor(Protocol):
    """Starts and stops jobs. Any object with these members is one.

    It may also have a method ``output(handle)`` that returns, as text, what the program wrote before it opened its
    run's own log, where the program cannot write to the file ``log``.

    Attributes:
        name: stored in the run's record.
    """

    name: str

    def start(self, command: Sequence[str], *, environment: Mapping[str, str], log: Path) -> dict[str, Any]:
        """Start a program that outlives this process.

        Args:
            command: the command line, beginning with a Python that has onlineml.
            environment: variables to add. They may contain credentials: pass them on, do not store them.
            log: a local file for the program's output before it opens the run's own log.

        Returns:
            A handle of JSON values for `alive` and `stop`, also in other processes.
        """

    def alive(self, handle: Mapping[str, Any]) -> bool | None:
        """Return whether it is still queued or running; None if that cannot be determined from here."""

    def stop(self, handle: Mapping[str, Any], *, now: bool) -> None:
        """Send SIGTERM, or with ``now`` kill it with all its child processes.

        Raises:
            ConfigError: that is not possible from here.
        """


def _opened(log: Path) -> IO[bytes]:
    """Open a log that only this user reads; without a place for it, the output before the run's own log is lost."""
    try:
        if log.parent == own_cache("jobs"):
            make_private(log.parent)
        log.parent.mkdir(parents=True, exist_ok=True)
        return log.open("ab")
    except OSError:
        return open(os.devnull, "ab")  # noqa: PTH123 (not a file)


class LocalProcesses:
    """Detached processes of this machine.

    Each has its own session, so that it outlives the kernel, the notebook server and the terminal. When a server in a
    container or systemd unit is culled, its processes end with it: resume the job then.
    """

    name = "local"

    def start(self, command: Sequence[str], *, environment: Mapping[str, str], log: Path) -> dict[str, Any]:
        """See `Executor.start`."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(_OF_THE_KERNEL)}
        with _opened(log) as output:
            process = subprocess.Popen(  # noqa: S603 (composed by the caller; no shell)
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**inherited, "MPLBACKEND": "agg", "PYTHONUNBUFFERED": "1", **environment},
            )
        _started.append(process)
        try:
            return describe_process(process.pid)
        except ProcessLookupError:
            return {"pid": process.pid}

    def alive(self, handle: Mapping[str, Any]) -> bool | None:
        """See `Executor.alive`."""
        _started[:] = [process for process in _started if process.poll() is None]
        return is_alive(handle)

    def stop(self, handle: Mapping[str, Any], *, now: bool) -> None:
        """See `Executor.stop`."""
        alive = is_alive(handle)
        if alive is None:
            raise ConfigError(f"the process runs on {handle.get('host', 'another machine')}: stop it there")
        if alive:
            pid = int(handle["pid"])
            try:
                _require_ours(pid)
                if now and os.getpgid(pid) == pid:
                    os.killpg(pid, signal.SIGKILL)
                else:
                    os.kill(pid, signal.SIGKILL if now else signal.SIGTERM)
            except (ProcessLookupError, psutil.NoSuchProcess):  # it just ended
                return


def _require_ours(pid: int) -> None:
    """Refuse to signal other processes: the process id comes from the storage, where others may write."""
    command = psutil.Process(pid).cmdline()
    if not any("onlineml" in part for part in command):
        raise ConfigError(f"process {pid} is not an onlineml job but {' '.join(command)[:100]!r}: the record is wrong")
