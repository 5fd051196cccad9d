"""A project: a folder at any URL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.lazy import lazy_exports

if TYPE_CHECKING:
    from onlineml.project.classes import ProjectClasses as ProjectClasses
    from onlineml.project.datasets import ProjectDatasets as ProjectDatasets
    from onlineml.project.features import ImageFeatures as ImageFeatures
    from onlineml.project.features import ProjectFeatures as ProjectFeatures
    from onlineml.project.features import Similar as Similar
    from onlineml.project.features import SimilarImages as SimilarImages
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
        "ImageFeatures": "features",
        "Leftover": "sweep",
        "Project": "project",
        "ProjectClasses": "classes",
        "ProjectDatasets": "datasets",
        "ProjectFeatures": "features",
        "ProjectImages": "images",
        "ProjectLabels": "labels",
        "ProjectModels": "models",
        "ProjectRuns": "runs",
        "Similar": "features",
        "SimilarImages": "features",
        "Sweep": "sweep",
    },
)
