"""A project: a folder at any URL with images, their annotations, datasets, models and runs.

`Project` is a facade that finds its pieces by URL. Copying the folder copies the project.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from onlineml import registry
from onlineml.arguments.checks import flag, share
from onlineml.data.annotations.log import AnnotationLog
from onlineml.data.kinds import kind_of
from onlineml.data.manifest.manifest import Manifest
from onlineml.errors import AlreadyExistsError, ConfigError, DataError
from onlineml.jobs.project_jobs import ProjectJobs
from onlineml.lazy import told_if_slow
from onlineml.project import descriptor as project_file
from onlineml.project.classes import ProjectClasses
from onlineml.project.datasets import ProjectDatasets
from onlineml.project.features import ProjectFeatures
from onlineml.project.html import project_html
from onlineml.project.images import ProjectImages
from onlineml.project.labels import ProjectLabels
from onlineml.project.models import ProjectModels
from onlineml.project.runs import ProjectRuns
from onlineml.project.sweep import Sweep, sweep
from onlineml.registry.promotions import default_author
from onlineml.storage import io
from onlineml.storage.location import Location, Options, Url
from onlineml.storage.patience import background, click

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from onlineml.data.annotations.edits import Facts
    from onlineml.data.annotations.state import Annotations
    from onlineml.data.annotations.uploads import Source
    from onlineml.registry.versions import ModelVersion

__all__ = ["Project"]


class Project:
    """A project. Create it with `Project.create` or `Project.open`; any number of people and processes may share it.

    Attributes:
        location: the project's folder, with the options of its filesystem, which are never shown, stored or pickled.
        url: the folder's URL.
        task: such as ``"classification"``.
        kind: of annotation of its images.
        title: for people.
        labels: annotations by people and models: set, accept, suggest, undo, history, conflicts.
        images: upload, delete, restore, move to another split.
        classes: add, rename, merge, split.
        datasets: the frozen datasets, and the changes between two of them.
        features: what a published network sees in the images, and images that look alike.
        models: published versions, aliases, rollback.
        runs: records of trainings and other runs.
        jobs: background runs.
        annotation_log: the log behind `labels`, `images` and `classes`.

    Example:
        >>> project = oml.Project.open("s3://lab/butterflies")
        >>> project.classes.names()
        ('large white', 'monarch', 'small white', 'viceroy')
        >>> project.champion().version
        '1-...'
    """

    def __init__(self, location: Location, *, facts: Mapping[str, Any]) -> None:
        self.location = location
        self.url = location.url
        self.task = str(facts["task"])
        self.kind = kind_of(self.task)
        self.title = str(facts["title"])
        self._first_class_names = tuple(facts["class_names"])
        self.annotation_log = AnnotationLog(location, task=self.task, class_names=self._first_class_names)
        self.labels, self.images, self.classes = ProjectLabels(self), ProjectImages(self), ProjectClasses(self)
        self.datasets, self.models, self.runs = ProjectDatasets(self), ProjectModels(self), ProjectRuns(self)
        self.features, self.jobs = ProjectFeatures(self), ProjectJobs(location)

    @classmethod
    @click
    def create(
        cls,
        url: Url,
        *,
        task: str = "classification",
        title: str = "",
        class_names: Sequence[str] = (),
        exist_ok: bool = False,
        storage_options: Options = None,
    ) -> Project:
        """Create a project in a folder.

        Args:
            url: the folder, on any filesystem.
            task: ``"classification"`` (one label per image), ``"detection"`` (labelled boxes), ``"multilabel"`` (any
                number of labels per image), or a task of another package.
            title: for people; by default the folder's name.
            class_names: the first classes, in the order of their ids; more can be added later.
            exist_ok: open the project if the folder contains one.
            storage_options: fsspec's, for the project and the images that it refers to.

        Raises:
            AlreadyExistsError: the folder contains a project.
            ConfigError: the folder contains a project of another task; or an argument is invalid.
        """
        place = Location.of(url, storage_options).absolute
        facts = project_file.new_facts(title=title or place.name, task=task, class_names=class_names)
        there = flag("exist_ok", exist_ok) and project_file.exists(place)  # it may be read-only
        if there or not project_file.write(place, facts):
            if not exist_ok:
                raise AlreadyExistsError(f"{place} contains a project; open it with Project.open")
            facts = project_file.read(place)
            if facts["task"] != task:
                raise ConfigError(
                    f"{place} contains a project of the task {facts['task']!r}, not {task!r}; choose another "
                    "folder, or that task"
                )
        return cls(place, facts=facts)

    @classmethod
    def open(cls, url: Url, *, storage_options: Options = None) -> Project:
        """Open a project.

        Raises:
            NotFoundError: there is no project at this URL.
            StorageError: a later version of onlineml created it, or its ``project.json`` is damaged.
        """
        place = Location.of(url, storage_options).absolute
        return cls(place, facts=project_file.read(place))

    @background()
    def add(
        self,
        source: Manifest | Source | Sequence[Source],
        *,
        label: str | None = None,
        split: str | None = None,
        author: str | None = None,
    ) -> int:
        """Add images of a manifest, which stay where they are, or files, which are stored in the project.

        Images of a manifest have their annotations, splits and groups. Existing images keep their split, group and
        human annotations, and deleted ones stay deleted. Adding the same again changes nothing;
        an overwritten file is a new image, a moved one keeps its id, and a removed one is no longer in the project.

        Args:
            source: a manifest; or paths, URLs or bytes of images, zip archives and videos, or folders of them, one or
                several. See also `Project.images.upload` and `Project.images.upload_files`, with more arguments and a
                result for each file.
            label: for classification, of all files.
            split: of all files: ``"train"``, ``"val"`` or ``"test"``; by default by hashes.
            author: of the entries; by default the user of the hub or the machine.

        Returns:
            The number of new images.

        Raises:
            ConfigError: the manifest is for another task, or a label or split was given for a manifest.
            DataError: none of the files is usable.
        """
        if not isinstance(source, Manifest):
            known = len(self.labels.state().table)
            taken = self.images.upload_files(source, label=label, split=split, author=author)
            if not taken.image_ids:
                raise DataError(f"nothing was added: {taken}")
            return len(self.labels.state().table) - known
        if label is not None or split is not None:
            raise ConfigError(f"label={label!r}, split={split!r}: expected None, since a manifest contains its own")
        if source.task != self.task:
            raise ConfigError(f"the project's task is {self.task!r}; the manifest's is {source.task!r}")
        return self.annotation_log.import_(source, author=default_author(author))

    def append_entries(
        self,
        entries_of: Callable[[Annotations], Sequence[Facts]],
        author: str | None,
        expected_revisions: Mapping[str, str | None] | None = None,
    ) -> list[str]:
        """Append entries to the annotation log; see `onlineml.data.annotations.log.AnnotationLog.append`."""
        writer = default_author(author)
        return self.annotation_log.append(entries_of, author=writer, expected_revisions=expected_revisions)

    @background()
    def freeze(self, *, max_bad: float | None = None, progress: bool = False) -> Manifest:
        """Make an immutable dataset of the present state, checked and without bad images.

        The same state gives the same dataset. Images that were checked before are not opened again.

        Args:
            max_bad: allowed share of bad images, 0..1, now and from now on by default; None: the last one given, or
                0.01. Images that the last dataset left out do not count again.
            progress: write progress lines to stderr.

        Raises:
            TooManyBadImagesError: more images are bad; its `table` lists them.
        """
        from onlineml.data.annotations import freezing  # noqa: PLC0415 (decoders are loaded only to decode)

        max_bad = share("max_bad", max_bad, optional=True)
        state = self.labels.state()
        entries, folder = state.folded.entries, self.location / "datasets"
        allowed = freezing.allowed_bad(entries)
        with told_if_slow("Opening the images that are new, and checking each once"):
            result = freezing.check_new(
                self.manifest_of(state),
                human_annotated=state.human_annotated,
                seen_folder=self.location / "log/seen",
                max_bad=allowed if max_bad is None else max_bad,
                told=freezing.told_findings(entries, folder),
                progress=progress,
            )
        freezing.publish_dataset(folder / result.manifest.hash, result, state.provenance)
        given = None if max_bad == allowed else max_bad
        self.annotation_log.freeze(result.manifest.hash, state, author=default_author(), max_bad=given)
        return result.manifest

    def manifest_of(self, state: Annotations) -> Manifest:
        """Make a manifest of a state of the annotation log; its images are not checked."""
        numbered = state.class_ids == tuple(range(1, len(state.class_ids) + 1))
        ids, options = () if numbered else state.class_ids, self.location.options
        return Manifest(
            state.table, state.class_names, root=self.url, task=self.task, storage_options=options, class_ids=ids
        )

    @background()
    def publish(self, model: Any, scores: Any = None) -> ModelVersion:
        """Publish a model with its scores as the next version; warn if they may be those of one that learned nothing.

        Args:
            model: its ``export_files(scores)`` returns content by file name, including ``model.json``.
            scores: the result of `onlineml.evaluate`.

        Raises:
            ConfigError: it is no model, or one of another task.
        """
        if not hasattr(model, "export_files"):
            raise ConfigError(f"model is a {type(model).__name__}: expected one such as onlineml.model_for(data) makes")
        if (task := getattr(model, "task", self.task)) != self.task:
            raise ConfigError(
                f"the project's task is {self.task!r}; the model's is {task!r}: publish it in a project of that task"
            )
        if why := getattr(scores, "doubt", str)():
            warnings.warn(why, stacklevel=3)
        return registry.publish_version(self.location, model.export_files(scores))

    def promote(
        self,
        version: str | int | ModelVersion,
        *,
        alias: str = "champion",
        replaces: str | ModelVersion | None = None,
        reason: str = "",
        author: str | None = None,
    ) -> ModelVersion:
        """Make a version the champion, or point another alias to it; see `onlineml.registry.promote`."""
        return registry.promote(self.location, version, alias=alias, replaces=replaces, reason=reason, author=author)

    @click
    def champion(self) -> ModelVersion | None:
        """The version that ``<project>@champion`` refers to; None before the first promotion."""
        name = registry.aliases(self.location).get("champion")
        return None if name is None else registry.resolve(self.location / "models" / name)

    @background()
    def sweep(self, *, delete: bool = False, older_than_s: float = 86400.0) -> Sweep:
        """List what nothing in the project refers to, by `onlineml.project.Leftover.kind`; delete it if told so.

        Args:
            delete: delete what is found; by default it is only listed.
            older_than_s: spare what is younger, in seconds, at least an hour: a writer may be at work on it.

        Raises:
            ConfigError: ``older_than_s`` is less than an hour.
        """
        return sweep(self, delete=delete, older_than_s=older_than_s)

    def __repr__(self) -> str:
        return f"Project({str(self.location)!r}, task={self.task!r})"

    @click
    def _repr_html_(self) -> str:
        return project_html(self)

    def __reduce__(self) -> tuple[Any, ...]:
        facts = {"task": self.task, "title": self.title, "class_names": self._first_class_names}
        return _restore, (self.location, facts)

    def folders_with(self, folder: str, descriptor: str) -> list[str]:
        """List the names of the subfolders of a folder that contain a descriptor."""
        parts = [info.path.split("/") for info in io.list_files(self.location / folder)]
        return sorted(part[0] for part in parts if len(part) == 2 and part[1] == descriptor)


def _restore(location: Location, facts: dict[str, Any]) -> Project:
    return Project(location, facts=facts)
