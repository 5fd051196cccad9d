"""A part of a project with verbs of its own, such as ``project.labels``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onlineml.project.project import Project

__all__ = ["ProjectPart"]


class ProjectPart:
    """The images, labels, classes, datasets, models or runs of a project."""

    def __init__(self, project: Project) -> None:
        self._project = project

    def __repr__(self) -> str:
        verbs = [name for name, value in vars(type(self)).items() if callable(value) and not name.startswith("_")]
        return f"{type(self).__name__} of {self._project.location}: {', '.join(f'{verb}()' for verb in verbs)}"
