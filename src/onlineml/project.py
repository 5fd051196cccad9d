"""A project: a folder at any URL that holds images, what people say about them, datasets, models and runs.

`Project` only finds the pieces by their URL; they do the work. Copy the folder and the project is copied.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onlineml import _project_file, registry
from onlineml._project_html import project_html
from onlineml.data.annotation_log import AnnotationLog, absolute
from onlineml.data.manifest import DESCRIPTOR, Manifest
from onlineml.errors import AlreadyExistsError, ConfigError, NotFoundError
from onlineml.runs import Run, new_run_id
from onlineml.storage import io
from onlineml.storage._urls import redacted

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from onlineml.data._annotation_boxes import BoxesSaid
    from onlineml.data._check_table import CheckTable
    from onlineml.data.annotations import Annotations
    from onlineml.data.uploads import Source
    from onlineml.registry import ModelVersion

__all__ = ["Project"]


class Project:
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
        facts = _project_file.new_facts(title=title or io.name(place), task=task, class_names=class_names)
        if not _project_file.write(place, facts, storage_options=storage_options):
            if not exist_ok:
                raise AlreadyExistsError(f"{redacted(place)} holds a project; open it with Project.open")
            facts = _project_file.read(place, storage_options=storage_options)
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
        facts = _project_file.read(place, storage_options=storage_options)
        return cls(place, facts=facts, storage_options=storage_options)

    # ---- images and labels ----

    def upload(
        self,
        sources: Source | Sequence[Source],
        *,
        label: str | None = None,
        boxes: BoxesSaid | Sequence[BoxesSaid | None] | None = None,
        split: str | None = None,
        group: str | None = None,
        author: str | None = None,
    ) -> list[str]:
        """Store images in the project, under the hash of their bytes: the same bytes are stored once.

        A new label becomes a new class. An image that is there already gets this label, or these boxes; where none are
        given, it keeps what it has.

        Args:
            sources: paths, URLs or the bytes of image files; one or several.
            label: of all of them, where the task is classification; None where it is not known yet.
            boxes: where the task is detection: a pair (boxes_xyxy, labels), or None, for each source, or for the only
                one; boxes are (n, 4) pixels of the upright image. An image without objects has no boxes,
                ``([], [])``; None: nobody annotated it yet.
            split: ``"train"``, ``"val"`` or ``"test"``; by default the group's, or else decided by the group's hash.
            group: images of one group (a video, an animal) stay in one split; by default each is its own.
            author: who says so; by default the user of the hub or the machine.

        Returns:
            The image ids, in the order of the sources.

        Raises:
            BadImageError: images cannot be used; all are named, and nothing was added.
            DataError: boxes cannot be used; nothing was added.
        """
        if (label if self.task == "detection" else boxes) is not None:
            wrong, right = ("label", "boxes") if self.task == "detection" else ("boxes", "label")
            raise ConfigError(f"the project's task is {self.task!r}: give upload {right}=, not {wrong}=")
        return self._annotations.upload(
            sources, label=label, boxes=boxes, split=split, group=group, author=_author(author)
        )

    def import_(self, manifest: Manifest, *, author: str | None = None) -> int:
        """Take over the images of a manifest with their labels or boxes, splits and groups.

        The images stay where they are. Those that the project knows keep their split and group, and a label, or boxes,
        that a person gave; those deleted stay so. Importing the same manifest again changes nothing.

        Returns:
            How many images were new to the project.
        """
        if manifest.task != self.task:
            raise ConfigError(f"the project's task is {self.task!r}; the manifest's is {manifest.task!r}")
        return self._annotations.import_(manifest, author=_author(author))

    def relabel(self, image_id: str, label: str | None, *, author: str | None = None) -> str:
        """Correct one image's label; returns the id of the log's new entry. See `relabel_many`."""
        return self.relabel_many({image_id: label}, author=author)[0]

    def relabel_many(self, labels: Mapping[str, str | None], *, author: str | None = None) -> list[str]:
        """Correct labels by image id (None: no label). What they were before stays in the log.

        Raises:
            DataError: an image is not in the project.
            UnknownClassError: a label is none of its classes; see `add_class`.
        """
        self._require("classification", "correct its images' boxes with relabel_boxes")
        return self._annotations.correct(labels, author=_author(author))

    def relabel_boxes(self, image_id: str, boxes_xyxy: Any, labels: Sequence[str], *, author: str | None = None) -> str:
        """Correct all boxes of one image; returns the id of the log's new entry. See `relabel_boxes_many`.

        Args:
            image_id: which image.
            boxes_xyxy: (n, 4) pixels of the upright image; none says that there is no object on it.
            labels: n class names.
            author: who says so; by default the user of the hub or the machine.
        """
        return self.relabel_boxes_many({image_id: (boxes_xyxy, labels)}, author=author)[0]

    def relabel_boxes_many(self, boxes: Mapping[str, BoxesSaid | None], *, author: str | None = None) -> list[str]:
        """Correct boxes by image id (None: nobody has annotated the image). What they were before stays in the log.

        What an import told of a box (a crowd, an area, an id) stays with it for as long as it is not moved.

        Raises:
            DataError: an image is not in the project, or a box is empty, not finite, or outside the image.
            UnknownClassError: a label is none of the project's classes; see `add_class`.
        """
        self._require("detection", "correct its images' labels with relabel")
        return self._annotations.correct_boxes(boxes, author=_author(author))

    def delete(self, image_id: str, *, author: str | None = None) -> str:
        """Leave an image out of all further datasets; its bytes and its history stay. Uploading it brings it back."""
        return self._annotations.delete(image_id, author=_author(author))

    def add_class(self, name: str, *, author: str | None = None) -> None:
        """Add a class behind the others; one that is there already stays where it is."""
        self._annotations.add_class(name, author=_author(author))

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes in the order of their ids."""
        return self.annotations().class_names

    def annotations(self) -> Annotations:
        """The present state of all images: what the log adds up to."""
        return self._annotations.state()

    def compact(self) -> int:
        """Put the annotation log's many small objects into one; returns how many. Anyone may go on meanwhile."""
        return self._annotations.compact()

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
        from onlineml.data import freezing  # noqa: PLC0415 (decoders are loaded only to decode)

        state = self.annotations()
        manifest = Manifest(
            state.table, state.class_names, root=self.url, task=self.task, storage_options=self.storage_options
        )
        result = freezing.check_new(
            manifest,
            seen_url=io.join(self.url, "log/seen"),
            max_bad=max_bad,
            progress=progress,
            storage_options=self.storage_options,
        )
        url = io.join(self.url, "datasets", result.manifest.hash)
        if not io.exists(io.join(url, DESCRIPTOR), storage_options=self.storage_options):
            files = freezing.dataset_files(result)
            try:
                io.publish(url, files, descriptor=DESCRIPTOR, storage_options=self.storage_options)
            except AlreadyExistsError:  # another process froze the same state
                return result.manifest
        return result.manifest

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
        from onlineml.data import freezing  # noqa: PLC0415 (decoders are loaded only to decode)

        url = io.join(self.url, "datasets", manifest.hash)
        return freezing.read_findings(url, manifest, storage_options=self.storage_options)

    # ---- runs and models ----

    def new_run(self, *, spec: Mapping[str, Any] | None = None) -> Run:
        """Start the record of a run."""
        url = io.join(self.url, "runs", new_run_id())
        return Run.create(url, spec=spec, storage_options=self.storage_options)

    def runs(self) -> list[Run]:
        """The records of all runs, the oldest first."""
        ids = self._folders_with("runs", "spec.json")
        return [Run.open(io.join(self.url, "runs", run_id), storage_options=self.storage_options) for run_id in ids]

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
        self, version: str | int | ModelVersion, *, alias: str = "champion", reason: str = "", author: str | None = None
    ) -> ModelVersion:
        """Make a version the champion, or what another alias stands for."""
        return registry.promote(
            self.url, version, alias=alias, reason=reason, author=author, storage_options=self.storage_options
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

    def _require(self, task: str, instead: str) -> None:
        if self.task != task:
            raise ConfigError(f"the project's task is {self.task!r}: {instead}")

    def _folders_with(self, folder: str, descriptor: str) -> list[str]:
        files = io.list_files(io.join(self.url, folder), storage_options=self.storage_options)
        parts = [info.path.split("/") for info in files]
        return sorted(part[0] for part in parts if len(part) == 2 and part[1] == descriptor)


def _restore(url: str, facts: dict[str, Any]) -> Project:
    return Project(url, facts=facts)


def _author(author: str | None) -> str:
    return registry.default_author() if author is None else author
