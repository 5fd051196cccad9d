"""Lookup and reads of FastDFS files by their paths."""

from __future__ import annotations

import contextlib
import os
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from onlineml.errors import NotFoundError, StorageError
from onlineml.storage.fastdfs.ids import FileId
from onlineml.storage.fastdfs.places import InVolume, client_of, concurrently, place_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from onlineml.storage.fastdfs.records import Entry
    from onlineml.storage.fastdfs.trackers import Settings
    from onlineml.storage.fastdfs.volume import Volume

__all__ = [
    "EMPTY",
    "Stored",
    "download",
    "found_below",
    "info",
    "listed",
    "raise_first",
    "read",
    "read_current",
    "read_many",
    "stored_at",
]

EMPTY = "empty"  # the ETag of all empty files
_BLOCK = 8 << 20  # bytes of a large file per request
_READ_AHEAD = 1 << 20  # bytes; a larger file is not requested before its id is confirmed


class Stored(NamedTuple):
    """An object to be read; ``file`` is None for an empty file, which has no object."""

    file: FileId | None
    size: int
    mtime: float

    @property
    def tag(self) -> str:
        """The ``ETag``, which changes with the content."""
        if self.file is None:
            return EMPTY
        # an appender file keeps its id whatever is appended
        return str(self.file) if self.file.size is not None else f"{self.file}@{self.size}-{self.mtime:.0f}"


def stored_at(settings: Settings, path: str) -> Stored:
    """Return the object that a path currently refers to; later reads of it return one version.

    Raises:
        FileNotFoundError: the path does not exist.
        IsADirectoryError: the path is a folder.
    """
    place = place_of(settings, path)
    if isinstance(place, FileId):
        found = client_of(settings).info(place)
        return Stored(place if found.size else None, found.size, float(found.mtime))
    with place.volume.reading() as names:
        entry = names.entries.get(place.name)
        if entry is None:
            raise (IsADirectoryError if names.is_folder(place.name) else FileNotFoundError)(path)
        return _stored(entry, path)


def _stored(entry: Entry, path: str) -> Stored:
    try:
        return Stored(FileId.parse(entry.file) if entry.file else None, entry.size, entry.ms / 1000)
    except ValueError as err:
        raise StorageError(f"{path} names no content: {err}; write it again") from err


def read(settings: Settings, found: Stored, start: int | None = None, end: int | None = None) -> bytes:
    """Read a part of an object; ``start`` and ``end`` have the meaning of Python slices."""
    start, end, _ = slice(start, end).indices(found.size)
    return client_of(settings).read(found.file, start, end) if found.file is not None else b""


def read_current(
    settings: Settings, path: str, start: int | None = None, end: int | None = None, *, found: Stored | None = None
) -> tuple[bytes, str]:
    """Read a part of the object that a path currently refers to, even if it was replaced; also return its ``ETag``."""
    if found is None:
        data, found = _read_ahead(settings, path, start, end)
        if data is not None:
            return data, found.tag
    try:
        data = read(settings, found, start, end)
    except FileNotFoundError:  # replaced since, and already deleted
        again = stored_at(settings, path)
        if again.file == found.file:
            raise NotFoundError(
                f"{path} is named, but no FastDFS server has its content {found.file}; restore that, or delete the name"
            ) from None
        found, data = again, read(settings, again, start, end)
    return data, found.tag


def _read_ahead(settings: Settings, path: str, start: int | None, end: int | None) -> tuple[bytes | None, Stored]:
    """Look up a path, and meanwhile fetch the object it referred to before, which is usually still the same."""
    place = place_of(settings, path)
    if isinstance(place, FileId) and place.size:  # its id already contains all that a lookup would return
        return None, Stored(place, place.size, 0.0)
    entry = place.volume.known(place.name) if isinstance(place, InVolume) else None
    begun = None
    if entry is not None and 0 < entry.size <= _READ_AHEAD:
        file = _stored(entry, path).file
        first, stop, _ = slice(start, end).indices(entry.size)
        begun = client_of(settings).begin_read(file, first, stop) if file is not None and first < stop else None
    try:
        found = stored_at(settings, path)
        if begun is not None and found.file == begun.file:
            wanted, begun = begun, None
            with contextlib.suppress(OSError):  # on errors, the caller reads it again, with retries
                return wanted.finish(), found
    finally:
        if begun is not None:
            begun.drop()
    return None, found


def read_many(
    settings: Settings, paths: Sequence[str], parts: Sequence[tuple[int, int] | None]
) -> list[tuple[bytes, str] | Exception]:
    """Read many files, or parts of them, concurrently.

    Returns:
        For each path its bytes and their ``ETag``; for one that failed, the error in its place.
    """
    found = _stored_at_all(settings, paths)

    def fetched(index: int) -> tuple[bytes, str] | Exception:
        known = found[index]
        if isinstance(known, Exception):
            return known
        try:
            return read_current(settings, paths[index], *(parts[index] or (None, None)), found=known)
        except Exception as err:  # noqa: BLE001 (returned in the file's place)
            return err

    return concurrently(fetched, len(paths))


def _stored_at_all(settings: Settings, paths: Sequence[str]) -> list[Stored | Exception]:
    """Look up many paths, with one refresh of each volume."""
    found: list[Stored | Exception] = [FileNotFoundError(path) for path in paths]
    waiting: dict[Volume, list[tuple[int, str]]] = {}
    for index, path in enumerate(paths):
        try:
            place = place_of(settings, path)
            if isinstance(place, InVolume):
                waiting.setdefault(place.volume, []).append((index, place.name))
            else:
                found[index] = Stored(place, place.size, 0.0) if place.size else stored_at(settings, path)
        except Exception as err:  # noqa: BLE001 (returned in the file's place)
            found[index] = err
    for volume, wanted in waiting.items():
        try:
            with volume.reading() as names:
                for index, name in wanted:
                    if (entry := names.entries.get(name)) is not None:
                        try:
                            found[index] = _stored(entry, paths[index])
                        except StorageError as err:
                            found[index] = err
                    elif names.is_folder(name):
                        found[index] = IsADirectoryError(paths[index])
        except Exception as err:  # noqa: BLE001 (returned in the place of its files)
            for index, _ in wanted:
                found[index] = err
    return found


def download(settings: Settings, path: str, target: Any, callback: Any) -> None:
    """Read a file in pieces into a local path or an open file, and verify its checksum.

    Raises:
        FileNotFoundError: the path does not exist.
        StorageError: the content is not the stored content.
    """
    found = stored_at(settings, path)
    callback.set_size(found.size)
    with contextlib.ExitStack() as opened:
        if isinstance(target, str | os.PathLike):
            Path(target).parent.mkdir(parents=True, exist_ok=True)
            target = opened.enter_context(Path(target).open("wb"))
        crc32 = 0
        for start in range(0, found.size, _BLOCK):
            data = read(settings, found, start, start + _BLOCK)
            crc32 = zlib.crc32(data, crc32)
            target.write(data)
            callback.relative_update(len(data))
    if found.file is not None and found.file.crc32 not in {None, crc32}:
        raise StorageError(f"{path} is damaged: its checksum differs from that in its id {found.file}")


def raise_first(found: Iterable[Any]) -> None:
    """Raise the first error that stands in the place of a file's content."""
    for content in found:
        if isinstance(content, Exception):
            raise content


# ---- fsspec's info ----


def info(settings: Settings, path: str) -> dict[str, Any]:
    """Return fsspec's description of a file or folder.

    Raises:
        FileNotFoundError: the path does not exist.
    """
    place = place_of(settings, path)
    if isinstance(place, FileId):
        found = stored_at(settings, path)
        return _file_info(path, found.size, found.tag, str(found.file or ""), found.mtime)
    with place.volume.reading() as names:
        entry = names.entries.get(place.name)
        if entry is not None:
            return _entry_info(path, entry)
        if names.is_folder(place.name):
            return _folder_info(path)
    raise FileNotFoundError(path)


def _folder_info(path: str) -> dict[str, Any]:
    return {"name": path, "size": 0, "type": "directory"}


def _file_info(path: str, size: int, tag: str, file: str, mtime: float) -> dict[str, Any]:
    times = {"created": mtime, "mtime": mtime}
    return {"name": path, "size": size, "type": "file", "ETag": tag, "file_id": file, **times}


def _entry_info(path: str, entry: Entry) -> dict[str, Any]:
    return _file_info(path, entry.size, entry.file or EMPTY, entry.file, entry.ms / 1000)


def found_below(place: InVolume, path: str) -> dict[str, dict[str, Any]]:
    """Return fsspec's descriptions of all files below a folder of a volume, or of the file itself, by their paths."""
    top = path.removesuffix(place.name).rstrip("/")
    with place.volume.reading() as names:
        inside = [place.name] if place.name in names.entries else names.below(place.name)
        entries = [(f"{top}/{name}", names.entries[name]) for name in inside]
    return {name: _entry_info(name, entry) for name, entry in entries}


def listed(place: InVolume, path: str) -> list[dict[str, Any]]:
    """List a folder of a volume; if the path is a file, return that file.

    Raises:
        FileNotFoundError: the path does not exist.
    """
    top = path.removesuffix(place.name).rstrip("/")
    with place.volume.reading() as names:
        entry = names.entries.get(place.name)
        if entry is not None:
            return [_entry_info(path, entry)]
        if not names.is_folder(place.name):
            raise FileNotFoundError(path)
        files, folders = names.children(place.name)
        found = [(name, names.entries[name]) for name in files]
    rows = [_entry_info(f"{top}/{name}", entry) for name, entry in found]
    return sorted([*rows, *(_folder_info(f"{top}/{name}") for name in folders)], key=lambda row: str(row["name"]))
