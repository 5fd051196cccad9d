"""COCO detection files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.lazy import lazy_exports

if TYPE_CHECKING:
    from onlineml.data.formats.coco.read import COCO as COCO
    from onlineml.data.formats.coco.write import write_coco as write_coco

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "COCO": "read",
        "write_coco": "write",
    },
)
