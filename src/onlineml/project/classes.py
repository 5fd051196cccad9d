"""Classes of a project: added, renamed, merged, split."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from onlineml.data.annotations import edits
from onlineml.project.part import ProjectPart

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


__all__ = ["ProjectClasses"]


class ProjectClasses(ProjectPart):
    """Classes of a project, ``project.classes``."""

    def names(self) -> tuple[str, ...]:
        """List the classes in the order of their ids."""
        return self._project.labels.state().class_names

    def add(self, name: str, *, author: str | None = None) -> str | None:
        """Add a class after the others; an existing one keeps its place.

        Returns:
            The id of the log's new entry, for `onlineml.Project.labels.undo`, which takes back a class that no image
            has; None for an existing class.

        Raises:
            ConfigError: the name is blank, or a former name of another class.
        """
        return next(iter(self._project.append_entries(partial(edits.class_added, name=name), author)), None)

    def rename(self, old: str, new: str, *, author: str | None = None) -> str:
        """Rename a class; it keeps its id, its images and its history.

        The former name still refers to the same class, in entries of people who have not seen the change and in models.

        Returns:
            The id of the log's new entry.

        Raises:
            UnknownClassError: the class does not exist.
            ConfigError: the new name is or was the name of another class.
        """
        return self._project.append_entries(partial(edits.class_renamed, old=old, new=new), author)[0]

    def merge(self, names: Sequence[str], *, into: str, author: str | None = None) -> str:
        """Merge classes into one, which may be new; their ids are not reused.

        Returns:
            The id of an entry of the log: undoing it undoes the merge, and each image has its original class again.

        Raises:
            UnknownClassError: a class does not exist.
            ConfigError: ``into`` is a former name of another class.
        """
        return self._project.append_entries(partial(edits.class_merged, names=names, into=into), author)[0]

    def split(self, name: str, labels: Mapping[str, Any], *, author: str | None = None) -> str:
        """Move images of a class to other classes, which may be new; the remaining images stay.

        Args:
            name: the class.
            labels: the new class by image id; for detection, one for all boxes of the class on the image, or a list
                with one for each, in their order.
            author: of the entries; by default the user of the hub or the machine.

        Returns:
            The id of an entry of the log: undoing it undoes the whole split.

        Raises:
            DataError: an image is not of this class.
            ConfigError: a new name is a former name of another class.
        """
        return self._project.append_entries(partial(edits.class_split, name=name, labels=labels), author)[0]
