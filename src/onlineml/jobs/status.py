"""The status of a job, in words, as values and as HTML."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from onlineml.jobs import html
from onlineml.jobs.state import silent_s
from onlineml.storage import io
from onlineml.storage.urls import redacted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pandas as pd

    from onlineml.jobs.state import JobState, Snapshot

__all__ = ["JobStatus", "Jobs", "status_of"]


@dataclass(frozen=True)
class JobStatus:
    """The status of a job at one moment.

    Attributes:
        id: of its run.
        function: its kind, or the import path of a function.
        state: ``"starting"``, ``"running"``, ``"finished"``, ``"failed"``, ``"stopped"`` (on request),
            or ``"lost"``: its process is gone without a message.
        attempt: number of times that it was started.
        since: the time when it reported the state, or was started, in UTC.
        host: the machine.
        pid: its process there; None while it is starting.
        silent_s: seconds since its last sign of life, which comes every 10 s; None before the first.
        row: the last figures of its training.
        error: the reason why it failed; ``""`` if it did not.
        remedy: the next step to take; ``""`` where nothing is to be done.
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
        """The share that is done, 0..1; nan where that is not known."""
        share = self.row.get("progress")
        return 1.0 if self.state == "finished" else float("nan") if share is None else float(share)

    def __str__(self) -> str:
        share = "" if self.state == "finished" or math.isnan(self.progress) else f", {100 * self.progress:.0f} %"
        told = [f"{self.id} {self.function}: {self.state}{share} ({self.host}, since {self.since:%Y-%m-%d %H:%M} UTC)"]
        return "\n  ".join([*told, *(text for text in (self.error, self.remedy) if text)])

    def _repr_html_(self) -> str:
        return html.status_html(self)


@dataclass(frozen=True)
class Jobs:
    """The jobs of a project as they stood when they were listed, the oldest first.

    Attributes:
        statuses: one each.
    """

    statuses: tuple[JobStatus, ...]

    def __len__(self) -> int:
        return len(self.statuses)

    def __iter__(self) -> Iterator[JobStatus]:
        return iter(self.statuses)

    def __getitem__(self, index: int) -> JobStatus:
        return self.statuses[index]

    def to_frame(self) -> pd.DataFrame:
        """A row a job."""
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


def status_of(url: str, seen: Snapshot, state: JobState) -> JobStatus:
    """Return the status of a job, given a snapshot and its state."""
    begun = seen.status.get("attempt", 0) >= seen.attempt
    since = seen.status.get("time") if begun else None
    process = seen.heartbeat if seen.heartbeat.get("attempt") == seen.attempt else seen.handle
    error = str(seen.status.get("error") or "") if begun and state == "failed" else ""
    call = f"oml.jobs.Job.open({redacted(url)!r}).resume()"
    remedies = {
        "lost": f"its process is gone, after {_words(silent_s(seen))}; go on from its last checkpoint: {call}",
        "failed": f"its log says more: .tail(); try again: {call}",
        "stopped": f"go on: {call}",
    }
    return JobStatus(
        id=io.name(url),
        function=str(seen.spec.get("job", {}).get("function", "")),
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


def _words(seconds: float | None) -> str:
    return "no sign of life" if seconds is None else f"its last sign of life {seconds:.0f} s ago"
