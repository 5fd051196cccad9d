"""A training or a background run while it goes on: curves, rate, time left, images, and a button that stops it."""

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
_LEAVE_S = 10.0  # between two updates of what the notebook keeps, while it goes on


class ProgressPanel(View):
    """The progress of a run in any process on any machine.

    It reads the run's own record every two seconds while a page shows it, and stops when the run is over. The same
    panel is shown by ``onlineml.fit(…, progress="live")``.

    Args:
        watched: a background job, or a run.
    """

    script: ClassVar[str] = "progress"

    def __init__(self, watched: Run | Job) -> None:
        super().__init__()
        self.job = watched if isinstance(watched, Job) else None
        self.run = watched.run if isinstance(watched, Job) else watched
        self.samples = b""
        self.pushed = False  # told by the training itself, in the same kernel, which answers nothing meanwhile
        self._rows: Sequence[Mapping[str, Any]] = ()
        self._now: Mapping[str, Any] = {}
        self._told_at = time.monotonic()
        self._left_at = time.monotonic()
        self._asked_to_stop = False
        self._over = False

    # ---- what is known ----

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
        """Tell the front end how it stands now."""
        facts = self.facts()
        over = not self.pushed and facts.state in ENDED
        stops = not over and (self.pushed or self.job is not None)
        told = {"over": over, "stops": stops, "pushed": self.pushed, "asked": self._asked_to_stop}
        self.send({"kind": "panel", "html": panel_html(facts), **told})
        if over or time.monotonic() - self._left_at > _LEAVE_S:
            self._left_at = time.monotonic()
            self.leave()
        self._over = over

    def _stop(self) -> None:
        self._asked_to_stop = True
        if self.job is not None:
            with contextlib.suppress(OnlineMLError):  # it has ended meanwhile
                self.job.cancel()
        elif self.pushed:
            self.run.request_stop()

    def follow(self, poll_s: float = 2.0) -> str:
        """Keep showing how it stands until it is over, from a cell that waits; returns its state."""
        while True:
            state = self.facts().state
            self.show()
            if state in ENDED:
                return state
            time.sleep(poll_s)

    # ---- left ----

    def static_html(self) -> str:
        """The panel as it is now."""
        return panel_html(self.facts())

    def __repr__(self) -> str:
        return f"<ProgressPanel of {self.run.id}>"


class _Pushed(Reporter):
    """Tells a panel how the training in this kernel goes on."""

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
    """Show a panel of a training that is about to begin in this kernel; what is returned is told how it goes on."""
    from IPython.display import display  # noqa: PLC0415

    panel = ProgressPanel(run)
    panel.pushed = True
    if datamodule is not None:
        from onlineml.inference.batches import samples_png  # noqa: PLC0415

        panel.samples = samples_png(datamodule)
    display(panel)  # type: ignore[no-untyped-call]
    return _Pushed(panel)


def follow_live(job: Job, poll_s: float) -> None:
    """Show a panel of a job until it has ended, from a cell that waits."""
    from IPython.display import display  # noqa: PLC0415

    panel = ProgressPanel(job)
    display(panel)  # type: ignore[no-untyped-call]
    panel.follow(poll_s)


def _age(heartbeat: Mapping[str, Any]) -> float:
    return max(0.0, time.time() - float(heartbeat["time"])) if "time" in heartbeat else 0.0


def _newer(row: Mapping[str, Any] | None, rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Figures that were told between two rows; those of before the last row are none."""
    if not row or (rows and float(row.get("seconds", 0)) < float(rows[-1].get("seconds", 0))):
        return {}
    return row
