"""A project: a folder at any URL that holds images, what people say about them, datasets, models and runs.

`Project` only finds the pieces by their URL; they do the work. Copy the folder and the project is copied.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from onlineml import registry
from onlineml.data.annotations.importing import absolute
from onlineml.data.annotations.log import AnnotationLog
from onlineml.data.kinds import kind_of
from onlineml.data.manifest.manifest import DESCRIPTOR, Manifest
from onlineml.errors import AlreadyExistsError, ConfigError, DataError
from onlineml.jobs.project_jobs import ProjectJobs
from onlineml.project import descriptor as project_file
from onlineml.project.classes import ProjectClasses
from onlineml.project.datasets import ProjectDatasets
from onlineml.project.html import project_html
from onlineml.project.images import ProjectImages
from onlineml.project.labels import ProjectLabels
from onlineml.project.models import ProjectModels
from onlineml.project.runs import ProjectRuns
from onlineml.project.say import author_or_user
from onlineml.storage import io
from onlineml.storage.urls import redacted

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from onlineml.data.annotations.state import Annotations
    from onlineml.data.annotations.uploads import Source
    from onlineml.registry.versions import ModelVersion

__all__ = ["Project"]


class Project:
    """A project. Make it with `Project.create` or `Project.open`; any number of people and processes may share it.

    Attributes:
        url: the project's folder.
        task: what its models do.
        kind: what its images are annotated with.
        title: for people.
        storage_options: of the filesystem, for the project and its images; never shown, stored or pickled.
        labels: what people and models say about the images: set, accept, suggest, undo, history, conflicts.
        images: upload, delete, restore, move to another split.
        classes: add, rename, merge, split.
        datasets: the frozen datasets, and what changed between two of them.
        models: published versions, aliases, rollback.
        runs: records of trainings and other runs.
        jobs: background runs.
        annotation_log: the log behind `labels`, `images` and `classes`.
    """

    def __init__(self, url: str, *, facts: Mapping[str, Any], storage_options: Mapping[str, Any] | None = None) -> None:
        self.url = url
        self.task = str(facts["task"])
        self.kind = kind_of(self.task)
        self.title = str(facts["title"])
        self.storage_options = storage_options
        self._first_class_names = tuple(facts["class_names"])
        self.annotation_log = AnnotationLog(
            url, task=self.task, class_names=self._first_class_names, storage_options=storage_options
        )
        self.labels, self.images, self.classes = ProjectLabels(self), ProjectImages(self), ProjectClasses(self)
        self.datasets, self.models, self.runs = ProjectDatasets(self), ProjectModels(self), ProjectRuns(self)
        self.jobs = ProjectJobs(url, storage_options=storage_options)

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
            task: ``"classification"``: images have a label; ``"detection"``: they have boxes, each with a label;
                ``"multilabel"``: they have any number of labels; or a task that another package brings.
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

    # ---- images in, datasets out ----

    def add(
        self,
        source: Manifest | Source | Sequence[Source],
        *,
        label: str | None = None,
        split: str | None = None,
        author: str | None = None,
    ) -> int:
        """Add images: those of a manifest, which stay where they are, or files, which are stored in the project.

        Images of a manifest come with their labels or boxes, splits and groups. Those that the project knows keep their
        split and group, and a label or boxes that a person gave; those deleted stay deleted. Adding the same again
        changes nothing.

        Args:
            source: a manifest; or paths, URLs or bytes of images, zip archives and videos, or folders of them, one or
                several. See `Project.images.upload` and `Project.images.upload_files`, which say what became of each
                file and take further arguments.
            label: of all files, where the task is classification.
            split: of all files: ``"train"``, ``"val"`` or ``"test"``; by default decided by hashes.
            author: who says so; by default the user of the hub or the machine.

        Returns:
            The number of images that are new to the project.

        Raises:
            ConfigError: the manifest is for another task, or has a label or split of its own beside one given here.
            DataError: not one of the files can be used.
        """
        if not isinstance(source, Manifest):
            known = len(self.labels.state().table)
            taken = self.images.upload_files(source, label=label, split=split, author=author)
            if not taken.image_ids:
                raise DataError(f"nothing was added: {taken}")
            return len(self.labels.state().table) - known
        if label is not None or split is not None:
            raise ConfigError(f"label={label!r}, split={split!r}: a manifest brings its own; expected None")
        if source.task != self.task:
            raise ConfigError(f"the project's task is {self.task!r}; the manifest's is {source.task!r}")
        return self.annotation_log.import_(source, author=author_or_user(author))

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

        state = self.labels.state()
        result = freezing.check_new(
            self.manifest_of(state),
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
        self.annotation_log.freeze(result.manifest.hash, state, author=author_or_user(None))
        return result.manifest

    def manifest_of(self, state: Annotations) -> Manifest:
        """Make a manifest of a state of the annotation log; its images are not checked."""
        numbered = state.class_ids == tuple(range(1, len(state.class_ids) + 1))
        return Manifest(
            state.table,
            state.class_names,
            root=self.url,
            task=self.task,
            storage_options=self.storage_options,
            class_ids=() if numbered else state.class_ids,
        )

    # ---- models ----

    def publish(self, model: Any, scores: Any = None) -> ModelVersion:
        """Publish a model with its scores as the next version.

        Args:
            model: has ``export_files(scores)``, which gives content by file name, among it ``model.json``.
            scores: what `onlineml.evaluate` gave.
        """
        return registry.publish_version(self.url, model.export_files(scores), storage_options=self.storage_options)

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

    def folders_with(self, folder: str, descriptor: str) -> list[str]:
        """List the names of the folders below one of the project's that hold a descriptor."""
        files = io.list_files(io.join(self.url, folder), storage_options=self.storage_options)
        parts = [info.path.split("/") for info in files]
        return sorted(part[0] for part in parts if len(part) == 2 and part[1] == descriptor)


def _restore(url: str, facts: dict[str, Any]) -> Project:
    return Project(url, facts=facts)
