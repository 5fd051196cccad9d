"""Annotations of images by people and models: an append-only log, and the state that results from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.lazy import lazy_exports

if TYPE_CHECKING:
    from onlineml.data.annotations.log import AnnotationLog as AnnotationLog
    from onlineml.data.annotations.state import Annotations as Annotations

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "AnnotationLog": "log",
        "Annotations": "state",
    },
)
