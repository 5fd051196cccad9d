"""The one shape of data: an immutable, hashed table with a row an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.lazy import lazy_exports

if TYPE_CHECKING:
    from onlineml.data.manifest.manifest import Manifest as Manifest

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "Manifest": "manifest",
    },
)
