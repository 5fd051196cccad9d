"""The beginning of a notebook: a project, and the photos that it is given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.data.manifest.manifest import Manifest
from onlineml.data.samples.samples import make_samples
from onlineml.project import descriptor as project_file
from onlineml.project.project import Project
from onlineml.storage.location import Location

if TYPE_CHECKING:
    import os

    from onlineml.storage.location import Url

__all__ = ["begin_project"]


def begin_project(
    url: Url,
    photos: str | os.PathLike[str] | None = None,
    *,
    task: str | None = None,
    split: str | None = None,
    title: str = "",
) -> tuple[Project, Manifest]:
    """Open or create a project, and add photos to it.

    A project that has photos is never given samples: without ``photos`` it is left as it is.

    Args:
        url: the project's folder, created if it is missing.
        photos: a folder, table or annotation file of any format of `onlineml.Manifest.from_any`; None is what the
            project has, and samples in the working folder, ``photos-<task>``, if it has none.
        task: None is the project's, else that of the photos' format.
        split: as for `onlineml.Manifest.from_any`.
        title: of a project that is created.

    Returns:
        The project, and the photos as they were read, or those that the project has.

    Raises:
        ConfigError: the project is of another task.
    """
    place = Location.of(url, None).absolute
    known = Project.open(url) if project_file.exists(place) else None
    if known is not None and task in {None, known.task} and photos is None:
        state = known.labels.state()
        if len(state.table):
            return known, known.manifest_of(state)
    task = task or (known.task if known is not None else None)
    samples = task or "classification"
    found = Manifest.from_any(photos or make_samples(f"photos-{samples}", task=samples), task=task, split=split)
    project = Project.create(url, task=found.task, title=title, exist_ok=True)
    project.add(found)
    return project, found
