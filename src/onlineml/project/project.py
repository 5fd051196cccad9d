"""A project: a folder at any URL that holds images, what people say about them, datasets, models and runs.

`Project` only finds the pieces by their URL; they do the work. Copy the folder and the project is copied.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from onlineml import registry
from onlineml.data.annotations.log import AnnotationLog, absolute
from onlineml.data.manifest.changes import changes
from onlineml.data.manifest.manifest import DESCRIPTOR, Manifest
from onlineml.errors import AlreadyExistsError, ConfigError, NotFoundError
from onlineml.project import descriptor as project_file
from onlineml.project.html import project_html
from onlineml.project.labels import ProjectLabels, author_or_user
from onlineml.project.videos import ProjectVideos
from onlineml.runs.run import Run, new_run_id
from onlineml.storage import io
from onlineml.storage.urls import redacted

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from onlineml.data.annotations.state import Annotations
    from onlineml.data.checks.table import CheckTable
    from onlineml.data.manifest.changes import Changes
    from onlineml.jobs.background import Executor, Job, Jobs
    from onlineml.registry.versions import ModelVersion

__all__ = ["Project"]


class Project(ProjectLabels, ProjectVideos):
    """A project. Make it with `Project.create` or `Project.open`; any number of people and processes may share it.

    Attributes:
        url: the project's folder.
        task: what its models do.
        title: for people.
        storage_options: of the filesystem, for the project and its images; never shown, stored or pickled.
    """

    def __init__(self, url: str, *, facts: Mapping[str, Any], storage_options: Mapping[str, Any] | None = None) -> None:
        self.url = url
        self.task = str(facts["task"])
        self.title = str(facts["title"])
        self.storage_options = storage_options
        self._first_class_names = tuple(facts["class_names"])
        self._annotations = AnnotationLog(
            url, task=self.task, class_names=self._first_class_names, storage_options=storage_options
        )

    # ---- made and found ----

    @classmethod
    def create(
        cls,
        url: str | os.PathLike[str],
        *,
        task: str = "classification",
        title: str = "",
        class_names: Sequence[str] = (),
        exist_ok: bool = False,
        storage_options: Mapping[str, Any] | None = None,
    ) -> Project:
        """Start a project in a folder that holds none yet.

        Args:
            url: the folder, on any filesystem.
            task: ``"classification"``: images have a label; or ``"detection"``: they have boxes, each with a label.
            title: for people; by default the folder's name.
            class_names: the first classes, in the order of their ids; more may follow, none goes.
            exist_ok: open the project that the folder holds already, as it is.
            storage_options: fsspec's, for the project and the images that it refers to.

        Raises:
            AlreadyExistsError: the folder holds a project.
            ConfigError: the folder holds a project of another task; or an argument is wrong.
        """
        place = absolute(url)
        facts = project_file.new_facts(title=title or io.name(place), task=task, class_names=class_names)
        there = exist_ok and project_file.exists(place, storage_options=storage_options)  # perhaps only to be read
        if there or not project_file.write(place, facts, storage_options=storage_options):
            if not exist_ok:
                raise AlreadyExistsError(f"{redacted(place)} holds a project; open it with Project.open")
            facts = project_file.read(place, storage_options=storage_options)
            if facts["task"] != task:
                raise ConfigError(
                    f"{redacted(place)} holds a project whose task is {facts['task']!r}, not {task!r}; choose another "
                    "folder, or that task"
                )
        return cls(place, facts=facts, storage_options=storage_options)

    @classmethod
    def open(cls, url: str | os.PathLike[str], *, storage_options: Mapping[str, Any] | None = None) -> Project:
        """Open a project.

        Raises:
            NotFoundError: there is none at this URL.
            StorageError: a later version of onlineml made it, or its ``project.json`` is damaged.
        """
        place = absolute(url)
        facts = project_file.read(place, storage_options=storage_options)
        return cls(place, facts=facts, storage_options=storage_options)

    # ---- datasets ----

    def freeze(self, *, max_bad: float = 0.01, progress: bool = False) -> Manifest:
        """Make the present state a dataset version: checked, without bad images, never to change again.

        The same state gives the same version. Images that were opened before are not opened again.

        Args:
            max_bad: the share of images, 0..1, that may be bad.
            progress: write a line to stderr now and then.

        Raises:
            TooManyBadImagesError: more are bad; its `table` tells which.
        """
        from onlineml.data.annotations import freezing  # noqa: PLC0415 (decoders are loaded only to decode)

        state = self.annotations()
        result = freezing.check_new(
            self._manifest(state),
            human_annotated=state.human_annotated,
            seen_url=io.join(self.url, "log/seen"),
            max_bad=max_bad,
            progress=progress,
            storage_options=self.storage_options,
        )
        url = io.join(self.url, "datasets", result.manifest.hash)
        if not io.exists(io.join(url, DESCRIPTOR), storage_options=self.storage_options):
            files = freezing.dataset_files(result, state.provenance)
            with contextlib.suppress(AlreadyExistsError):  # another process froze the same state
                io.publish(url, files, descriptor=DESCRIPTOR, storage_options=self.storage_options)
        self._annotations.freeze(result.manifest.hash, state, author=author_or_user(None))
        return result.manifest

    def _manifest(self, state: Annotations) -> Manifest:
        numbered = state.class_ids == tuple(range(1, len(state.class_ids) + 1))
        return Manifest(
            state.table,
            state.class_names,
            root=self.url,
            task=self.task,
            storage_options=self.storage_options,
            class_ids=() if numbered else state.class_ids,
        )

    def datasets(self) -> list[str]:
        """The hashes of the frozen datasets."""
        return self._folders_with("datasets", DESCRIPTOR)

    def manifest(self, hash: str) -> Manifest:  # noqa: A002 (it is what a manifest calls it)
        """A frozen dataset by its hash, or by the hash's first digits where only one begins so."""
        known = self.datasets()
        matches = [name for name in known if name.startswith(hash)]
        if len(matches) != 1:
            listed = ", ".join(name[:12] for name in matches or known) or "none yet"
            raise NotFoundError(f"{redacted(self.url)} has {len(matches)} datasets {hash!r}; it has {listed}")
        url = io.join(self.url, "datasets", matches[0])
        return Manifest.load(url, root=self.url, storage_options=self.storage_options)

    def findings(self, manifest: Manifest) -> CheckTable:
        """What freezing this dataset found about its images, also about those that it left out."""
        from onlineml.data.annotations import freezing  # noqa: PLC0415 (decoders are loaded only to decode)

        url = io.join(self.url, "datasets", manifest.hash)
        return freezing.read_findings(url, manifest, storage_options=self.storage_options)

    def provenance(self, manifest: Manifest) -> pd.DataFrame:
        """Where the labels, or boxes, of a frozen dataset came from: who said so, when, and whether of a suggestion.

        See `onlineml.data.annotations.Annotations.provenance`; it is that of the first freezing of these labels.
        """
        from onlineml.data.annotations import freezing  # noqa: PLC0415 (decoders are loaded only to decode)

        url = io.join(self.url, "datasets", manifest.hash)
        frame: pd.DataFrame = freezing.read_provenance(url, storage_options=self.storage_options).to_pandas()
        return frame

    def changes(self, before: Manifest, after: Manifest | None = None) -> Changes:
        """What is new, changed or gone in a dataset since another, by the present names of classes.

        Args:
            before: the earlier dataset, such as the one that the champion was trained on.
            after: the later one; by default the present state, before it is checked.
        """
        state = self.annotations()
        later = self._manifest(state) if after is None else after
        return changes(before, later, lineage=state.lineage)

    # ---- runs and models ----

    def new_run(self, *, spec: Mapping[str, Any] | None = None) -> Run:
        """Start the record of a run."""
        url = io.join(self.url, "runs", new_run_id())
        return Run.create(url, spec=spec, storage_options=self.storage_options)

    def runs(self) -> list[Run]:
        """The records of all runs, the oldest first."""
        ids = self._folders_with("runs", "spec.json")
        return [Run.open(io.join(self.url, "runs", run_id), storage_options=self.storage_options) for run_id in ids]

    def submit(
        self, function: str, arguments: Mapping[str, Any] | None = None, *, executor: Executor | None = None
    ) -> Job:
        """Start a job that outlives this process; see `onlineml.jobs.submit`."""
        from onlineml import jobs  # noqa: PLC0415 (it is above this)

        return jobs.submit(self, function, arguments, executor=executor)

    def jobs(self, *, executor: Executor | None = None) -> Jobs:
        """All jobs; see `onlineml.jobs.jobs`."""
        from onlineml import jobs  # noqa: PLC0415 (it is above this)

        return jobs.jobs(self, executor=executor)

    def job(self, id: str, *, executor: Executor | None = None) -> Job:  # noqa: A002 (it is what a run calls it)
        """A job by its id, to watch, stop or resume it; see `onlineml.jobs.job`."""
        from onlineml import jobs  # noqa: PLC0415 (it is above this)

        return jobs.job(self, id, executor=executor)

    def publish(self, model: Any, scores: Any = None) -> ModelVersion:
        """Publish a model with its scores as the next version.

        Args:
            model: has ``export_files(scores)``, which gives content by file name, among it ``model.json``.
            scores: what `onlineml.evaluate` gave.
        """
        return registry.publish_version(self.url, model.export_files(scores), storage_options=self.storage_options)

    def versions(self) -> list[ModelVersion]:
        """The published models, the oldest first."""
        return registry.list_versions(self.url, storage_options=self.storage_options)

    def promote(
        self,
        version: str | int | ModelVersion,
        *,
        alias: str = "champion",
        replaces: str | ModelVersion | None = None,
        reason: str = "",
        author: str | None = None,
    ) -> ModelVersion:
        """Make a version the champion, or what another alias stands for; see `onlineml.registry.promote`."""
        return registry.promote(
            self.url,
            version,
            alias=alias,
            replaces=replaces,
            reason=reason,
            author=author,
            storage_options=self.storage_options,
        )

    def rollback(self, *, alias: str = "champion", reason: str = "", author: str | None = None) -> ModelVersion:
        """Make the champion what it was before."""
        return registry.rollback(
            self.url, alias=alias, reason=reason, author=author, storage_options=self.storage_options
        )

    @property
    def champion(self) -> ModelVersion | None:
        """The version that ``<project>@champion`` stands for; None before the first promotion."""
        name = registry.aliases(self.url, storage_options=self.storage_options).get("champion")
        if name is None:
            return None
        return registry.resolve(io.join(self.url, "models", name), storage_options=self.storage_options)

    # ---- shown ----

    def __repr__(self) -> str:
        return f"Project({redacted(self.url)!r}, task={self.task!r})"

    def _repr_html_(self) -> str:
        return project_html(self)

    def __reduce__(self) -> tuple[Any, ...]:
        facts = {"task": self.task, "title": self.title, "class_names": self._first_class_names}
        return _restore, (self.url, facts)

    def _folders_with(self, folder: str, descriptor: str) -> list[str]:
        files = io.list_files(io.join(self.url, folder), storage_options=self.storage_options)
        parts = [info.path.split("/") for info in files]
        return sorted(part[0] for part in parts if len(part) == 2 and part[1] == descriptor)


def _restore(url: str, facts: dict[str, Any]) -> Project:
    return Project(url, facts=facts)
