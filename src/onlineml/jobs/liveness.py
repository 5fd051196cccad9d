"""The state of a job, inferred from its files and from whether its process exists."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from onlineml.jobs.records import KINDS, decoded
from onlineml.runs import run as run_states
from onlineml.storage import io

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from onlineml.jobs.executors import Executor
    from onlineml.runs.run import Run
    from onlineml.storage.location import Location

__all__ = [
    "BEAT_S",
    "ENDED",
    "JobState",
    "Snapshot",
    "cancel_name",
    "claim_name",
    "handle_name",
    "infer_state",
    "settled",
    "silent_s",
    "snapshot",
    "snapshots",
]

JobState = Literal["starting", "running", "finished", "failed", "stopped", "lost"]

BEAT_S = 10.0  # between two heartbeats
_SILENT_S = 120.0  # without a heartbeat, a job on another machine is lost; allows for a short outage of the store
ENDED = (*run_states.ENDED, "lost")
_CLAIM = re.compile(r"attempt-(\d{4,})\.json")


@dataclass(frozen=True)
class Snapshot:
    """The content of a run's folder at one moment.

    Attributes:
        spec: the specification of the job.
        status: of ``status.json``.
        heartbeat: of ``heartbeat.json``; empty before the first.
        claim: the record of its last start.
        handle: the executor's handle; empty while it is being started.
        attempt: number of the last start, from 1; 0 for a run that was never submitted.
        now: seconds since 1970.
        damage: which of the files are damaged, and how; they count as missing. ``""`` for none.
    """

    spec: Mapping[str, Any]
    status: Mapping[str, Any]
    heartbeat: Mapping[str, Any]
    claim: Mapping[str, Any]
    handle: Mapping[str, Any]
    attempt: int
    now: float
    damage: str = ""


def claim_name(attempt: int) -> str:
    """The file that is created to claim the n-th start of a run."""
    return f"attempt-{attempt:04}.json"


def handle_name(attempt: int) -> str:
    """The file with the executor's handle of the n-th start."""
    return f"attempt-{attempt:04}.handle.json"


def cancel_name(attempt: int) -> str:
    """The file that requests the n-th start to stop."""
    return f"cancel-{attempt:04}.json"


def snapshot(run: Run) -> Snapshot:
    """Read the present content of one run's folder."""
    attempt = _last_attempt(info.path for info in io.list_files(run.location, recursive=False))
    return _read({run.location: attempt})[run.location]


def snapshots(runs: Location) -> dict[Location, Snapshot]:
    """Read the folders of all jobs below a folder, the oldest first, with one listing and one fetch."""
    names: dict[str, list[str]] = {}
    for info in io.list_files(runs):
        run_id, _, name = info.path.partition("/")
        names.setdefault(run_id, []).append(name)
    attempts = {runs / run_id: _last_attempt(found) for run_id, found in sorted(names.items())}
    return _read({run: attempt for run, attempt in attempts.items() if attempt})


def _read(attempts: Mapping[Location, int]) -> dict[Location, Snapshot]:
    names = {run: _names(attempt) for run, attempt in attempts.items()}
    contents = iter(io.read_many([run / name for run, found in names.items() for name in found]))
    now = time.time()
    snapshots = {}
    for run, attempt in attempts.items():
        records = [decoded(next(contents), kind, n) for kind, n in zip(KINDS, names[run], strict=True)]
        values, wrong = zip(*records, strict=True)
        spec, status, heartbeat, claim, handle = values
        damage = "; ".join(filter(None, wrong))
        snapshots[run] = Snapshot(spec, status, heartbeat, claim, handle, attempt=attempt, now=now, damage=damage)
    return snapshots


def _names(attempt: int) -> tuple[str, ...]:
    return "spec.json", "status.json", "heartbeat.json", claim_name(attempt), handle_name(attempt)


def _last_attempt(names: Iterable[str]) -> int:
    return max((int(match[1]) for name in names if (match := _CLAIM.fullmatch(name))), default=0)


def infer_state(seen: Snapshot, executor: Executor | None) -> JobState:
    """Infer the state of a job.

    Args:
        seen: the content of its folder.
        executor: the one that started it; None if it is not available, so that only heartbeats count.
    """
    state = seen.status.get("state")
    current = seen.status.get("attempt", 0) >= seen.attempt
    if current and state in run_states.ENDED:
        return state  # type: ignore[no-any-return]
    begun = current and state == "running"
    alive = executor.alive(seen.handle) if executor is not None and seen.handle else None
    if alive is None and begun:
        heartbeat = float(seen.heartbeat.get("time", 0)) if seen.heartbeat.get("attempt") == seen.attempt else 0.0
        alive = seen.now - max(heartbeat, float(seen.claim.get("time", 0))) < _SILENT_S
    elif alive is None and (executor is not None or seen.claim.get("executor") == "local"):
        alive = seen.now - float(seen.claim.get("time", 0)) < _SILENT_S
    if alive is False:
        return "lost"
    return "running" if begun else "starting"


def settled(run: Run, executor: Executor, seen: Snapshot) -> tuple[Snapshot, JobState]:
    """Return a snapshot and its state; it is read again if the process is gone, which may just have finished."""
    of_it = executor if executor.name == seen.claim.get("executor", executor.name) else None
    state = infer_state(seen, of_it)
    if state == "lost":
        seen = snapshot(run)
        state = infer_state(seen, of_it)
    return seen, state


def silent_s(seen: Snapshot) -> float | None:
    """Seconds since the last heartbeat; None before the first."""
    if seen.heartbeat.get("attempt") != seen.attempt or "time" not in seen.heartbeat:
        return None
    return max(0.0, seen.now - float(seen.heartbeat["time"]))
