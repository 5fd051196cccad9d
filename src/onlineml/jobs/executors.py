"""Executors of jobs: a detached process of this machine, or any object that has these three methods."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING, Any, Protocol

import psutil

from onlineml.errors import ConfigError
from onlineml.runs.process import describe_process, is_alive

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["Executor", "LocalProcesses"]

_OF_THE_KERNEL = (
    "JPY_",
    "JUPYTER_TOKEN",
    "JUPYTERHUB_API_TOKEN",
    "IPY_",
)  # a job is no kernel, and has no use for the server's tokens
_started: list[subprocess.Popen[bytes]] = []  # held, so that they are waited for when they have ended


class Executor(Protocol):
    """Starts and stops jobs somewhere. An object with these members is one; it need not inherit from this class.

    Attributes:
        name: kept in the run's record.
    """

    name: str

    def start(self, command: Sequence[str], *, environment: Mapping[str, str], log: Path) -> dict[str, Any]:
        """Start a program that outlives this process.

        Args:
            command: what to run; first the Python that has onlineml.
            environment: variables to be added. They may hold credentials: hand them over, do not write them down.
            log: a file of this machine for what the program prints before it opens the run's own log.

        Returns:
            A handle of JSON values, by which `alive` and `stop` find it, also from another process.
        """

    def alive(self, handle: Mapping[str, Any]) -> bool | None:
        """Return True if it still waits or runs; None where that cannot be determined from here."""

    def stop(self, handle: Mapping[str, Any], *, now: bool) -> None:
        """Send SIGTERM, or with ``now`` end it at once, with all that it started.

        Raises:
            ConfigError: that cannot be done from here.
        """


class LocalProcesses:
    """Detached processes of this machine.

    Each has a session of its own and reads nothing, so neither the end of a kernel, nor of the notebook server, nor of
    the terminal reaches it. Where a server lives in a container, or in a systemd unit, and is culled, its processes
    end with it: resume the job then.
    """

    name = "local"

    def start(self, command: Sequence[str], *, environment: Mapping[str, str], log: Path) -> dict[str, Any]:
        """See `Executor.start`."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(_OF_THE_KERNEL)}
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            process = subprocess.Popen(  # noqa: S603 (what the caller composed; no shell)
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
            raise ConfigError(f"the process runs on {handle.get('host', 'another machine')}, not here")
        if alive:
            pid = int(handle["pid"])
            try:
                _require_ours(pid)
                if now and os.getpgid(pid) == pid:
                    os.killpg(pid, signal.SIGKILL)
                else:
                    os.kill(pid, signal.SIGKILL if now else signal.SIGTERM)
            except (ProcessLookupError, psutil.NoSuchProcess):  # it has just ended
                return


def _require_ours(pid: int) -> None:
    """Refuse to signal what is no job: the number comes from the storage, where others may write."""
    command = psutil.Process(pid).cmdline()
    if not any("onlineml" in part for part in command):
        raise ConfigError(f"process {pid} is no job of onlineml, but {' '.join(command)[:100]!r}: the record is wrong")
