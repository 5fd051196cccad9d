"""Files on any fsspec URL: read many at once, write so that a reader sees all or nothing, publish, list.

A URL is text or a path; a plain local path is one too. ``storage_options`` are fsspec's, and are never logged, shown or
stored. Errors are `NotFoundError`, `AlreadyExistsError`, the builtin `PermissionError`, else `StorageError`; each
names the URL.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onlineml.errors import AlreadyExistsError, ConfigError, ConflictError, NotFoundError
from onlineml.storage import conditions
from onlineml.storage import local as local_files
from onlineml.storage.conditions import Guarantees
from onlineml.storage.filesystems import Options, filesystem, is_object_store, translated
from onlineml.storage.reading import download_file, read_bytes, read_many
from onlineml.storage.urls import inside, is_url, join, local_path, name, parent, redacted, text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = [
    "FileInfo",
    "Guarantees",
    "create_bytes",
    "delete",
    "delete_drafts",
    "download_file",
    "draft_for",
    "exists",
    "guarantees",
    "is_url",
    "join",
    "list_files",
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

Url = str | os.PathLike[str]

_UPLOAD_CONCURRENCY = 8  # parts of one large object in flight; 8 x 50 MB at most


@dataclass(frozen=True)
class FileInfo:
    """One file of a listing.

    Attributes:
        url: where it can be read.
        path: relative to the folder that was listed, with ``/``.
        size: bytes.
        version: changes when the content does: ETag or checksum where the store has one, else time and size.
    """

    url: str
    path: str
    size: int
    version: str


def write_bytes(url: Url, data: bytes, *, storage_options: Options = None) -> None:
    """Write a file in one step, over whatever was there.

    Local disks: a temporary file, synced, then renamed. Object stores: one PUT. Other filesystems: as their own write
    does it. Folders above are made.
    """
    full = text(url)
    local = local_path(full)
    with translated(full, storage_options, needs="write"):
        if local is not None:
            local_files.replace(local, data)
            return
        fs, path = filesystem(full, storage_options)
        _make_parent(fs, path)
        fs.pipe_file(path, data)


def create_bytes(url: Url, data: bytes, *, storage_options: Options = None) -> None:
    """Write a new file in one step.

    Exactly one of several racing writers succeeds where `guarantees` says so. On other stores a file that is there is
    still refused, but a race may have two winners.

    Raises:
        AlreadyExistsError: something is there.
    """
    full = text(url)
    local = local_path(full)
    with translated(full, storage_options, needs="write"):
        if local is not None:
            local_files.create(local, data)
            return
        fs, path = filesystem(full, storage_options)
        _make_parent(fs, path)
        conditions.write_new(fs, path, data)


def read_versioned(url: Url, *, storage_options: Options = None) -> tuple[bytes, str]:
    """A file's content and the version that `swap_bytes` asks for."""
    full = text(url)
    local = local_path(full)
    with translated(full, storage_options):
        if local is not None:
            data = Path(local).read_bytes()
            return data, sha256(data).hexdigest()
        return conditions.read_tagged(*filesystem(full, storage_options))


def swap_bytes(url: Url, data: bytes, *, version: str, storage_options: Options = None) -> str:
    """Replace a file in one step if it is still the version that was read; returns the new one.

    Raises:
        ConflictError: it was changed or deleted meanwhile.
        StorageError: the store cannot promise that exactly one of several racing writers succeeds, see `guarantees`.
    """
    full = text(url)
    local = local_path(full)
    try:
        with translated(full, storage_options, needs="write"):
            if local is not None:
                return local_files.swap(local, data, version=version)
            return conditions.swap(*filesystem(full, storage_options), data, version=version)
    except ConflictError as err:
        raise ConflictError(f"{redacted(full)}: {err}") from err


def guarantees(url: Url, *, storage_options: Options = None) -> Guarantees:
    """What the store of a folder promises to writers that come at the same moment.

    A bucket is tried out, once in a process, by writers that race for a few hidden objects in this folder.

    Raises:
        PermissionError: the folder cannot be written to.
    """
    full = text(url)
    local = local_path(full)
    if local is not None:
        return Guarantees(
            full, create=True, swap=local_files.SWAPS, reason="the local disk links and locks in one step"
        )
    with translated(full, storage_options, needs="write"):
        fs, path = filesystem(full, storage_options)
        bucket = f"{full.partition('://')[0]}://{path.partition('/')[0]}"
        return conditions.guaranteed(fs, f"{path.rstrip('/')}/any", store=redacted(bucket))


def _make_parent(fs: Any, path: str) -> None:
    if not is_object_store(fs):
        fs.makedirs(path.rpartition("/")[0], exist_ok=True)


def publish(url: Url, files: Mapping[str, bytes], *, descriptor: str, storage_options: Options = None) -> None:
    """Write a folder of files that readers see whole or not at all.

    The descriptor is written last: a folder without it does not exist for readers, and may be published again.

    Args:
        url: the folder.
        files: content by relative path; it holds the descriptor.
        descriptor: the path of the file that makes the folder valid.
        storage_options: of the filesystem.

    Raises:
        AlreadyExistsError: the folder has its descriptor already.
        ConfigError: files lacks the descriptor.
    """
    if descriptor not in files:
        raise ConfigError(f"files must hold the descriptor {descriptor!r}; it holds {', '.join(files) or 'nothing'}")
    targets = {path: join(url, path) for path in files}
    if exists(targets[descriptor], storage_options=storage_options):
        raise AlreadyExistsError(f"{redacted(targets[descriptor])} is already there; publish under a new name")
    for path, data in files.items():
        if path != descriptor:
            write_bytes(targets[path], data, storage_options=storage_options)
    create_bytes(targets[descriptor], files[descriptor], storage_options=storage_options)


@contextlib.contextmanager
def open_file(url: Url, *, block_size: int = 4 << 20, storage_options: Options = None) -> Iterator[Any]:
    """A file to be read in parts: binary, seekable; what goes wrong within is one of our errors.

    Args:
        url: where it is.
        block_size: bytes a request asks of remote storage.
        storage_options: of the filesystem.
    """
    full = text(url)
    local = local_path(full)
    with translated(full, storage_options):
        if local is not None:
            with open(local, "rb") as file:  # noqa: PTH123 (as all of storage opens files)
                yield file
            return
        fs, path = filesystem(full, storage_options)
        with fs.open(path, "rb", block_size=block_size) as file:
            yield file


def list_files(url: Url, *, recursive: bool = True, storage_options: Options = None) -> list[FileInfo]:
    """The files of a folder, sorted by path; none where the folder is missing."""
    full = text(url)
    local = local_path(full)
    with translated(full, storage_options, needs="list"):
        if local is not None:
            found = [
                FileInfo(inside(full, path), path, stat.st_size, f"{stat.st_mtime_ns}-{stat.st_size}")
                for path, stat in local_files.list_files(local, recursive=recursive)
            ]
        else:
            found = _list_remote(full, recursive=recursive, storage_options=storage_options)
    return sorted(found, key=lambda info: info.path)


def _list_remote(url: str, *, recursive: bool, storage_options: Options) -> list[FileInfo]:
    fs, path = filesystem(url, storage_options)
    fs.invalidate_cache(path)
    try:
        rows = fs.find(path, detail=True).values() if recursive else fs.ls(path, detail=True)
    except (FileNotFoundError, NotADirectoryError):
        return []
    prefix = path.rstrip("/") + "/"
    return [
        FileInfo(inside(url, row["name"].removeprefix(prefix)), row["name"].removeprefix(prefix), *_facts(row))
        for row in rows
        if row["type"] == "file" and row["name"].startswith(prefix) and not row["name"].endswith("/")
    ]


def _facts(row: Mapping[str, Any]) -> tuple[int, str]:
    size = int(row.get("size") or 0)
    for tag in ("ETag", "etag", "md5Hash", "content_md5", "checksum", "crc32c"):
        if row.get(tag):
            return size, str(row[tag]).strip('"')
    time = row.get("mtime") or row.get("LastModified") or row.get("last_modified") or row.get("created") or ""
    return size, f"{time}-{size}"


def exists(url: Url, *, storage_options: Options = None) -> bool:
    """Whether a file or folder is there."""
    full = text(url)
    local = local_path(full)
    with translated(full, storage_options):
        if local is not None:
            return Path(local).exists()
        fs, path = filesystem(full, storage_options)
        fs.invalidate_cache(path)
        try:
            fs.info(path)
        except FileNotFoundError:
            return False
    return True


def delete(url: Url, *, missing_ok: bool = True, storage_options: Options = None) -> None:
    """Delete one file.

    Raises:
        NotFoundError: it is not there, and missing_ok is false.
    """
    full = text(url)
    local = local_path(full)
    if not missing_ok and not exists(full, storage_options=storage_options):
        raise NotFoundError(f"nothing is stored at {redacted(full)}")
    with translated(full, storage_options, needs="delete"), contextlib.suppress(FileNotFoundError):
        if local is not None:
            Path(local).unlink()
        else:
            fs, path = filesystem(full, storage_options)
            fs.rm_file(path)


def draft_for(url: Url, *, folder: Path) -> Path:
    """Where to write a file that `upload_file` then moves to ``url``: hidden beside a local one, else in ``folder``."""
    local = local_path(text(url))
    return folder / name(text(url)) if local is None else local_files.name_beside(local)


def delete_drafts(url: Url) -> None:
    """Delete what killed processes left of drafts for ``url``, when nobody writes there any more."""
    local = local_path(text(url))
    if local is not None:
        local_files.remove_beside(local)


def upload_file(local_file: Url, url: Url, *, move: bool = False, storage_options: Options = None) -> None:
    """Copy a local file to a URL piece by piece; a reader of the URL sees the old or the new file, whole.

    Args:
        local_file: what to copy.
        url: where to.
        move: the local file is no longer needed; on the same disk it is renamed, which costs no second copy.
        storage_options: fsspec's.
    """
    full = text(url)
    local = local_path(full)
    with translated(full, storage_options, needs="write"):
        if local is not None:
            if move and local_files.move_synced(Path(local_file), Path(local)):
                return
            with local_files.temporary_beside(local) as temporary:
                local_files.copy_synced(Path(local_file), temporary)
                temporary.replace(local)
            return
        fs, path = filesystem(full, storage_options)
        _make_parent(fs, path)
        is_s3 = "s3" in fs.protocol
        fs.put_file(str(local_file), path, **({"max_concurrency": _UPLOAD_CONCURRENCY} if is_s3 else {}))
