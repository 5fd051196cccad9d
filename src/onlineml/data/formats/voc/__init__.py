"""Pascal VOC: one XML file per image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.lazy import lazy_exports

if TYPE_CHECKING:
    from onlineml.data.formats.voc.read import VOC as VOC
    from onlineml.data.formats.voc.read import read_voc as read_voc
    from onlineml.data.formats.voc.write import write_voc as write_voc

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "VOC": "read",
        "read_voc": "read",
        "write_voc": "write",
    },
)
