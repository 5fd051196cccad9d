"""The status of a job, as text, values and HTML."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from onlineml.jobs import html
from onlineml.jobs.liveness import silent_s

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pandas as pd

    from onlineml.jobs.liveness import JobState, Snapshot
    from onlineml.storage.location import Location

__all__ = ["JobStatus", "Jobs", "status_of"]


@dataclass(frozen=True)
class JobStatus:
    """The status of a job at one moment.

    Attributes:
        id: of its run.
        function: its kind, or the import path of a function.
        state: ``"starting"``, ``"running"``, ``"finished"``, ``"failed"``, ``"stopped"`` (on request),
            or ``"lost"``: its process ended without reporting.
        attempt: number of starts.
        since: when it reported the state, or was started, in UTC.
        host: the machine.
        pid: its process there; None while it is starting.
        silent_s: seconds since its last heartbeat, written every 10 s; None before the first.
        row: the last metrics of its training.
        error: why it failed, or which of its files are damaged; else ``""``.
        remedy: the next step to take; ``""`` for none.
    """

    id: str
    function: str
    state: JobState
    attempt: int
    since: datetime
    host: str
    pid: int | None
    silent_s: float | None
    row: Mapping[str, Any]
    error: str
    remedy: str

    @property
    def progress(self) -> float:
        """The completed share, 0..1; nan if unknown."""
        share = self.row.get("progress")
        return 1.0 if self.state == "finished" else float("nan") if share is None else float(share)

    def __str__(self) -> str:
        share = "" if self.state == "finished" or math.isnan(self.progress) else f", {100 * self.progress:.0f} %"
        head = f"{self.id} {self.function}: {self.state}{share} ({self.host}, since {self.since:%Y-%m-%d %H:%M} UTC)"
        return "\n  ".join([head, *(text for text in (self.error, self.remedy) if text)])

    def _repr_html_(self) -> str:
        return html.status_html(self)


@dataclass(frozen=True)
class Jobs:
    """The statuses of a project's jobs at one moment, the oldest first."""

    statuses: tuple[JobStatus, ...]

    def __len__(self) -> int:
        return len(self.statuses)

    def __iter__(self) -> Iterator[JobStatus]:
        return iter(self.statuses)

    def __getitem__(self, index: int) -> JobStatus:
        return self.statuses[index]

    def to_frame(self) -> pd.DataFrame:
        """One row per job."""
        import pandas as pd  # noqa: PLC0415

        names = (
            "id",
            "function",
            "state",
            "progress",
            "attempt",
            "since",
            "host",
            "pid",
            "silent_s",
            "error",
            "remedy",
        )
        return pd.DataFrame([{n: getattr(s, n) for n in names} for s in self.statuses], columns=list(names))

    def __str__(self) -> str:
        return "\n".join(map(str, self.statuses)) or "no jobs yet; see project.jobs.submit"

    def _repr_html_(self) -> str:
        return html.jobs_html(self.statuses)


def status_of(run: Location, seen: Snapshot, state: JobState) -> JobStatus:
    """Return the status of a job, given a snapshot and its state."""
    begun = seen.status.get("attempt", 0) >= seen.attempt
    since = seen.status.get("time") if begun else None
    process = seen.heartbeat if seen.heartbeat.get("attempt") == seen.attempt else seen.handle
    job = seen.spec.get("job") or {}
    damage = seen.damage or ("" if job else "spec.json is missing, or does not describe a job")
    error = damage or (str(seen.status.get("error") or "") if begun and state == "failed" else "")
    call = f"oml.jobs.Job.open({str(run)!r}).resume()"
    remedies = {
        "lost": f"its process is gone{_last_heartbeat(silent_s(seen))}; continue from its last checkpoint: {call}",
        "failed": f"see its log with .tail(); try again: {call}",
        "stopped": f"continue: {call}",
    }
    return JobStatus(
        id=run.name,
        function=str(job.get("function", "")),
        state=state,
        attempt=seen.attempt,
        since=datetime.fromisoformat(since) if since else datetime.fromtimestamp(float(seen.claim.get("time", 0)), UTC),
        host=str(process.get("host") or seen.claim.get("host", "")),
        pid=process.get("pid"),
        silent_s=silent_s(seen),
        row=dict(seen.heartbeat.get("row") or {}),
        error=error,
        remedy=remedies.get(state, ""),
    )


def _last_heartbeat(seconds: float | None) -> str:
    return ", without a heartbeat" if seconds is None else f", its last heartbeat {seconds:.0f} s ago"
