"""Background runs: training, evaluating, notebooks or functions of yours, in a process that outlives the notebook.

What is submitted is data: the name of a function, and its arguments as JSON. The record of a job is its run's folder,
so that it can be watched, stopped and resumed from any notebook and any machine that reads the project.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from typing import TYPE_CHECKING, Any

from onlineml.errors import ConfigError, NotFoundError
from onlineml.jobs import html
from onlineml.jobs.executors import Executor, LocalProcesses
from onlineml.jobs.launch import checked, first_log, launch, untrusted_reference
from onlineml.jobs.state import ENDED, cancel_name, infer_state, snapshot, snapshots
from onlineml.jobs.status import Jobs, JobStatus, status_of
from onlineml.project.project import Project
from onlineml.runs.run import Run, new_run_id
from onlineml.storage import io
from onlineml.storage.urls import redacted
from onlineml.training.progress import check_progress

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from onlineml.jobs.state import JobState, Snapshot
    from onlineml.training.progress import Progress

__all__ = ["Executor", "Job", "JobStatus", "Jobs", "LocalProcesses", "job", "jobs", "submit"]

_TAIL_BYTES = 1 << 20  # of a log, at most, to find its last lines


class Job:
    """A background run. Get it from `submit`, `job` or `jobs`.

    Attributes:
        run: its record.
        executor: where it runs, or runs when it is resumed.
    """

    def __init__(self, run: Run, *, executor: Executor | None = None) -> None:
        self.run = run
        self.executor = LocalProcesses() if executor is None else executor

    @property
    def id(self) -> str:
        """Of its run."""
        return self.run.id

    @property
    def function(self) -> str:
        """What it does: a kind, or the import path of a function."""
        return str(self.run.spec["job"]["function"])

    @property
    def arguments(self) -> dict[str, Any]:
        """With what."""
        return dict(self.run.spec["job"]["arguments"])

    @property
    def state(self) -> JobState:
        """See `JobStatus.state`."""
        return self.status().state

    def status(self) -> JobStatus:
        """How it stands now."""
        return status_of(self.run.url, *self._seen())

    def _seen(self) -> tuple[Snapshot, JobState]:
        return _settled(self.run, self.executor, snapshot(self.run))

    def tail(self, lines: int = 20) -> str:
        """The last lines of what it printed; of one that never came so far as to open its log, what Python said."""
        text = self.run.log(last_bytes=_TAIL_BYTES)
        if not text:
            first = first_log(self.run, snapshot(self.run).attempt)
            text = first.read_text(encoding="utf-8", errors="replace") if first.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def result(self) -> dict[str, Any]:
        """What its function returned.

        Raises:
            NotFoundError: it is not finished, or returned nothing.
        """
        url = self.run.path("result.json")
        try:
            value: dict[str, Any] = json.loads(io.read_bytes(url, storage_options=self.run.storage_options))
        except NotFoundError as error:
            raise NotFoundError(f"the job {self.id} has no result: it is {self.state}") from error
        return value

    def wait(self, timeout_s: float | None = None, *, poll_s: float = 2.0) -> JobState:
        """Wait until it has ended, or is lost, or the time is over; returns its state."""
        end = None if timeout_s is None else time.monotonic() + timeout_s
        while (state := self.state) not in ENDED and (end is None or time.monotonic() < end):
            time.sleep(poll_s if end is None else min(poll_s, max(0.0, end - time.monotonic())))
        return state

    def watch(self, *, progress: Progress = "lines", poll_s: float = 2.0) -> JobState:
        """Show how it goes on until it has ended; interrupting this call ends the watching, not the job.

        Args:
            progress: ``"lines"`` prints what the job prints; ``"live"`` redraws one panel of its figures in a
                notebook; ``"none"`` shows nothing.
            poll_s: seconds between two looks.

        Returns:
            The state at the end.
        """
        check_progress(progress)
        if progress == "live":
            return self._watched_live(poll_s)
        shown = 0
        try:
            while True:
                state = self.state  # before what it wrote, so that nothing is missed at its end
                log = self.run.log() if progress == "lines" else ""
                sys.stdout.write(log[shown:])
                sys.stdout.flush()
                shown = len(log)
                if state in ENDED:
                    return state
                time.sleep(poll_s)
        except KeyboardInterrupt:
            return self.state

    def _watched_live(self, poll_s: float) -> JobState:
        from IPython.display import display  # noqa: PLC0415 (notebooks alone need it, and the widgets)

        from onlineml.widgets.progress import ProgressPanel  # noqa: PLC0415

        panel = ProgressPanel(self)
        display(panel)  # type: ignore[no-untyped-call]
        with contextlib.suppress(KeyboardInterrupt):
            panel.follow(poll_s)
        return self.state

    def cancel(self, *, now: bool = False) -> None:
        """Ask it to stop, from any machine. A training stores a checkpoint first, so that it can be resumed.

        Args:
            now: end its process at once instead, with all that it started, which only works on its own machine;
                what came after the last checkpoint is then lost.

        Raises:
            ConfigError: it has ended, or ``now`` from another machine.
        """
        seen, state = self._seen()
        if state in ENDED:
            raise ConfigError(f"the job {self.id} is {state} already")
        if now:
            self.executor.stop(seen.handle, now=True)
            if self.wait(20, poll_s=0.1) == "lost":
                self.run.set_status("stopped", facts={"by": "kill", "attempt": seen.attempt})
            return
        request = json.dumps({"time": time.time()}).encode()
        url = self.run.path(cancel_name(seen.attempt))
        io.write_bytes(url, request, storage_options=self.run.storage_options)
        if state == "running" and self.executor.alive(seen.handle):  # one that starts would not understand a signal
            self.executor.stop(seen.handle, now=False)

    def resume(self, *, trust: bool = False) -> Job:
        """Start it again, from the last checkpoint where it has one, here and now.

        Args:
            trust: also execute what the storage names and onlineml does not bring itself (a function, a notebook, a
                backbone's factory), since whoever may write to the project could have put it there.

        Raises:
            ConfigError: it runs, is finished, or would execute such a thing; the message says which.
            AlreadyExistsError: somebody else has just resumed it.
        """
        seen, state = self._seen()
        if state in {"starting", "running", "finished"}:
            raise ConfigError(f"the job {self.id} is {state}; submit a new one to do it again")
        self.run = Run.open(self.run.url, storage_options=self.run.storage_options)
        found = untrusted_reference(self.function, self.arguments)
        if found and not trust:
            raise ConfigError(
                f"resuming {self.id} would execute {found}, which its record on the storage names: look at it, and "
                "call resume(trust=True)"
            )
        arguments = checked(self.function, self.arguments)
        launch(
            self.run,
            function=self.function,
            arguments=arguments,
            attempt=seen.attempt + 1,
            executor=self.executor,
        )
        return self

    def __repr__(self) -> str:
        return f"Job({redacted(self.run.url)!r})"

    def _repr_html_(self) -> str:
        return html.status_html(self.status(), log=self.tail(12))


def submit(
    project: Project | str | os.PathLike[str],
    function: str,
    arguments: Mapping[str, Any] | None = None,
    *,
    executor: Executor | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> Job:
    """Start a job in a process of its own, which outlives this one, the notebook server and the browser.

    Args:
        project: it, or its URL.
        function: ``"train"``, ``"evaluate"``, ``"improve"``, ``"notebook"`` (their arguments are those of the functions
            in `onlineml.jobs.kinds`), or the import path of a function of yours, ``"package.module:function"``. It is
            called as ``function(run, project, **arguments)``; what it returns, JSON values, is the job's result. Asked
            to stop, it is interrupted by a SystemExit, unless it looks at ``run.stop_requested`` itself, within ``with
            run.stopping_in_time():``.
        arguments: JSON values by name, and nothing secret: they are stored.
        executor: where it runs; None is a detached process of this machine, see `LocalProcesses`.
        storage_options: open the project's URL. They are handed to the job, and not stored.

    Raises:
        ConfigError: there is no such function, it does not take these arguments, or they are not JSON or hold a secret.
    """
    if not isinstance(project, Project):
        project = Project.open(project, storage_options=storage_options)
    given = checked(function, arguments or {})
    chosen = LocalProcesses() if executor is None else executor
    spec = {"job": {"function": function, "arguments": given, "executor": chosen.name}}
    url = io.join(project.url, "runs", new_run_id())
    run = Run.create(url, spec=spec, storage_options=project.storage_options)
    launch(run, function=function, arguments=given, attempt=1, executor=chosen)
    return Job(run, executor=chosen)


def jobs(
    project: Project | str | os.PathLike[str],
    *,
    executor: Executor | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> Jobs:
    """All jobs of a project, the oldest first.

    Args:
        project: it, or its URL.
        executor: that which started them, where it is not this machine.
        storage_options: open the project's URL.
    """
    url = project.url if isinstance(project, Project) else str(project).rstrip("/")
    options = project.storage_options if isinstance(project, Project) else storage_options
    chosen = LocalProcesses() if executor is None else executor
    found = []
    for run_url, seen in snapshots(io.join(url, "runs"), options).items():
        if "job" in seen.spec:
            run = Run(run_url, spec=seen.spec, storage_options=options)
            found.append(status_of(run_url, *_settled(run, chosen, seen)))
    return Jobs(tuple(found))


def job(
    project: Project | str | os.PathLike[str],
    id: str | None = None,  # noqa: A002 (it is what a run calls it)
    *,
    executor: Executor | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> Job:
    """A job by its id, to watch, stop or resume it.

    Args:
        project: it, or its URL; or, without an id, the URL of a job's run.
        id: the run's id, or as much of its beginning as no other job shares.
        executor: that which started it, where it is not this machine.
        storage_options: open the URL.

    Raises:
        NotFoundError: there is none, or more than one.
    """
    url = project.url if isinstance(project, Project) else str(project).rstrip("/")
    options = project.storage_options if isinstance(project, Project) else storage_options
    if id is not None:
        known = [io.name(run_url) for run_url in snapshots(io.join(url, "runs"), options)]
        matches = [name for name in known if name.startswith(id)]
        if len(matches) != 1:
            raise NotFoundError(
                f"{redacted(url)} has {len(matches)} jobs {id!r}; it has {', '.join(known[-20:]) or 'none yet'}"
            )
        url = io.join(url, "runs", matches[0])
    run = Run.open(url, storage_options=options)
    if "job" not in run.spec:
        raise NotFoundError(f"the run {redacted(url)} was not submitted as a job; go on with it as it was begun")
    return Job(run, executor=executor)


def _settled(run: Run, executor: Executor, seen: Snapshot) -> tuple[Snapshot, JobState]:
    """What was seen and what that means; looked at again where a process is gone, for it may just have ended well."""
    of_it = executor if executor.name == seen.claim.get("executor", executor.name) else None
    state = infer_state(seen, of_it)
    if state == "lost":
        seen = snapshot(run)
        state = infer_state(seen, of_it)
    return seen, state
