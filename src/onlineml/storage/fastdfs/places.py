"""Resolution of paths on FastDFS: a name in a volume, or a file given by its id."""

from __future__ import annotations

import contextvars
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from onlineml.errors import ConfigError, StorageError
from onlineml.storage.fastdfs.client import Client
from onlineml.storage.fastdfs.ids import FileId
from onlineml.storage.fastdfs.records import MAX_NAME, are_names
from onlineml.storage.fastdfs.volume import EXTENSION, Volume

if TYPE_CHECKING:
    from collections.abc import Callable

    from onlineml.storage.fastdfs.trackers import Settings

__all__ = ["InVolume", "checked_name", "client_of", "concurrently", "place_of"]

_ID_PARTS = 5  # group1/M00/00/00/name
_THREADS = 16  # concurrent downloads; more help only if round trips are long

T = TypeVar("T")

_clients: dict[Settings, Client] = {}
_volumes: dict[tuple[Settings, str], Volume] = {}
_executors: dict[int, ThreadPoolExecutor] = {}  # by process: threads do not survive a fork


class InVolume(NamedTuple):
    """A name in a volume; ``""`` is the top folder."""

    volume: Volume
    name: str


def client_of(settings: Settings) -> Client:
    """Return this process's client of a cluster."""
    return _clients.get(settings) or _clients.setdefault(settings, Client(settings))


def place_of(settings: Settings, path: str) -> InVolume | FileId:
    """Resolve a path without scheme and trackers.

    Raises:
        StorageError: the path is neither in a volume nor a file id; FastDFS has no other names.
        NotADirectoryError: the path is below a file.
    """
    parts = path.split("/", _ID_PARTS)
    try:
        file = FileId.parse("/".join(parts[:_ID_PARTS]))
    except ValueError:
        raise StorageError(
            f"{path!r} is neither a FastDFS file id ('group1/M00/00/00/…') nor below the root of a volume: FastDFS "
            "names files itself and has no listing. Create a volume with "
            "onlineml.storage.fastdfs.create_volume('host:22122'), and use its URL"
        ) from None
    if file.appender and file.name.endswith("." + EXTENSION):
        key = (settings, str(file))
        volume = _volumes.get(key) or _volumes.setdefault(key, Volume(client_of(settings), file))
        return InVolume(volume, parts[_ID_PARTS] if len(parts) > _ID_PARTS else "")
    if len(parts) > _ID_PARTS:
        raise NotADirectoryError(f"{file} is a file, not a folder")
    return file


def checked_name(place: InVolume | FileId) -> InVolume:
    """Return the place if a file can be written there.

    Raises:
        StorageError: the place is a file given by its id, which cannot change.
        IsADirectoryError: the place is a volume itself.
        ConfigError: the name is invalid.
    """
    if isinstance(place, FileId):
        raise StorageError(f"{place} cannot be written: FastDFS generates such ids; write below a volume's URL")
    name = place.name
    if not name:
        raise IsADirectoryError(f"{place.volume.root} is a volume; append a file name to its URL")
    if not are_names([name]):
        raise ConfigError(
            f"{name!r} is not a valid file name; expected at most {MAX_NAME} bytes of UTF-8 without NUL, with '/' "
            "between folders, none of which is empty, '.' or '..'"
        )
    return place


def concurrently(function: Callable[[int], T], count: int) -> list[T]:
    """Call a function with 0, 1, … in this process's threads; return its results in order."""
    if count <= 1:
        return [function(index) for index in range(count)]
    results: list[T | None] = [None] * count
    indices = iter(range(count))  # shared: each thread takes the next index, which is cheaper than one future per index

    def work() -> None:
        for index in indices:
            results[index] = function(index)

    pool = _executors.get(os.getpid()) or _executors.setdefault(
        os.getpid(), ThreadPoolExecutor(_THREADS, "onlineml-fastdfs")
    )
    for worker in [pool.submit(contextvars.copy_context().run, work) for _ in range(min(count, _THREADS))]:
        worker.result()
    return results  # type: ignore[return-value] # each has been set
