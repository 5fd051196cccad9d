"""Notebooks at any fsspec URL for papermill, read and written through `onlineml.storage`.

Papermill finds `FsspecHandler` by the entry points ``papermill.io``, before its own handlers. Credentials and
endpoints come from fsspec's configuration (such as the variables ``FSSPEC_S3_KEY`` and ``FSSPEC_S3_ENDPOINT_URL``).
"""

from __future__ import annotations

from onlineml.storage import io
from onlineml.storage.urls import redacted

__all__ = ["FsspecHandler"]


class FsspecHandler:
    """Papermill's interface to one kind of storage."""

    @staticmethod
    def read(path: str) -> str:
        """The notebook's text."""
        return io.read_bytes(path).decode()

    @staticmethod
    def write(buf: str, path: str) -> None:
        """Store the notebook's text atomically."""
        io.write_bytes(path, buf.encode())

    @staticmethod
    def listdir(path: str) -> list[str]:
        """The URLs of the files in a folder."""
        return [info.url for info in io.list_files(path, recursive=False)]

    @staticmethod
    def pretty_path(path: str) -> str:
        """The URL without secrets."""
        return redacted(path)
