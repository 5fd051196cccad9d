"""Classes of a project: added, renamed, merged, split."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from onlineml.data.annotations import edits
from onlineml.project.say import say

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onlineml.project.project import Project

__all__ = ["ProjectClasses"]


class ProjectClasses:
    """Classes of a project, ``project.classes``."""

    def __init__(self, project: Project) -> None:
        self._project = project

    def names(self) -> tuple[str, ...]:
        """List the classes in the order of their ids."""
        return self._project.labels.state().class_names

    def add(self, name: str, *, author: str | None = None) -> None:
        """Add a class behind the others; one that is there already stays where it is.

        Raises:
            ConfigError: the name is blank, or a former name of another class.
        """
        say(self._project, partial(edits.class_added, name=name), author)

    def rename(self, old: str, new: str, *, author: str | None = None) -> str:
        """Give a class another name; it keeps its id, its images and its history.

        The former name means the same class for ever: to who has not seen the new one, and in models trained before.

        Returns:
            The id of the log's new entry.

        Raises:
            UnknownClassError: there is no such class.
            ConfigError: the new name is another class's, or was.
        """
        return say(self._project, partial(edits.class_renamed, old=old, new=new), author)[0]

    def merge(self, names: Sequence[str], *, into: str, author: str | None = None) -> str:
        """Make classes part of one, which may be new; their ids are not used again.

        Returns:
            The id of an entry of the log: undoing it undoes the merger, and each image has the class that it had.

        Raises:
            UnknownClassError: there is no such class.
            ConfigError: ``into`` is a former name of another class.
        """
        return say(self._project, partial(edits.class_merged, names=names, into=into), author)[0]

    def split(self, name: str, labels: Mapping[str, Any], *, author: str | None = None) -> str:
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
        return say(self._project, partial(edits.class_split, name=name, labels=labels), author)[0]
