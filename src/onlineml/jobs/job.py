"""Background runs: training, evaluating, notebooks or your own functions, in a process that outlives the notebook.

A job is submitted as data: the name of a function, and JSON arguments. Its record is its run's folder, so that it can
be watched, stopped and resumed from any notebook and machine with access to the project.
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
from onlineml.jobs.liveness import ENDED, cancel_name, settled, snapshot
from onlineml.jobs.status import JobStatus, status_of
from onlineml.runs.run import Run
from onlineml.storage import io
from onlineml.storage.documents import read_json
from onlineml.storage.patience import background, click
from onlineml.training.progress import check_progress, live_view

if TYPE_CHECKING:
    from onlineml.jobs.liveness import JobState, Snapshot
    from onlineml.storage.location import Options, Url
    from onlineml.training.progress import Progress

__all__ = ["Job", "settled"]

_TAIL_BYTES = 1 << 20  # read from the end of a log to find its last lines


class Job:
    """A background run. Get it from `Project.jobs`, or by its run's URL from `Job.open`.

    Attributes:
        run: its record.
        executor: runs it, also when it is resumed.
    """

    def __init__(self, run: Run, *, executor: Executor | None = None) -> None:
        self.run = run
        self.executor = LocalProcesses() if executor is None else executor

    @classmethod
    @click
    def open(
        cls,
        run_url: Url,
        *,
        executor: Executor | None = None,
        storage_options: Options = None,
    ) -> Job:
        """Open a job by the URL of its run.

        Args:
            run_url: the run's folder, ``<project>/runs/<id>``.
            executor: the one that started it; None is this machine.
            storage_options: of the filesystem.

        Raises:
            NotFoundError: there is no run, or it was not submitted as a job.
        """
        run = Run.open(run_url, storage_options=storage_options)
        if "job" not in run.spec:
            raise NotFoundError(f"{run.location} is not a job; continue this run the way it was started")
        return cls(run, executor=executor)

    @property
    def id(self) -> str:
        """The id of its run."""
        return self.run.id

    @property
    def function(self) -> str:
        """The job's kind, or the import path of a function."""
        return str(self.run.spec["job"]["function"])

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of the function."""
        return dict(self.run.spec["job"]["arguments"])

    @click
    def status(self) -> JobStatus:
        """Return the present status of the job."""
        return status_of(self.run.location, *self._seen())

    def _seen(self) -> tuple[Snapshot, JobState]:
        return settled(self.run, self.executor, snapshot(self.run))

    @click
    def tail(self, lines: int = 20) -> str:
        """The last lines of its output; if it failed before opening its log, of its process's output."""
        text = self.run.log(last_bytes=_TAIL_BYTES)
        if not text:
            seen, asked = snapshot(self.run), getattr(self.executor, "output", None)
            with contextlib.suppress(OSError):  # there may be none
                text = first_log(self.run, seen.attempt).read_text(encoding="utf-8", errors="replace")
            if not text and asked is not None and seen.handle:
                text = str(asked(seen.handle))
        return "\n".join(text.splitlines()[-lines:])

    @click
    def result(self) -> dict[str, Any]:
        """Return the result of the job's function.

        Raises:
            NotFoundError: it is not finished, or returned nothing.
        """
        try:
            return read_json(self.run.location / "result.json")
        except NotFoundError as error:
            state = self.status().state
            raise NotFoundError(f"the job {self.id} has no result: it is {state}; see tail() for its output") from error

    @background()
    def wait(self, timeout_s: float | None = None, *, poll_s: float = 2.0) -> JobState:
        """Wait until it has ended or is lost, or for the timeout; return its state."""
        end = None if timeout_s is None else time.monotonic() + timeout_s
        while (state := self.status().state) not in ENDED and (end is None or time.monotonic() < end):
            time.sleep(poll_s if end is None else min(poll_s, max(0.0, end - time.monotonic())))
        return state

    @background()
    def watch(self, *, progress: Progress = "lines", poll_s: float = 2.0) -> JobState:
        """Show its progress until it ends; interrupting this call does not stop the job.

        Args:
            progress: ``"lines"`` prints the job's output; ``"live"`` shows a panel in a notebook; ``"none"`` nothing.
            poll_s: seconds between updates.

        Returns:
            The last state.
        """
        check_progress(progress)
        if progress == "live":
            with contextlib.suppress(KeyboardInterrupt):
                live_view("job")(self, poll_s)
            return self.status().state
        shown = 0
        try:
            while True:
                state = self.status().state  # read before the log, so that its end is not missed
                log = self.run.log() if progress == "lines" else ""
                sys.stdout.write(log[shown:])
                sys.stdout.flush()
                shown = len(log)
                if state in ENDED:
                    return state
                time.sleep(poll_s)
        except KeyboardInterrupt:
            return self.status().state

    @click
    def cancel(self, *, now: bool = False) -> None:
        """Request a stop, from any machine. A training stores a checkpoint first, so that it can be resumed.

        Args:
            now: kill its process and child processes instead, which only works on its own machine; progress since
                the last checkpoint is lost.

        Raises:
            ConfigError: it has ended, or ``now`` from another machine.
        """
        seen, state = self._seen()
        if state in ENDED:
            raise ConfigError(f"the job {self.id} cannot be cancelled: it is {state} already")
        if now:
            self.executor.stop(seen.handle, now=True)
            if self.wait(20, poll_s=0.1) == "lost":
                self.run.set_status("stopped", facts={"by": "kill", "attempt": seen.attempt})
            return
        request = json.dumps({"time": time.time()}).encode()
        io.write_bytes(self.run.location / cancel_name(seen.attempt), request)
        if state == "running" and self.executor.alive(seen.handle):  # a starting one has no signal handler yet
            self.executor.stop(seen.handle, now=False)

    @click
    def resume(self, *, trust: bool = False) -> Job:
        """Start it again, from the last checkpoint if there is one.

        Args:
            trust: also execute code that the record names and that is not part of onlineml (a function, a notebook, a
                backbone's factory), and read the weights or the hub that it names. Anyone with write access to the
                project could have put it there.

        Raises:
            ConfigError: it is running or finished, or would do such a thing; the message says which.
            AlreadyExistsError: somebody else has just resumed it.
        """
        seen, state = self._seen()
        if state in {"starting", "running", "finished"}:
            raise ConfigError(f"the job {self.id} is {state}; submit a new one to do it again")
        self.run = Run.open(self.run.location)
        found = untrusted_reference(self.function, self.arguments)
        if found and not trust:
            raise ConfigError(
                f"resuming {self.id} would {found}, as named by its record on the storage: check it, then "
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
        return f"Job({str(self.run.location)!r})"

    @click
    def _repr_html_(self) -> str:
        return html.status_html(self.status(), log=self.tail(12))
