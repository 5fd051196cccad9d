"""Files opened for partial reads, each with retries."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, Any

import fsspec.asyn

from onlineml.errors import StorageError
from onlineml.storage.reading import read_place
from onlineml.storage.retries import patiently
from onlineml.storage.shards import Place

if TYPE_CHECKING:
    from onlineml.storage.s3.client import Content

__all__ = ["opened"]


class _Ranges(io.RawIOBase):
    """A file of an asynchronous filesystem, read in ranges, each with retries, all of the same version."""

    def __init__(self, fs: Any, path: str, size: int) -> None:
        self._fs, self._path, self._size, self._at, self._version = fs, path, size, 0, ""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        stop = min(self._at + len(view), self._size)
        if stop <= self._at:
            return 0
        place = Place(self._path, (self._at, stop), whole=True)
        content: Content = fsspec.asyn.sync(self._fs.loop, read_place, self._fs, self._path, place)
        if content.version != (self._version or content.version):
            raise StorageError(f"{self._path} was overwritten while it was being read; try again")
        self._version = content.version
        view[: stop - self._at] = content.data
        self._at = stop
        return len(content.data)


def opened(fs: Any, path: str, *, block_size: int) -> Any:
    """Return a seekable file for partial reads, of ``block_size`` bytes per request."""
    if isinstance(fs, fsspec.asyn.AsyncFileSystem):
        info = patiently(fs, "info", path)
        if info["type"] == "directory":
            raise FileNotFoundError(path)
        if info.get("size") is not None:
            return io.BufferedReader(_Ranges(fs, path, int(info["size"])), block_size)
    return fs.open(path, "rb", block_size=block_size)
