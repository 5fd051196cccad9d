"""The jobs of a project: submitted, listed, found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onlineml.errors import NotFoundError
from onlineml.jobs.executors import Executor, LocalProcesses
from onlineml.jobs.job import Job, settled
from onlineml.jobs.launch import checked, launch
from onlineml.jobs.state import snapshots
from onlineml.jobs.status import Jobs, status_of
from onlineml.runs.run import Run, new_run_id
from onlineml.storage import io
from onlineml.storage.urls import redacted

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

__all__ = ["ProjectJobs"]


class ProjectJobs:
    """Background runs of a project, ``project.jobs``; or of the project at a URL, without opening it.

    Args:
        url: the project's folder.
        storage_options: of the filesystem; passed to each job's process, and not stored.
    """

    def __init__(self, url: str | os.PathLike[str], *, storage_options: Mapping[str, Any] | None = None) -> None:
        self._url = str(url).rstrip("/")
        self._storage_options = storage_options

    def submit(
        self, function: str, arguments: Mapping[str, Any] | None = None, *, executor: Executor | None = None
    ) -> Job:
        """Start a job in a separate process, which outlives this one, the notebook server and the browser.

        Args:
            function: ``"train"``, ``"evaluate"``, ``"improve"``, ``"notebook"`` (with the arguments of the functions
                in `onlineml.worker.kinds`), or the import path of your own function, ``"package.module:function"``.
                It is called as ``function(run, project, **arguments)`` and returns the job's result as JSON values. A
                stop request interrupts it with a SystemExit, unless it checks ``run.stop_requested`` within
                ``with run.stopping_in_time():``.
            arguments: JSON values by name, without secrets: they are stored.
            executor: runs the job; None is a detached process of this machine, see `LocalProcesses`.

        Raises:
            ConfigError: the function does not exist or does not accept the arguments, or these are not JSON or contain
                a secret.
        """
        given = checked(function, arguments or {})
        chosen = LocalProcesses() if executor is None else executor
        spec = {"job": {"function": function, "arguments": given, "executor": chosen.name}}
        run = Run.create(io.join(self._url, "runs", new_run_id()), spec=spec, storage_options=self._storage_options)
        launch(run, function=function, arguments=given, attempt=1, executor=chosen)
        return Job(run, executor=chosen)

    def list(self, *, executor: Executor | None = None) -> Jobs:
        """List all jobs with their present status, the oldest first.

        Args:
            executor: the one that started them; None is this machine.
        """
        chosen = LocalProcesses() if executor is None else executor
        found = []
        for run_url, seen in snapshots(io.join(self._url, "runs"), self._storage_options).items():
            if "job" in seen.spec:
                run = Run(run_url, spec=seen.spec, storage_options=self._storage_options)
                found.append(status_of(run_url, *settled(run, chosen, seen)))
        return Jobs(tuple(found))

    def get(self, id: str, *, executor: Executor | None = None) -> Job:  # noqa: A002 (it is what a run calls it)
        """Find a job by its id, to watch, stop or resume it.

        Args:
            id: the run's id, or a unique prefix of it.
            executor: the one that started it; None is this machine.

        Raises:
            NotFoundError: there is none, or more than one.
        """
        known = [io.name(run_url) for run_url in snapshots(io.join(self._url, "runs"), self._storage_options)]
        matches = [name for name in known if name.startswith(id)]
        if len(matches) != 1:
            raise NotFoundError(
                f"{redacted(self._url)} has {len(matches)} jobs {id!r}; its latest: {', '.join(known[-20:]) or 'none'}"
            )
        url = io.join(self._url, "runs", matches[0])
        return Job.open(url, executor=executor, storage_options=self._storage_options)
