"""The sha256 of many images, read a few at a time."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from onlineml.errors import NotFoundError
from onlineml.storage.io import read_many

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onlineml.storage.location import Options


__all__ = ["content_digests"]

_TOGETHER = 64  # images in memory at a time


def content_digests(urls: Sequence[str], *, storage_options: Options = None) -> list[str | None]:
    """Return the sha256 of each image, as 64 hex digits; None where nothing is there, or access is denied.

    Raises:
        StorageError: the store failed.
    """
    found: list[str | None] = []
    for start in range(0, len(urls), _TOGETHER):
        for content in read_many(urls[start : start + _TOGETHER], storage_options=storage_options):
            if isinstance(content, NotFoundError | PermissionError):
                found.append(None)
                continue
            if isinstance(content, OSError):
                raise content
            found.append(sha256(content).hexdigest())
    return found
