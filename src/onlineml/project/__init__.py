"""A project: a folder at any URL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.lazy import lazy_exports

if TYPE_CHECKING:
    from onlineml.project.classes import ProjectClasses as ProjectClasses
    from onlineml.project.datasets import ProjectDatasets as ProjectDatasets
    from onlineml.project.images import ProjectImages as ProjectImages
    from onlineml.project.labels import ProjectLabels as ProjectLabels
    from onlineml.project.models import ProjectModels as ProjectModels
    from onlineml.project.project import Project as Project
    from onlineml.project.runs import ProjectRuns as ProjectRuns
    from onlineml.project.sweep import Leftover as Leftover
    from onlineml.project.sweep import Sweep as Sweep

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "Leftover": "sweep",
        "Project": "project",
        "ProjectClasses": "classes",
        "ProjectDatasets": "datasets",
        "ProjectImages": "images",
        "ProjectLabels": "labels",
        "ProjectModels": "models",
        "ProjectRuns": "runs",
        "Sweep": "sweep",
    },
)
