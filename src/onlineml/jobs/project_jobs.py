"""The jobs of a project: submitted, listed, found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onlineml.arguments.counted import count
from onlineml.errors import NotFoundError
from onlineml.jobs.executors import Executor, LocalProcesses
from onlineml.jobs.job import Job
from onlineml.jobs.launch import checked, launch
from onlineml.jobs.liveness import settled, snapshots
from onlineml.jobs.status import Jobs, status_of
from onlineml.runs.run import Run, new_run_id
from onlineml.storage.location import Location, Options, Url
from onlineml.storage.patience import click

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ProjectJobs"]


class ProjectJobs:
    """Background runs of a project, ``project.jobs``; or of the project at a URL, without opening it.

    Args:
        url: the project's folder.
        storage_options: of the filesystem; passed to each job's process, and not stored.
    """

    def __init__(self, url: Url, *, storage_options: Options = None) -> None:
        self._project = Location.of(url, storage_options).folder
        self._runs = self._project / "runs"

    def __repr__(self) -> str:
        return f"ProjectJobs({str(self._project)!r})"

    @click
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
        run = Run.create(self._runs / new_run_id(), spec=spec)
        launch(run, function=function, arguments=given, attempt=1, executor=chosen)
        return Job(run, executor=chosen)

    @click
    def list(self, *, executor: Executor | None = None) -> Jobs:
        """List all jobs with their present status, the oldest first.

        Args:
            executor: the one that started them; None is this machine.
        """
        chosen = LocalProcesses() if executor is None else executor
        found = snapshots(self._runs).items()
        return Jobs(tuple(status_of(run, *settled(Run(run, spec=seen.spec), chosen, seen)) for run, seen in found))

    @click
    def get(self, id: str, *, executor: Executor | None = None) -> Job:  # noqa: A002 (it is what a run calls it)
        """Find a job by its id, to watch, stop or resume it.

        Args:
            id: the run's id, or a unique prefix of it.
            executor: the one that started it; None is this machine.

        Raises:
            NotFoundError: there is none, or more than one.
        """
        known = [run.name for run in snapshots(self._runs)]
        matches = [name for name in known if name.startswith(id)]
        if len(matches) != 1:
            raise NotFoundError(
                f"{self._project} has {count(len(matches), 'job')} {id!r}; its latest: "
                f"{', '.join(known[-20:]) or 'none'}"
            )
        return Job.open(self._runs / matches[0], executor=executor)
