"""A project: a folder at any URL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.lazy import lazy_exports

if TYPE_CHECKING:
    from onlineml.project.project import Project as Project

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "Project": "project",
    },
)
