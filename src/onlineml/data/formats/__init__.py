"""Readers and writers of common formats for annotated images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.lazy import lazy_exports

if TYPE_CHECKING:
    from onlineml.data.formats.format import Format as Format
    from onlineml.data.formats.format import Place as Place
    from onlineml.data.formats.format import Source as Source
    from onlineml.data.formats.parts import Parts as Parts

__getattr__, __dir__, __all__ = lazy_exports(
    __name__, {"Format": "format", "Parts": "parts", "Place": "format", "Source": "format"}
)
