"""Class folders: the folders of an image are its split and its class."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.lazy import lazy_exports

if TYPE_CHECKING:
    from onlineml.data.formats.folders.format import FOLDERS as FOLDERS

__getattr__, __dir__, __all__ = lazy_exports(__name__, {"FOLDERS": "format"})
