"""Object detection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.lazy import lazy_exports

if TYPE_CHECKING:
    from onlineml.tasks.detection.module import ObjectDetector as ObjectDetector

__getattr__, __dir__, __all__ = lazy_exports(__name__, {"ObjectDetector": "module"})
