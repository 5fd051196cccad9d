"""Opening every image once, and what is found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.lazy import lazy_exports

if TYPE_CHECKING:
    from onlineml.data.checks.images import check as check
    from onlineml.data.checks.table import CheckTable as CheckTable

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "CheckTable": "table",
        "check": "images",
    },
)
