"""Labels of a project: set, accepted, suggested and undone by people; their history and conflicts."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from onlineml.data.annotations import edits
from onlineml.errors import ConfigError
from onlineml.project.say import author_or_user, say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    import pandas as pd

    from onlineml.data.annotations.edits import Facts
    from onlineml.data.annotations.state import Annotations
    from onlineml.project.project import Project
    from onlineml.registry.versions import ModelVersion

__all__ = ["ProjectLabels"]

_NOT_GIVEN = object()


class ProjectLabels:
    """The annotations of a project's images by people and models, ``project.labels``."""

    def __init__(self, project: Project) -> None:
        self._project = project

    def set(
        self,
        images: str | Iterable[str] | Mapping[str, Any],
        value: Any = _NOT_GIVEN,
        *,
        expected_revision: str | Mapping[str, str | None] | None = None,
        author: str | None = None,
    ) -> list[str]:
        """Correct what images show; what they had before stays in the log.

        Setting what an image has already accepts it. An image's value is

        - a class name, where the task is classification; None says that it has no label;
        - a pair (boxes_xyxy, labels), where the task is detection: (n, 4) pixels of the upright image and n class
          names; ``([], [])`` says that there is no object on it, None that nobody has annotated it. What an import
          said of a box (a crowd, an area, an id) stays with it for as long as the box is not moved;
        - several class names, where images have a set of labels; ``[]`` says that none applies, None that nobody has
          annotated it; see also `add` and `remove`.

        Args:
            images: one image id with a ``value``; several ids that all get ``value``; or a mapping of values by id.
            value: see above; left out where ``images`` is a mapping.
            expected_revision: what the author was looking at, of one image, or by image id; see
                `onlineml.data.annotations.Annotations.revision`. By default what this object read last. What somebody
                else has said since then is contradicted, not replaced: both are in `conflicts`.
            author: who says so; by default the user of the hub or the machine.

        Returns:
            The ids of the log's new entries, one per image.

        Raises:
            ConfigError: a value is missing, or given twice.
            DataError: an image is not in the project; a value is none of those above; a box is empty, not finite, or
                outside the image.
            UnknownClassError: a label is none of the project's classes; see `Project.classes.add`.
        """
        return self._say(self._project.kind.claims, _values(images, value), expected_revision, author)

    def add(
        self,
        images: str | Iterable[str] | Mapping[str, Any],
        value: Any = _NOT_GIVEN,
        *,
        expected_revision: str | Mapping[str, str | None] | None = None,
        author: str | None = None,
    ) -> list[str]:
        """Say that labels apply to images, whatever else does; where images have several labels.

        Two people who add different labels at once do not contradict each other: both hold.

        Args:
            images: one image id with a ``value``; several ids that all get ``value``; or a mapping of values by id.
            value: a class name or several; left out where ``images`` is a mapping.
            expected_revision: see `set`.
            author: who says so; by default the user of the hub or the machine.

        Returns:
            The ids of the log's new entries, one per image.

        Raises:
            ConfigError: the project's images have no set of labels; a value is missing, or given twice.
            DataError: an image is not in the project; no label is named.
            UnknownClassError: a label is none of the project's classes; see `Project.classes.add`.
        """
        return self._say(self._project.kind.added, _values(images, value), expected_revision, author)

    def remove(
        self,
        images: str | Iterable[str] | Mapping[str, Any],
        value: Any = _NOT_GIVEN,
        *,
        expected_revision: str | Mapping[str, str | None] | None = None,
        author: str | None = None,
    ) -> list[str]:
        """Say that labels do not apply to images, whatever else does; see `add`."""
        return self._say(self._project.kind.removed, _values(images, value), expected_revision, author)

    def _say(
        self,
        facts_of: Callable[[Annotations, Mapping[str, Any]], Sequence[Facts]],
        values: dict[str, Any],
        expected_revision: str | Mapping[str, str | None] | None,
        author: str | None,
    ) -> list[str]:
        revisions = (
            dict.fromkeys(values, expected_revision) if isinstance(expected_revision, str) else expected_revision
        )
        return say(self._project, lambda state: facts_of(state, values), author, revisions)

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
        said = partial(edits.accepted, image_ids=edits.ids_of(images), chosen=boxes)
        return say(self._project, said, author)

    def skip(self, images: str | Iterable[str], *, author: str | None = None) -> list[str]:
        """Say that a person looked and did not decide; the suggestions of these images are marked so."""
        return say(self._project, partial(edits.skipped, image_ids=edits.ids_of(images)), author)

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
        return self._project.annotation_log.suggest(predictions, model=version, author=author_or_user(author))

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
        self._project.annotation_log.state()  # what was written here last is to be undone too
        return say(self._project, partial(edits.undone, what=what), author)[0]

    def state(self, *, at: datetime | None = None) -> Annotations:
        """The state of all images: what the log adds up to.

        Args:
            at: a moment, by the clocks of those who wrote; without a time zone it is local. By default now.
        """
        return self._project.annotation_log.state(at=at)

    def suggestions(self) -> pd.DataFrame:
        """Return the unanswered guesses of models; see `onlineml.data.annotations.Annotations.suggestions`."""
        frame: pd.DataFrame = self.state().suggestions.to_pandas()
        return frame

    def conflicts(self) -> pd.DataFrame:
        """Return undecided entries of people who had not seen each other's, a row for each entry.

        See `onlineml.data.annotations.Annotations.conflict_table`. Anyone who annotates such an image, having seen
        this, decides.
        """
        return self.state().conflict_table()

    def history(self, image_id: str) -> pd.DataFrame:
        """Everything ever said about an image; see `onlineml.data.annotations.Annotations.history`."""
        return self.state().history(image_id)

    def compact(self) -> int:
        """Put the annotation log's small objects into one; returns how many. Anyone may go on meanwhile.

        It happens by itself when there are many. No entry is lost: the history stays whole.
        """
        return self._project.annotation_log.compact()


def _values(images: str | Iterable[str] | Mapping[str, Any], value: Any) -> dict[str, Any]:
    """Values by image id."""
    if isinstance(images, Mapping):
        if value is not _NOT_GIVEN:
            raise ConfigError("labels: expected either values by image id, or image ids and one value; found both")
        return dict(images)
    if value is _NOT_GIVEN:
        raise ConfigError("labels: expected a value, or a mapping of values by image id; None says: no label")
    return dict.fromkeys(edits.ids_of(images), value)
