"""The progress of a training or background run: curves, throughput, remaining time, samples, and a stop button."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any, ClassVar

from onlineml.errors import NotFoundError, OnlineMLError
from onlineml.jobs.job import Job
from onlineml.jobs.liveness import ENDED
from onlineml.storage.io import read_bytes
from onlineml.training.panel_html import SAMPLES, PanelFacts, panel_html
from onlineml.training.progress import Reporter
from onlineml.widgets._view import View

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onlineml.data.loading.datamodules import ImageDataModule
    from onlineml.runs.run import Run

__all__ = ["ProgressPanel", "follow_live", "shown_live"]

_LOG_LINES = 8
_LEAVE_S = 10.0  # between two updates of the static part


class ProgressPanel(View):
    """The progress of a run in any process on any machine.

    It reads the run's record every two seconds while it is visible, until the run is over. ``onlineml.fit(…,
    progress="live")`` shows the same panel.

    Args:
        watched: a background job, or a run.
    """

    script: ClassVar[str] = "progress"

    def __init__(self, watched: Run | Job) -> None:
        super().__init__()
        self.job = watched if isinstance(watched, Job) else None
        self.run = watched.run if isinstance(watched, Job) else watched
        self.samples = b""
        self.pushed = False  # updated by a training in the same kernel, which cannot answer messages meanwhile
        self._rows: Sequence[Mapping[str, Any]] = ()
        self._now: Mapping[str, Any] = {}
        self._told_at = time.monotonic()
        self._left_at = time.monotonic()
        self._asked_to_stop = False
        self._over = False

    # ---- content ----

    def facts(self) -> PanelFacts:
        """Return the present content of the panel."""
        spec = self.run.spec
        plan: dict[str, Any] = {"epochs": spec.get("epochs"), "budget_s": spec.get("budget_s")}
        if self.pushed:
            since_s = time.monotonic() - self._told_at
            return PanelFacts(
                state="running", rows=self._rows, now=self._now, since_s=since_s, samples=self.samples, **plan
            )
        rows = self.run.metrics()
        if not self.samples:
            with contextlib.suppress(NotFoundError):
                self.samples = read_bytes(self.run.location / SAMPLES)
        if self.job is None:
            status = self.run.status()
            heartbeat = self.run.heartbeat() or {}
            notes = [str(status[name]) for name in ("error",) if status.get(name)]
            state, since_s = str(status["state"]), _age(heartbeat)
            now = {**(rows[-1] if rows else {}), **_newer(heartbeat.get("row"), rows)}
            return PanelFacts(
                state=state, rows=rows, now=now, since_s=since_s, notes=tuple(notes), samples=self.samples, **plan
            )
        stands = self.job.status()
        now = {**(rows[-1] if rows else {}), **_newer(stands.row, rows)}
        arguments = self.job.arguments
        plan = {name: value if value is not None else arguments.get(name) for name, value in plan.items()}
        return PanelFacts(
            title=f"{stands.function} {stands.id}",
            state=stands.state,
            rows=rows,
            now=now,
            since_s=0.0 if stands.silent_s is None else stands.silent_s,
            notes=(stands.error, stands.remedy),
            log=self.job.tail(_LOG_LINES),
            samples=self.samples,
            **plan,
        )

    # ---- asked ----

    def answer(self, ask: Mapping[str, Any], buffers: Sequence[bytes]) -> None:
        """Answer the panel's own script."""
        del buffers
        kind = ask.get("kind")
        if kind == "look":
            self.show()
        elif kind == "stop" and not self._over:
            self._stop()
            self.show()

    def show(self) -> None:
        """Send the present content to the front end."""
        facts = self.facts()
        over = not self.pushed and facts.state in ENDED
        stops = not over and (self.pushed or self.job is not None)
        told = {"over": over, "stops": stops, "pushed": self.pushed, "asked": self._asked_to_stop}
        self.send_all({"kind": "panel", "html": panel_html(facts), **told})
        if over or time.monotonic() - self._left_at > _LEAVE_S:
            self._left_at = time.monotonic()
            self.leave()
        self._over = over

    def _stop(self) -> None:
        self._asked_to_stop = True
        if self.job is not None:
            with contextlib.suppress(OnlineMLError):  # it ended meanwhile
                self.job.cancel()
        elif self.pushed:
            self.run.request_stop()

    def follow(self, poll_s: float = 2.0) -> str:
        """Update until the run is over, blocking the cell; return its state."""
        while True:
            state = self.facts().state
            self.show()
            if state in ENDED:
                return state
            time.sleep(poll_s)

    # ---- left ----

    def static_html(self) -> str:
        """Return the present panel."""
        return panel_html(self.facts())

    def __repr__(self) -> str:
        return f"<ProgressPanel of {self.run.id}>"


class _Pushed(Reporter):
    """Updates a panel from a training in this kernel."""

    def __init__(self, panel: ProgressPanel) -> None:
        self.panel = panel

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self.panel._rows = rows  # noqa: SLF001 (its other half)
        self.tick(rows[-1])

    def tick(self, now: Mapping[str, Any]) -> None:
        self.panel._now, self.panel._told_at = now, time.monotonic()  # noqa: SLF001
        self.panel.show()

    def close(self) -> None:
        self.panel.pushed = False
        self.panel.show()


def shown_live(run: Run, datamodule: ImageDataModule | None) -> Reporter:
    """Show a panel of a training that starts in this kernel; return the reporter that updates it."""
    from IPython.display import display  # noqa: PLC0415

    panel = ProgressPanel(run)
    panel.pushed = True
    if datamodule is not None:
        from onlineml.inference.batches import samples_png  # noqa: PLC0415

        panel.samples = samples_png(datamodule)
    display(panel)  # type: ignore[no-untyped-call]
    return _Pushed(panel)


def follow_live(job: Job, poll_s: float) -> None:
    """Show a panel of a job until it has ended, blocking the cell."""
    from IPython.display import display  # noqa: PLC0415

    panel = ProgressPanel(job)
    display(panel)  # type: ignore[no-untyped-call]
    panel.follow(poll_s)


def _age(heartbeat: Mapping[str, Any]) -> float:
    return max(0.0, time.time() - float(heartbeat["time"])) if "time" in heartbeat else 0.0


def _newer(row: Mapping[str, Any] | None, rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Metrics newer than the last row; else empty."""
    if not row or (rows and float(row.get("seconds", 0)) < float(rows[-1].get("seconds", 0))):
        return {}
    return row
