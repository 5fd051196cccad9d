"""Tables with one row per image, or per image and label."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.lazy import lazy_exports

if TYPE_CHECKING:
    from onlineml.data.formats.tables.format import TABLE as TABLE
    from onlineml.data.formats.tables.format import TableColumns as TableColumns
    from onlineml.data.formats.tables.format import read_table as read_table

__getattr__, __dir__, __all__ = lazy_exports(
    __name__, {"TABLE": "format", "TableColumns": "format", "read_table": "format"}
)
