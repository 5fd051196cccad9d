"""Labels of a project: set, accepted, suggested and undone by people; their history and conflicts."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from onlineml.data.annotations import edits
from onlineml.errors import ConfigError
from onlineml.project.part import ProjectPart
from onlineml.registry.promotions import default_author

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    import pandas as pd

    from onlineml.data.annotations.edits import Facts
    from onlineml.data.annotations.state import Annotations
    from onlineml.registry.versions import ModelVersion

__all__ = ["ProjectLabels"]

_NOT_GIVEN = object()


class ProjectLabels(ProjectPart):
    """The annotations of a project's images by people and models, ``project.labels``."""

    def set(
        self,
        images: str | Iterable[str] | Mapping[str, Any],
        value: Any = _NOT_GIVEN,
        *,
        expected_revision: str | Mapping[str, str | None] | None = None,
        author: str | None = None,
    ) -> list[str]:
        """Set the annotations of images; earlier ones stay in the log.

        Setting an image's present value accepts it. A value is

        - for classification a class name, or None for no label;
        - for detection a pair (boxes_xyxy, labels): (n, 4) pixels of the upright image and n class names; ``([], [])``
          means no objects, None not annotated. Imported attributes of a box (a crowd, an area, an id) are kept unless
          the box is moved;
        - for multi-label several class names; ``[]`` means that none applies, None not annotated; see also `add` and
          `remove`.

        Args:
            images: one image id with a ``value``; several ids that all get ``value``; or a mapping of values by id.
            value: see above; omitted if ``images`` is a mapping.
            expected_revision: the revision that the author saw, of one image, or by image id; see
                `onlineml.data.annotations.Annotations.revision`. By default what this object read last. Later entries
                of others are not replaced, but conflict: see `conflicts`.
            author: of the entries; by default the user of the hub or the machine.

        Returns:
            The ids of the log's new entries, one per image.

        Raises:
            ConfigError: a value is missing, or given twice.
            DataError: an image is not in the project, or a value is invalid; a box is empty, not finite, or outside
                the image.
            UnknownClassError: a label is not one of the project's classes; see `Project.classes.add`.
        """
        return self._append(self._project.kind.claims, _values(images, value), expected_revision, author)

    def add(
        self,
        images: str | Iterable[str] | Mapping[str, Any],
        value: Any = _NOT_GIVEN,
        *,
        expected_revision: str | Mapping[str, str | None] | None = None,
        author: str | None = None,
    ) -> list[str]:
        """Add labels to multi-label images, without changing others.

        Different labels that two people add concurrently do not conflict: both apply.

        Args:
            images: one image id with a ``value``; several ids that all get ``value``; or a mapping of values by id.
            value: a class name or several; omitted if ``images`` is a mapping.
            expected_revision: see `set`.
            author: of the entries; by default the user of the hub or the machine.

        Returns:
            The ids of the log's new entries, one per image.

        Raises:
            ConfigError: the project's task is not multi-label; a value is missing, or given twice.
            DataError: an image is not in the project; no label is given.
            UnknownClassError: a label is not one of the project's classes; see `Project.classes.add`.
        """
        return self._append(self._project.kind.added, _values(images, value), expected_revision, author)

    def remove(
        self,
        images: str | Iterable[str] | Mapping[str, Any],
        value: Any = _NOT_GIVEN,
        *,
        expected_revision: str | Mapping[str, str | None] | None = None,
        author: str | None = None,
    ) -> list[str]:
        """Remove labels from multi-label images, without changing others; see `add`."""
        return self._append(self._project.kind.removed, _values(images, value), expected_revision, author)

    def _append(
        self,
        entries_of: Callable[[Annotations, Mapping[str, Any]], Sequence[Facts]],
        values: dict[str, Any],
        expected_revision: str | Mapping[str, str | None] | None,
        author: str | None,
    ) -> list[str]:
        revisions = (
            dict.fromkeys(values, expected_revision) if isinstance(expected_revision, str) else expected_revision
        )
        return self._project.append_entries(lambda state: entries_of(state, values), author, revisions)

    def accept(
        self, images: str | Iterable[str], *, indices: Sequence[int] | None = None, author: str | None = None
    ) -> list[str]:
        """Accept the suggestions for images; for an image without a suggestion, its present annotation.

        Args:
            images: one image id or several.
            indices: of suggested boxes or labels to add to the image's own; by default all suggested ones replace them.
            author: of the entries; by default the user of the hub or the machine.

        Returns:
            The ids of the log's new entries.

        Raises:
            DataError: an image is not in the project, or has neither a label nor a suggestion.
        """
        entries = partial(edits.accepted, image_ids=edits.ids_of(images), chosen=indices)
        return self._project.append_entries(entries, author)

    def skip(self, images: str | Iterable[str], *, author: str | None = None) -> list[str]:
        """Record that a person looked and did not decide; the suggestions of these images are marked as skipped."""
        return self._project.append_entries(partial(edits.skipped, image_ids=edits.ids_of(images)), author)

    def suggest(self, predictions: Any, *, model: str | ModelVersion, author: str | None = None) -> str | None:
        """Store predictions of a model for people to accept or correct. They are never trained on.

        Args:
            predictions: the result of `onlineml.predict` for images of the project, such as ``data.urls()``; or by
                image id its rows, pairs (label, score), or triples (boxes_xyxy, labels, scores). Images with an error,
                and boxes without an area, are left out.
            model: the model that made the predictions.
            author: of the entry; by default the user of the hub or the machine.

        Returns:
            The id of the log's new entry, for `undo`; None if there was no prediction.

        Raises:
            DataError: an image is not in the project, or a prediction is invalid.
            UnknownClassError: a label is neither one of the project's classes, nor a former name of one.
        """
        version = model if isinstance(model, str) else model.version
        return self._project.annotation_log.suggest(predictions, model=version, author=default_author(author))

    def undo(self, what: str, *, author: str | None = None) -> str:
        """Undo one entry; it stays in the history, and undoing can be undone.

        Args:
            what: the id of an entry (one of a merge or split of classes undoes all of it), or of an image, for its
                last entry.
            author: of the entry; by default the user of the hub or the machine.

        Returns:
            The id of the log's new entry.

        Raises:
            DataError: the entry or image does not exist, or there is nothing to undo.
            ConfigError: the entry is undone already, or records a frozen dataset.
        """
        self._project.annotation_log.state()  # includes the entries written by this object
        return self._project.append_entries(partial(edits.undone, what=what), author)[0]

    def state(self, *, at: datetime | None = None) -> Annotations:
        """The state of all images, computed from the log.

        Args:
            at: a time, by the clocks of the writers; local if it has no time zone. By default now.
        """
        return self._project.annotation_log.state(at=at)

    def suggestions(self) -> pd.DataFrame:
        """Return the open suggestions; see `onlineml.data.annotations.Annotations.suggestions`."""
        frame: pd.DataFrame = self.state().suggestions.to_pandas()
        return frame

    def conflicts(self) -> pd.DataFrame:
        """Return the conflicting entries, one row each; see `onlineml.data.annotations.Annotations.conflict_table`.

        Annotating such an image after this call resolves its conflict.
        """
        return self.state().conflict_table()

    def history(self, image_id: str) -> pd.DataFrame:
        """All entries about an image; see `onlineml.data.annotations.Annotations.history`."""
        return self.state().history(image_id)

    def compact(self) -> int:
        """Merge the annotation log's small objects into one, without losing entries; return their number.

        It happens automatically when there are many, and others may write meanwhile.
        """
        return self._project.annotation_log.compact()


def _values(images: str | Iterable[str] | Mapping[str, Any], value: Any) -> dict[str, Any]:
    """Values by image id."""
    if isinstance(images, Mapping):
        if value is not _NOT_GIVEN:
            raise ConfigError("labels: expected either values by image id, or image ids and one value; found both")
        return dict(images)
    if value is _NOT_GIVEN:
        raise ConfigError("labels: expected a value, or a mapping of values by image id; pass None for no label")
    return dict.fromkeys(edits.ids_of(images), value)
