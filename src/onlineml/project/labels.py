"""What is said about a project's images: `Project` has these methods; `onlineml.data.annotations.log` does the work."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, cast

from onlineml.data.annotations import edits
from onlineml.errors import ConfigError
from onlineml.registry.promotions import default_author

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    import pandas as pd

    from onlineml.data.annotations.boxes import BoxesClaim
    from onlineml.data.annotations.edits import Facts
    from onlineml.data.annotations.log import AnnotationLog
    from onlineml.data.annotations.state import Annotations
    from onlineml.data.annotations.uploads import Source
    from onlineml.data.manifest.manifest import Manifest
    from onlineml.project.intake import UploadedFiles
    from onlineml.project.project import Project
    from onlineml.registry.versions import ModelVersion

__all__ = ["ProjectLabels", "author_or_user"]


class ProjectLabels:
    """Images and labels of a project."""

    task: str
    _annotations: AnnotationLog

    # ---- images ----

    def upload(
        self,
        sources: Source | Sequence[Source],
        *,
        label: str | None = None,
        boxes: BoxesClaim | Sequence[BoxesClaim | None] | None = None,
        split: str | None = None,
        group: str | None = None,
        author: str | None = None,
    ) -> list[str]:
        """Store images in the project, under the hash of their bytes: the same bytes are stored once.

        A new label becomes a new class. An image that is there already, be it uploaded or imported and read since, gets
        this label, or these boxes; where none are given, it keeps what it has.

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
            sources, label=label, boxes=boxes, split=split, group=group, author=author_or_user(author)
        )

    def upload_files(
        self,
        sources: Source | Sequence[Source],
        *,
        label: str | None = None,
        labels_from_folders: bool = False,
        split: str | None = None,
        every_s: float | None = None,
        author: str | None = None,
    ) -> UploadedFiles:
        """Store whatever is usable of some files: images, zip archives of them, videos, folders of all these.

        What a file is, its content says. What cannot be used (other kinds, damaged images, paths that lead out of an
        archive, bombs) is refused by name and stops nothing; see `onlineml.data.images.archives`.

        Args:
            sources: paths, URLs or the bytes of files; paths or URLs of folders; one or several.
            label: of all of them, where the task is classification; None where it is not known yet.
            labels_from_folders: the label is the name of the folder that an image is in, also within an archive.
            split: ``"train"``, ``"val"`` or ``"test"``; by default decided by hashes, see `upload`.
            every_s: seconds between two frames of a video; half a second by default.
            author: who says so; by default the user of the hub or the machine.

        Raises:
            ConfigError: a label where the task is detection.
        """
        from onlineml.project.intake import named, upload_files  # noqa: PLC0415 (decoders are loaded only to decode)

        if self.task == "detection" and (label is not None or labels_from_folders):
            raise ConfigError("the project's task is 'detection': its images get boxes one by one, not a label")
        return upload_files(
            cast("Project", self),
            named(sources),
            label=label,
            labels_from_folders=labels_from_folders,
            split=split,
            every_s=every_s,
            author=author,
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
        return self._annotations.import_(manifest, author=author_or_user(author))

    def delete(self, images: str | Iterable[str], *, author: str | None = None) -> list[str]:
        """Leave images out of all further datasets; their bytes and history stay. `restore` brings them back."""
        return self._say(partial(edits.deleted, image_ids=edits.ids_of(images)), author)

    def restore(self, images: str | Iterable[str], *, author: str | None = None) -> list[str]:
        """Bring deleted images back, as they were.

        Raises:
            DataError: an image is not among those deleted, which are in ``annotations().deleted``.
        """
        return self._say(partial(edits.restored, image_ids=edits.ids_of(images)), author)

    def move_to_split(self, splits: Mapping[str, str], *, reason: str, author: str | None = None) -> list[str]:
        """Move images, each with all images of its group, to other splits.

        Scores from before cannot be compared with scores from after: a model may have learnt what it is tested on now.
        `changes` tells of it.

        Args:
            splits: ``"train"``, ``"val"`` or ``"test"`` by image id.
            reason: why, for those who wonder about the scores.
            author: who says so; by default the user of the hub or the machine.

        Returns:
            The ids of the log's new entries, one for each group that was not there already.

        Raises:
            ConfigError: no reason, or a split that is none.
            DataError: an image is not in the project, or images of one group are to go to different splits.
        """
        return self._say(partial(edits.moved, splits=splits, reason=reason), author)

    # ---- labels ----

    def relabel(
        self, image_id: str, label: str | None, *, expected_revision: str | None = None, author: str | None = None
    ) -> str:
        """Correct one image's label; returns the id of the log's new entry. See `relabel_many`."""
        expected_revisions = None if expected_revision is None else {image_id: expected_revision}
        return self.relabel_many({image_id: label}, expected_revisions=expected_revisions, author=author)[0]

    def relabel_many(
        self,
        labels: Mapping[str, str | None],
        *,
        expected_revisions: Mapping[str, str | None] | None = None,
        author: str | None = None,
    ) -> list[str]:
        """Correct labels by image id (None: no label). What they were before stays in the log.

        Whoever gives an image the label that it has accepts it.

        Args:
            labels: by image id.
            expected_revisions: by image id, what its author was looking at, see
                `onlineml.data.annotations.Annotations.revision`; by default what this object read last. What somebody
                else said since is contradicted, not replaced: both are shown by `conflicts`.
            author: who says so; by default the user of the hub or the machine.

        Returns:
            The ids of the log's new entries.

        Raises:
            DataError: an image is not in the project.
            UnknownClassError: a label is none of its classes; see `add_class`.
        """
        self._require("classification", "correct its images' boxes with relabel_boxes")
        return self._say(partial(edits.corrected, labels=labels), author, expected_revisions)

    def relabel_boxes(
        self,
        image_id: str,
        boxes_xyxy: Any,
        labels: Sequence[str],
        *,
        expected_revision: str | None = None,
        author: str | None = None,
    ) -> str:
        """Correct all boxes of one image; returns the id of the log's new entry. See `relabel_boxes_many`.

        Args:
            image_id: which image.
            boxes_xyxy: (n, 4) pixels of the upright image; none says that there is no object on it.
            labels: n class names.
            expected_revision: what its author was looking at, see `relabel_many`.
            author: who says so; by default the user of the hub or the machine.
        """
        expected_revisions = None if expected_revision is None else {image_id: expected_revision}
        boxes = {image_id: (boxes_xyxy, labels)}
        return self.relabel_boxes_many(boxes, expected_revisions=expected_revisions, author=author)[0]

    def relabel_boxes_many(
        self,
        boxes: Mapping[str, BoxesClaim | None],
        *,
        expected_revisions: Mapping[str, str | None] | None = None,
        author: str | None = None,
    ) -> list[str]:
        """Correct boxes by image id (None: nobody has annotated the image). What they were before stays in the log.

        What an import told of a box (a crowd, an area, an id) stays with it for as long as it is not moved.

        Args:
            boxes: pairs (boxes_xyxy, labels) by image id.
            expected_revisions: what its author was looking at, see `relabel_many`.
            author: who says so; by default the user of the hub or the machine.

        Returns:
            The ids of the log's new entries.

        Raises:
            DataError: an image is not in the project, or a box is empty, not finite, or outside the image.
            UnknownClassError: a label is none of the project's classes; see `add_class`.
        """
        self._require("detection", "correct its images' labels with relabel")
        return self._say(partial(edits.corrected_boxes, boxes=boxes), author, expected_revisions)

    def accept(
        self, images: str | Iterable[str], *, boxes: Sequence[int] | None = None, author: str | None = None
    ) -> list[str]:
        """Say that what a model suggested is right; where there is no suggestion, that what an image has is right.

        Args:
            images: one image id or several.
            boxes: which of the suggested boxes, numbered from 0, are added to those that the image has; by default all
                of them take the place of those that it has.
            author: who says so; by default the user of the hub or the machine.

        Returns:
            The ids of the log's new entries.

        Raises:
            DataError: an image is not in the project, or has neither a label nor a suggestion.
        """
        said = partial(edits.accepted, image_ids=edits.ids_of(images), boxes=boxes)
        return self._say(said, author)

    def skip(self, images: str | Iterable[str], *, author: str | None = None) -> list[str]:
        """Say that a person looked and did not decide; the suggestions of these images are marked so."""
        return self._say(partial(edits.skipped, image_ids=edits.ids_of(images)), author)

    def suggest(self, predictions: Any, *, model: str | ModelVersion, author: str | None = None) -> str | None:
        """Keep what a model guesses, for people to accept or correct. It is never trained on.

        Args:
            predictions: what `onlineml.predict` gave for images of the project, such as ``data.urls()``; or guesses by
                image id: rows of it, or pairs (label, score), or triples (boxes_xyxy, labels, scores). Images that
                could not be used, and boxes without an area, are left out.
            model: whose guesses these are.
            author: who says so; by default the user of the hub or the machine.

        Returns:
            The id of the log's new entry; None if there was no guess. Undoing it takes all of them back.

        Raises:
            DataError: an image is not in the project, or a guess is none.
            UnknownClassError: a guess is none of the project's classes, nor a former name of one.
        """
        version = model if isinstance(model, str) else model.version
        return self._annotations.suggest(predictions, model=version, author=author_or_user(author))

    def undo(self, what: str, *, author: str | None = None) -> str:
        """Take back one thing that was said; everything stays in the history, and undoing can be undone.

        Args:
            what: the id of an entry (undoing one of a merger or split of classes undoes all of it), or of an image:
                what was said last about it.
            author: who says so; by default the user of the hub or the machine.

        Returns:
            The id of the log's new entry.

        Raises:
            DataError: there is no such entry or image, or nothing to take back.
            ConfigError: the entry is undone already, or tells of a frozen dataset.
        """
        self._annotations.state()  # what was written here last is to be undone too
        return self._say(partial(edits.undone, what=what), author)[0]

    # ---- classes ----

    def add_class(self, name: str, *, author: str | None = None) -> None:
        """Add a class behind the others; one that is there already stays where it is.

        Raises:
            ConfigError: the name is blank, or a former name of another class.
        """
        self._say(partial(edits.class_added, name=name), author)

    def rename_class(self, old: str, new: str, *, author: str | None = None) -> str:
        """Give a class another name; it keeps its id, its images and its history.

        The former name means the same class for ever: to who has not seen the new one, and in models trained before.

        Returns:
            The id of the log's new entry.

        Raises:
            UnknownClassError: there is no such class.
            ConfigError: the new name is another class's, or was.
        """
        return self._say(partial(edits.class_renamed, old=old, new=new), author)[0]

    def merge_classes(self, names: Sequence[str], *, into: str, author: str | None = None) -> str:
        """Make classes part of one, which may be new; their ids are not used again.

        Returns:
            The id of an entry of the log: undoing it undoes the merger, and each image has the class that it had.

        Raises:
            UnknownClassError: there is no such class.
            ConfigError: ``into`` is a former name of another class.
        """
        return self._say(partial(edits.class_merged, names=names, into=into), author)[0]

    def split_class(self, name: str, labels: Mapping[str, Any], *, author: str | None = None) -> str:
        """Give images of a class other classes, which may be new; the others stay.

        Args:
            name: the class.
            labels: the new class by image id. Where the task is detection: one for all boxes of the class on the image,
                or a list with one for each of them, in their order.
            author: who says so; by default the user of the hub or the machine.

        Returns:
            The id of an entry of the log: undoing it undoes all of it.

        Raises:
            DataError: an image is not of this class.
            ConfigError: a new name is a former name of another class.
        """
        return self._say(partial(edits.class_split, name=name, labels=labels), author)[0]

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes in the order of their ids."""
        return self.annotations().class_names

    # ---- looked at ----

    def annotations(self, *, at: datetime | None = None) -> Annotations:
        """The state of all images: what the log adds up to.

        Args:
            at: a moment, by the clocks of those who wrote; without a time zone it is local. By default now.
        """
        return self._annotations.state(at=at)

    def suggestions(self) -> pd.DataFrame:
        """What models guess where nobody has answered yet; see `onlineml.data.annotations.Annotations.suggestions`."""
        frame: pd.DataFrame = self.annotations().suggestions.to_pandas()
        return frame

    def conflicts(self) -> pd.DataFrame:
        """What people said without having seen each other, and nobody has decided yet, a row an entry.

        See `onlineml.data.annotations.Annotations.conflict_table`. Whoever says something about such an image, having
        seen this, decides.
        """
        return self.annotations().conflict_table()

    def history(self, image_id: str) -> pd.DataFrame:
        """Everything ever said about an image; see `onlineml.data.annotations.Annotations.history`."""
        return self.annotations().history(image_id)

    def compact(self) -> int:
        """Put the annotation log's small objects into one; returns how many. Anyone may go on meanwhile.

        It happens by itself when there are many. No entry is lost: the history stays whole.
        """
        return self._annotations.compact()

    def _say(
        self,
        facts_of: Callable[[Annotations], Sequence[Facts]],
        author: str | None,
        expected_revisions: Mapping[str, str | None] | None = None,
    ) -> list[str]:
        return self._annotations.say(facts_of, author=author_or_user(author), expected_revisions=expected_revisions)

    def _require(self, task: str, instead: str) -> None:
        if self.task != task:
            raise ConfigError(f"the project's task is {self.task!r}: {instead}")


def author_or_user(author: str | None) -> str:
    """The author given, or the user of the hub or the machine."""
    return default_author() if author is None else author
