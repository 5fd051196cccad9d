"""FastDFS as an fsspec filesystem: ``fastdfs://tracker:22122[,tracker…]/…``."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from fsspec.callbacks import DEFAULT_CALLBACK
from fsspec.spec import AbstractFileSystem
from fsspec.utils import isfilelike, stringify_path

from onlineml.errors import ConfigError
from onlineml.storage.fastdfs import moving, reads, writes
from onlineml.storage.fastdfs.connections import Payload
from onlineml.storage.fastdfs.file import FastDFSFile, FastDFSTransaction
from onlineml.storage.fastdfs.ids import FileId, address_text, parsed_addresses
from onlineml.storage.fastdfs.places import InVolume, checked_name, concurrently, place_of
from onlineml.storage.fastdfs.trackers import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onlineml.storage.fastdfs.records import Entry

__all__ = ["FastDFSFileSystem"]

_SCHEME = "fastdfs://"


class FastDFSFileSystem(AbstractFileSystem):  # type: ignore[misc] # fsspec has no types
    """Files on a FastDFS cluster.

    Every process sees the writes of others as soon as they are complete. Writing a file, writing several (`pipe` of a
    dict, ``with fs.transaction:``), moving, copying and removing are one step each, of which no reader sees a part. A
    folder exists as long as there are files in it.

    Args:
        trackers: as in `create_volume`; a URL contains them too.
        connect_timeout_s: timeout of connecting, in seconds.
        timeout_s: timeout of each single wait for a server, in seconds.
        attempts: total number of attempts of a request with transient failures.
        patience_s: seconds for which servers that are down or starting are waited for; by default 30 for what a person
            clicks, 120 for work, see `onlineml.storage.patience`.
        delete_after_s: seconds until content without a name is deleted; a reader that takes less time is not affected.
        storage_options: options of fsspec.
    """

    protocol = "fastdfs"
    root_marker = ""
    transaction_type = FastDFSTransaction
    creates_atomically = True

    def __init__(
        self,
        trackers: str | Sequence[str] = "",
        *,
        connect_timeout_s: float = 5.0,
        timeout_s: float = 30.0,
        attempts: int = 8,
        patience_s: float = 0.0,
        delete_after_s: float = 3600.0,
        **storage_options: Any,
    ) -> None:
        super().__init__(**storage_options)
        text = trackers if isinstance(trackers, str) else ",".join(trackers)
        try:
            addresses = parsed_addresses(text.removeprefix(_SCHEME).rstrip("/"))
        except ValueError as err:
            raise ConfigError(f"trackers must be like 'host:22122,host:22122'; {err}") from err
        # values from fsspec's environment variables are text
        self.settings = Settings(
            addresses, float(connect_timeout_s), float(timeout_s), int(attempts), float(patience_s)
        )
        self.delete_after_s = float(delete_after_s)

    # ---- URLs ----

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(item) for item in path]
        text = stringify_path(path)
        if text.startswith(_SCHEME):
            text = text.removeprefix(_SCHEME).partition("/")[2]
        return text.strip("/")

    @staticmethod
    def _get_kwargs_from_urls(path: str) -> dict[str, Any]:
        trackers = path.removeprefix(_SCHEME).partition("/")[0] if path.startswith(_SCHEME) else ""
        return {"trackers": trackers} if trackers else {}

    def unstrip_protocol(self, name: str) -> str:
        """Return the full URL of a path."""
        return f"{_SCHEME}{address_text(self.settings.trackers)}/{self._strip_protocol(name)}"

    @property
    def fsid(self) -> str:
        """Identifier of this cluster."""
        return f"fastdfs-{address_text(self.settings.trackers)}"

    def place(self, path: str) -> InVolume | FileId:
        """Resolve a path: a name in a volume, or a file given by its id."""
        return place_of(self.settings, self._strip_protocol(path))

    # ---- looking ----

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        """Return size, type, times and version (``ETag``, the id of the content) of a file or folder."""
        return reads.info(self.settings, self._strip_protocol(path))

    def exists(self, path: str, **kwargs: Any) -> bool:
        """Return whether a file or folder exists; a cluster that does not respond is an error."""
        try:
            self.info(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> list[Any]:
        """Return the files and folders in a folder."""
        path = self._strip_protocol(path)
        place = self.place(path)
        found = [self.info(path)] if isinstance(place, FileId) else reads.listed(place, path)
        return found if detail else [row["name"] for row in found]

    def find(
        self, path: str, maxdepth: int | None = None, withdirs: bool = False, detail: bool = False, **kwargs: Any
    ) -> Any:
        """Return all files below a folder, as a list, or with detail as a dict of `info` results."""
        path = self._strip_protocol(path)
        place = self.place(path)
        if maxdepth is not None or withdirs or isinstance(place, FileId):
            return super().find(path, maxdepth=maxdepth, withdirs=withdirs, detail=detail, **kwargs)
        found = reads.found_below(place, path)
        return found if detail else list(found)

    def created(self, path: str) -> datetime:
        """Return the time at which the file was stored, in UTC."""
        return datetime.fromtimestamp(self.info(path)["created"], tz=UTC)

    def modified(self, path: str) -> datetime:
        """Return the time at which the file was stored, in UTC: content is immutable."""
        return self.created(path)

    # ---- reading ----

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any) -> bytes:
        """Return the content of a file, or a part of it; a whole file is verified against its checksum."""
        return reads.read_current(self.settings, self._strip_protocol(path), start, end)[0]

    def cat_tagged(
        self, paths: Sequence[str], parts: Sequence[tuple[int, int] | None]
    ) -> list[tuple[bytes, str] | Exception]:
        """Read many files, or parts of them, concurrently: for each its bytes and their ``ETag``, or the error."""
        return reads.read_many(self.settings, self._strip_protocol(list(paths)), parts)

    def cat_ranges(
        self, paths: Any, starts: Any, ends: Any, max_gap: Any = None, on_error: str = "return", **kwargs: Any
    ) -> list[Any]:
        """Read parts of many files concurrently; for one that failed, the error in its place, or raised."""
        starts = starts if isinstance(starts, list) else [starts] * len(paths)
        ends = ends if isinstance(ends, list) else [ends] * len(paths)
        found = self.cat_tagged(paths, list(zip(starts, ends, strict=True)))
        reads.raise_first(found if on_error == "raise" else ())
        return [content if isinstance(content, Exception) else content[0] for content in found]

    def cat(self, path: Any, recursive: bool = False, on_error: str = "raise", **kwargs: Any) -> Any:
        """Return the content of one file, or of several as a dict; with recursive, of all files below folders."""
        paths = self.expand_path(path, recursive=recursive)
        if len(paths) == 1 and not isinstance(path, list) and paths[0] == self._strip_protocol(path):
            return self.cat_file(paths[0], **kwargs)
        found = dict(zip(paths, self.cat_ranges(paths, None, None), strict=True))
        if recursive:
            found = {name: data for name, data in found.items() if not isinstance(data, IsADirectoryError)}
        reads.raise_first(found.values() if on_error == "raise" else ())
        return {name: data for name, data in found.items() if on_error == "return" or not isinstance(data, Exception)}

    def get_file(
        self, rpath: str, lpath: Any, callback: Any = DEFAULT_CALLBACK, outfile: Any = None, **kwargs: Any
    ) -> None:
        """Copy a file to the local disk in pieces; its checksum is verified."""
        if isfilelike(lpath):
            outfile = lpath
        elif self.isdir(rpath):
            os.makedirs(lpath, exist_ok=True)  # noqa: PTH103 (fsspec's paths are text)
            return
        reads.download(self.settings, self._strip_protocol(rpath), lpath if outfile is None else outfile, callback)

    def _open(self, path: str, mode: str = "rb", block_size: int | None = None, **options: Any) -> FastDFSFile:
        if mode != "rb":
            writes.check(checked_name(self.place(path)), create=mode == "xb", if_match=None)
        return FastDFSFile(self, path, mode, block_size=block_size, **options)

    # ---- writing ----

    def store(self, path: str, payload: Payload) -> Entry:
        """Store content that `commit` will give a name; it is invisible until then."""
        return writes.store(checked_name(self.place(path)), payload)

    def commit(self, entries: Mapping[str, Entry], *, create: bool = False, if_match: str | None = None) -> None:
        """Give stored content its names, in one step; content whose commit fails is deleted.

        Args:
            entries: results of `store`, by path.
            create: commit only if the files do not exist.
            if_match: commit only if the existing file has this ``ETag``.
        """
        named = [(checked_name(self.place(path)), entry) for path, entry in entries.items()]
        writes.commit(named, create=create, if_match=if_match, delete_after_s=self.delete_after_s)

    def pipe_file(
        self, path: str, value: Any, mode: str = "overwrite", *, if_match: str | None = None, **kwargs: Any
    ) -> None:
        """Write a file in one step.

        Args:
            path: the file.
            value: bytes.
            mode: ``"create"`` writes only if the file does not exist, even with concurrent writers.
            if_match: write only if the existing file still has this ``ETag`` (of `info`).
            **kwargs: ignored; part of fsspec's signature.

        Raises:
            FileExistsError: the file exists, in mode ``"create"``.
            ConflictError: the file is not the one that if_match names, or does not exist.
            IsADirectoryError: the path is a folder.
            NotADirectoryError: a part of the path is a file.
        """
        place = checked_name(self.place(path))
        create = mode == "create"
        writes.check(place, create=create, if_match=if_match)
        self.commit({path: writes.store(place, Payload(bytes(value)))}, create=create, if_match=if_match)

    def pipe(self, path: Any, value: Any = None, **kwargs: Any) -> None:
        """Write one file, or a dict of files in one step."""
        if not isinstance(path, dict):
            self.pipe_file(path, value, **kwargs)
            return
        names = list(path)
        stored = concurrently(lambda index: self.store(names[index], Payload(bytes(path[names[index]]))), len(names))
        self.commit(dict(zip(names, stored, strict=True)), create=kwargs.get("mode") == "create")

    def put_file(
        self, lpath: Any, rpath: str, callback: Any = DEFAULT_CALLBACK, mode: str = "overwrite", **kwargs: Any
    ) -> None:
        """Copy a local file of any size in one step."""
        if os.path.isdir(lpath):  # noqa: PTH112 (fsspec's paths are text)
            return
        with open(lpath, "rb") as file:  # noqa: PTH123
            size = os.fstat(file.fileno()).st_size
            callback.set_size(size)
            self.commit({rpath: self.store(rpath, Payload(file, size))}, create=mode == "create")
            callback.relative_update(size)

    def touch(self, path: str, truncate: bool = True, **kwargs: Any) -> None:
        """Create an empty file; without truncate, set the time of an existing file to the present."""
        if truncate or not self.exists(path):
            self.pipe_file(path, b"")
        else:
            writes.touched(checked_name(self.place(path)), delete_after_s=self.delete_after_s)

    def cp_file(self, path1: str, path2: str, **kwargs: Any) -> None:
        """Copy a file; within a volume no content is copied."""
        moving.copy(self, path1, path2)

    # ---- moving and removing ----

    def mv(self, path1: Any, path2: Any, recursive: bool = False, maxdepth: int | None = None, **kwargs: Any) -> None:
        """Move files and, with recursive, folders; within a volume in one step."""
        moving.move(self, path1, path2, recursive=recursive, maxdepth=maxdepth)

    def rm_file(self, path: str) -> None:
        """Remove a file; one given by its own id is deleted at once."""
        moving.remove(self, [self._strip_protocol(path)])

    def _rm(self, path: str) -> None:
        self.rm_file(path)

    def rm(self, path: Any, recursive: bool = False, maxdepth: int | None = None) -> None:
        """Remove files and, with recursive, folders; all in one step."""
        moving.remove(self, self.expand_path(path, recursive=recursive, maxdepth=maxdepth), folders=recursive)

    # ---- folders, which exist as long as there are files in them ----

    def mkdir(self, path: str, create_parents: bool = True, **kwargs: Any) -> None:
        """Do nothing."""

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Do nothing."""

    def rmdir(self, path: str) -> None:
        """Do nothing if the folder is empty.

        Raises:
            OSError: the folder contains files.
        """
        if self.isdir(path) and self.ls(path):
            raise OSError(f"{path} is not empty; remove it with rm(recursive=True)")
