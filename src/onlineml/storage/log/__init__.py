"""Append-only log with any number of concurrent writers; no record is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.lazy import lazy_exports

if TYPE_CHECKING:
    from onlineml.storage.log.log import AppendLog as AppendLog

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "AppendLog": "log",
    },
)
