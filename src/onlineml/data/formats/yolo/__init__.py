"""YOLO: one text file of relative boxes per image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.lazy import lazy_exports

if TYPE_CHECKING:
    from onlineml.data.formats.yolo.read import YOLO as YOLO
    from onlineml.data.formats.yolo.read import read_yolo as read_yolo
    from onlineml.data.formats.yolo.write import write_yolo as write_yolo

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "YOLO": "read",
        "read_yolo": "read",
        "write_yolo": "write",
    },
)
