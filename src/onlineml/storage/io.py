"""File operations on any fsspec URL: concurrent reads, atomic writes, publishing of folders, listing.

A URL is text, a path or a `onlineml.storage.location.Location`; a plain local path is valid too. ``storage_options``
are passed to fsspec, and are never logged, shown or stored; a location has options of its own. Errors are
`NotFoundError`, `AlreadyExistsError`, the builtin `PermissionError`, or `StorageError` for everything else; each names
the URL.
"""

from __future__ import annotations

import contextlib
import math
import re
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onlineml.errors import AlreadyExistsError, ConfigError, ConflictError, DataError, NotFoundError
from onlineml.storage import conditions
from onlineml.storage import local as local_files
from onlineml.storage.conditions import Guarantees
from onlineml.storage.filesystems import filesystem, is_object_store, translated
from onlineml.storage.location import Location, Options, Url
from onlineml.storage.opening import opened
from onlineml.storage.reading import download_file, read_bytes, read_many
from onlineml.storage.retries import patiently
from onlineml.storage.s3 import client as s3
from onlineml.storage.s3.listing import list_folder
from onlineml.storage.urls import inside, is_url, join, name, parent, redacted

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = [
    "FileInfo",
    "Guarantees",
    "create_bytes",
    "delete",
    "delete_below",
    "delete_drafts",
    "download_file",
    "draft_for",
    "exists",
    "guarantees",
    "is_url",
    "join",
    "list_files",
    "list_temporary",
    "name",
    "open_file",
    "parent",
    "publish",
    "read_bytes",
    "read_many",
    "read_versioned",
    "swap_bytes",
    "upload_file",
    "write_bytes",
]

_INSIDE = re.compile(r"(?:zip|tar|libarchive)://[^:]*::")  # paths below such a URL cannot be written after it
_UPLOAD_CONCURRENCY = 8  # concurrent parts of one large upload; at most 8 x 50 MB


@dataclass(frozen=True)
class FileInfo:
    """One file of a listing.

    Attributes:
        url: its URL.
        path: relative to the listed folder, with ``/``.
        size: bytes.
        version: changes with the content: the ETag or checksum if the store has one, else time and size.
        time: of the last change, in seconds since 1970 by the store's clock; nan if the store does not tell.
    """

    url: str = field(repr=False)  # may contain credentials
    path: str
    size: int
    version: str
    time: float = math.nan


def write_bytes(url: Url, data: bytes, *, storage_options: Options = None) -> None:
    """Write a file in one step, replacing an existing one.

    On a local disk, a temporary file is written, synced and renamed. On an object store, it is one PUT. Other
    filesystems use their own write method. Parent folders are created.
    """
    at = Location.of(url, storage_options)
    local = at.local
    with translated(at, needs="write"):
        if local is not None:
            local_files.replace(local, data)
            return
        fs, path = filesystem(at)
        _make_parent(fs, path)
        patiently(fs, "pipe_file", path, data, n_bytes=len(data))


def create_bytes(url: Url, data: bytes, *, storage_options: Options = None) -> None:
    """Write a new file in one step.

    Exactly one of several racing writers succeeds if `guarantees` says so. On other stores an existing file is still
    refused, but two racing writers may both succeed.

    Raises:
        AlreadyExistsError: the file exists.
    """
    at = Location.of(url, storage_options)
    local = at.local
    with translated(at, needs="write"):
        if local is not None:
            local_files.create(local, data)
            return
        fs, path = filesystem(at)
        _make_parent(fs, path)
        conditions.write_new(fs, path, data)


def read_versioned(url: Url, *, storage_options: Options = None) -> tuple[bytes, str]:
    """Return a file's content and the version that `swap_bytes` expects."""
    at = Location.of(url, storage_options)
    local = at.local
    with translated(at):
        if local is not None:
            data = Path(local).read_bytes()
            return data, sha256(data).hexdigest()
        return conditions.read_tagged(*filesystem(at))


def swap_bytes(url: Url, data: bytes, *, version: str, storage_options: Options = None) -> str:
    """Replace a file in one step if it is still the version that was read; return the new version.

    Raises:
        ConflictError: the file was changed or deleted since it was read.
        StorageError: the store cannot guarantee that exactly one of several racing writers succeeds, see `guarantees`.
    """
    at = Location.of(url, storage_options)
    local = at.local
    try:
        with translated(at, needs="write"):
            if local is not None:
                return local_files.swap(local, data, version=version)
            return conditions.swap(*filesystem(at), data, version=version)
    except ConflictError as err:
        raise ConflictError(f"{at}: {err}") from err


def guarantees(url: Url, *, storage_options: Options = None) -> Guarantees:
    """Return the guarantees that the store of a folder gives to concurrent writers.

    A bucket is probed once per process, with writers that race for a few hidden objects in this folder.

    Raises:
        PermissionError: the folder is not writable.
    """
    at = Location.of(url, storage_options)
    local = at.local
    if local is not None:
        reason = "the local disk creates links and locks files atomically"
        return Guarantees(at.url, create=True, swap=local_files.SWAPS, reason=reason)
    with translated(at, needs="write"):
        fs, path = filesystem(at)
        bucket = f"{at.url.partition('://')[0]}://{path.partition('/')[0]}"
        return conditions.guaranteed(fs, f"{path.rstrip('/')}/any", store=redacted(bucket))


def _make_parent(fs: Any, path: str) -> None:
    if not is_object_store(fs):
        fs.makedirs(path.rpartition("/")[0], exist_ok=True)


def publish(url: Url, files: Mapping[str, bytes], *, descriptor: str, storage_options: Options = None) -> None:
    """Write a folder of files that readers see completely or not at all.

    The descriptor is written last: a folder without it does not exist for readers, and may be published again.

    Args:
        url: the folder.
        files: content by relative path, including the descriptor.
        descriptor: the path of the file that makes the folder valid.
        storage_options: options of the filesystem.

    Raises:
        AlreadyExistsError: the folder already has its descriptor.
        ConfigError: files does not contain the descriptor.
    """
    if descriptor not in files:
        raise ConfigError(
            f"files must contain the descriptor {descriptor!r}, but contains {', '.join(files) or 'nothing'}"
        )
    folder = Location.of(url, storage_options)
    targets = {path: folder / path for path in files}
    if exists(targets[descriptor]):
        raise AlreadyExistsError(f"{targets[descriptor]} already exists; publish under a new name")
    for path, data in files.items():
        if path != descriptor:
            write_bytes(targets[path], data)
    create_bytes(targets[descriptor], files[descriptor])


@contextlib.contextmanager
def open_file(url: Url, *, block_size: int = 4 << 20, storage_options: Options = None) -> Iterator[Any]:
    """Open a file for binary, seekable, partial reads; errors within the block become onlineml errors.

    Args:
        url: the file.
        block_size: bytes per request to remote storage.
        storage_options: options of the filesystem.
    """
    at = Location.of(url, storage_options)
    local = at.local
    with translated(at):
        if local is not None:
            with open(local, "rb") as file:  # noqa: PTH123 (as all of storage opens files)
                yield file
            return
        with opened(*filesystem(at), block_size=block_size) as file:
            yield file


def list_files(url: Url, *, recursive: bool = True, storage_options: Options = None) -> list[FileInfo]:
    """List the files of a folder, sorted by path; the list is empty if the folder does not exist.

    Raises:
        DataError: the folder is inside an archive.
    """
    at = Location.of(url, storage_options)
    if _INSIDE.match(at.url):
        raise DataError(f"{at} is inside an archive: unpack it, and pass the folder")
    local = at.local
    with translated(at, needs="list"):
        if local is not None:
            start, of = inside(at.url, ""), local_files.version_of
            found = [
                FileInfo(start + path, path, stat.st_size, of(stat), stat.st_mtime)
                for path, stat in local_files.list_files(local, recursive=recursive)
            ]
        else:
            found = _list_remote(at, recursive=recursive)
    return sorted(found, key=lambda info: info.path)


def _list_remote(at: Location, *, recursive: bool) -> list[FileInfo]:
    fs, path = filesystem(at)
    try:
        rows = list_folder(fs, path, recursive=recursive) if s3.is_s3(fs) else _found(fs, path, recursive=recursive)
    except (FileNotFoundError, NotADirectoryError) as err:
        s3.require_bucket(fs, path, err)
        return []
    prefix = path.rstrip("/") + "/"
    return [
        FileInfo(inside(at.url, row["name"].removeprefix(prefix)), row["name"].removeprefix(prefix), *_facts(row))
        for row in rows
        if row["type"] == "file" and row["name"].startswith(prefix) and not row["name"].endswith("/")
    ]


def _found(fs: Any, path: str, *, recursive: bool) -> Iterable[Mapping[str, Any]]:
    fs.invalidate_cache(path)
    found = patiently(fs, "find" if recursive else "ls", path, options={"detail": True})
    rows: Iterable[Mapping[str, Any]] = found.values() if recursive else found
    return rows


def _facts(row: Mapping[str, Any]) -> tuple[int, str, float]:
    size = int(row.get("size") or 0)
    time = row.get("mtime") or row.get("LastModified") or row.get("last_modified") or row.get("created") or ""
    seconds = time.timestamp() if isinstance(time, datetime) else time if isinstance(time, int | float) else math.nan
    for tag in ("ETag", "etag", "md5Hash", "content_md5", "checksum", "crc32c"):
        if row.get(tag):
            return size, str(row[tag]).strip('"'), seconds
    return size, f"{time}-{size}", seconds


def list_temporary(url: Url, *, storage_options: Options = None) -> list[FileInfo]:
    """List the temporary files below a folder, which `list_files` omits; they exist only on a local disk."""
    at = Location.of(url, storage_options)
    if at.local is None:
        return []
    with translated(at, needs="list"):
        return [
            FileInfo(inside(at.url, path), path, stat.st_size, local_files.version_of(stat), stat.st_mtime)
            for path, stat in local_files.list_files(at.local, recursive=True, temporary=True)
        ]


def exists(url: Url, *, storage_options: Options = None) -> bool:
    """Return whether a file or folder exists."""
    at = Location.of(url, storage_options)
    local = at.local
    with translated(at):
        if local is not None:
            return Path(local).exists()
        fs, path = filesystem(at)
        fs.invalidate_cache(path)
        try:
            patiently(fs, "info", path)
        except FileNotFoundError as err:
            s3.require_bucket(fs, path, err)
            return False
    return True


def delete(url: Url, *, missing_ok: bool = True, storage_options: Options = None) -> None:
    """Delete one file.

    Raises:
        NotFoundError: the file does not exist, and missing_ok is false.
    """
    at = Location.of(url, storage_options)
    local = at.local
    if not missing_ok and not exists(at):
        raise NotFoundError(f"nothing is stored at {at}")
    with translated(at, needs="delete"), contextlib.suppress(FileNotFoundError):
        if local is not None:
            Path(local).unlink()
        else:
            fs, path = filesystem(at)
            patiently(fs, "rm_file", path)


def delete_below(url: Url, paths: Sequence[str], *, storage_options: Options = None) -> None:
    """Delete files below a folder, in this order, and none that is behind a link to another folder.

    Raises:
        DataError: a folder on the way is a link; see `onlineml.storage.local.delete_below`.
    """
    at = Location.of(url, storage_options)
    if at.local is None:
        for path in paths:
            delete(at / path)
        return
    with translated(at, needs="delete"):
        local_files.delete_below(at.local, paths)


def draft_for(url: Url, *, folder: Path) -> Path:
    """Return a path for writing a file that `upload_file` then moves to ``url``.

    It is a hidden name beside ``url`` if that is local, else a name in ``folder``.
    """
    local = Location.of(url).local
    return folder / Location.of(url).name if local is None else local_files.name_beside(local)


def delete_drafts(url: Url) -> None:
    """Delete drafts for ``url`` that killed processes left; call it only if no process is writing there."""
    local = Location.of(url).local
    if local is not None:
        local_files.remove_beside(local)


def upload_file(
    local_file: str | os.PathLike[str], url: Url, *, move: bool = False, storage_options: Options = None
) -> None:
    """Copy a local file to a URL in pieces; a reader of the URL sees either the old or the new file, complete.

    Args:
        local_file: the file to copy.
        url: the destination.
        move: the local file is no longer needed; on the same disk it is renamed, which avoids a second copy.
        storage_options: options of the filesystem.
    """
    at = Location.of(url, storage_options)
    local = at.local
    with translated(at, needs="write"):
        if local is not None:
            if move and local_files.move_synced(Path(local_file), Path(local)):
                return
            with local_files.temporary_beside(local) as temporary:
                local_files.copy_synced(Path(local_file), temporary)
                temporary.replace(local)
            return
        fs, path = filesystem(at)
        _make_parent(fs, path)
        options = {"max_concurrency": _UPLOAD_CONCURRENCY} if "s3" in fs.protocol else {}
        size = Path(local_file).stat().st_size
        patiently(fs, "put_file", str(local_file), path, options=options, n_bytes=size)
