"""Runs of a project: started, listed, found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onlineml.errors import ConfigError
from onlineml.project.part import ProjectPart
from onlineml.runs.run import Run, new_run_id
from onlineml.storage import io
from onlineml.storage.patience import click

if TYPE_CHECKING:
    from collections.abc import Mapping

    from onlineml.storage.location import Location

    RunList = list[Run]  # `list` is a method here

__all__ = ["ProjectRuns"]


class ProjectRuns(ProjectPart):
    """Records of a project's runs, ``project.runs``."""

    @click
    def new(self, *, spec: Mapping[str, Any] | None = None) -> Run:
        """Create the record of a run."""
        return Run.create(self._folder(new_run_id()), spec=spec)

    @click
    def list(self) -> RunList:
        """List the records of all runs, the oldest first."""
        return [self.get(run_id) for run_id in self._project.folders_with("runs", "spec.json")]

    @click
    def get(self, id: str) -> Run:  # noqa: A002 (it is what a run calls it)
        """Open the record of a run by its id.

        Raises:
            NotFoundError: the run does not exist.
        """
        return Run.open(self._folder(id))

    @click
    def delete(self, id: str) -> None:  # noqa: A002 (it is what a run calls it)
        """Delete a run with its log, metrics, checkpoint, model and reports, for good; published models remain.

        Raises:
            ConfigError: it is being worked on.
            DataError: its folder, or one in it, is a link to another folder.
            NotFoundError: the run does not exist.
        """
        run = self.get(id)
        if run.is_active():
            raise ConfigError(f"the run {id} is running: stop it first, such as by project.jobs.get({id!r}).cancel()")
        files = [info.path for info in [*io.list_files(run.location), *io.list_temporary(run.location)]]
        files.sort(key=lambda name: name != "spec.json")  # without it, it is no run
        io.delete_below(self._project.location, [f"runs/{id}/{name}" for name in files])

    def _folder(self, run_id: str) -> Location:
        return self._project.location / "runs" / run_id
