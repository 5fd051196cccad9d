"""The files of a run's folder as typed records."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 (msgspec reads the annotations)
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

__all__ = ["Heartbeat", "Process", "Seconds", "State", "Status"]

State = Literal["created", "running", "finished", "failed", "stopped"]
Seconds = Annotated[float, Meta(ge=0, le=250_000_000_000)]  # since 1970, up to a year that datetime has


class Process(msgspec.Struct):
    """A process, as `onlineml.runs.process.this_process` describes it."""

    pid: Annotated[int, Meta(ge=0, lt=2**31)] | None = None
    pid_started: Seconds | None = None
    host: str = ""
    machine: str = ""


class Status(Process, kw_only=True):
    """The content of ``status.json``."""

    state: State
    time: datetime


class Heartbeat(Process):
    """The content of ``heartbeat.json``; the attempt is that of a job."""

    attempt: Annotated[int, Meta(ge=0, lt=2**31)] = 0
    time: Seconds = 0.0
    row: dict[str, Any] | None = None
