"""Open files on FastDFS: read in ranges, written to a temporary file and stored when closed."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING, Any

from fsspec.spec import AbstractBufferedFile
from fsspec.transaction import Transaction

from onlineml.storage.fastdfs import reads
from onlineml.storage.fastdfs.connections import Payload

if TYPE_CHECKING:
    from onlineml.storage.fastdfs.filesystem import FastDFSFileSystem
    from onlineml.storage.fastdfs.records import Entry

__all__ = ["FastDFSFile", "FastDFSTransaction"]

_IN_MEMORY = 16 << 20  # bytes; larger files are buffered on the local disk, because FastDFS needs the size first


class FastDFSFile(AbstractBufferedFile):  # type: ignore[misc] # fsspec has no types
    """A file of `FastDFSFileSystem`; reads return the version that was opened, even if it is replaced later."""

    def __init__(self, fs: FastDFSFileSystem, path: str, mode: str = "rb", **options: Any) -> None:
        self._spool: tempfile.SpooledTemporaryFile[bytes] | None = None
        self._stored = None
        if mode == "rb":
            self._stored = reads.stored_at(fs.settings, path)
            options["size"] = self._stored.size
        super().__init__(fs, path, mode, **options)
        if mode == "ab" and fs.exists(path):
            self.write(fs.cat_file(path))

    def _fetch_range(self, start: int, end: int) -> bytes:
        assert self._stored is not None  # noqa: S101 (a file that is read)
        return reads.read(self.fs.settings, self._stored, start, end)

    def _initiate_upload(self) -> None:
        self._spool = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 (closed when stored)

    def _upload_chunk(self, final: bool = False) -> bool:
        assert self._spool is not None  # noqa: S101 (initiated before)
        self._spool.write(self.buffer.getvalue())
        if final and self.autocommit:
            self.commit()
        return True

    def upload(self) -> Entry:
        """Store the content without giving it a name yet."""
        assert self._spool is not None  # noqa: S101 (written before)
        entry: Entry = self.fs.store(self.path, Payload(self._spool, self._spool.tell()))
        return entry

    def commit(self) -> None:
        """Store the content under its name."""
        try:
            self.fs.commit({self.path: self.upload()}, create=self.mode == "xb")
        finally:
            self.discard()

    def discard(self) -> None:
        """Discard the written content."""
        if self._spool is not None:
            self._spool.close()


class FastDFSTransaction(Transaction):  # type: ignore[misc] # fsspec has no types
    """Transaction of fsspec, ``with fs.transaction:``: all written files appear at once, or none does."""

    fs: Any

    def complete(self, commit: bool = True) -> None:
        """End the transaction."""
        try:
            if commit:
                self.fs.commit({file.path: file.upload() for file in self.files})
        finally:
            for file in self.files:
                file.discard()
            self.files.clear()
            self.fs._intrans = False  # noqa: SLF001 (as fsspec's own transaction ends)
            self.fs._transaction = None  # noqa: SLF001
            self.fs = None
