"""Creation and cleaning of volumes, which hold the names of FastDFS files.

FastDFS generates file ids and has no listing. Names are therefore stored in a *volume*, which is created once::

    url = create_volume("10.0.0.1:22122,10.0.0.2:22122")
    # fastdfs://10.0.0.1:22122,10.0.0.2:22122/group1/M00/00/00/rBEAA2k….volume

The id of the volume's root is part of the URL, because FastDFS offers no way to look up a name: it has no listing,
metadata can only be read of a file whose id is known, and neither metadata nor slave files are created atomically. A
volume therefore needs no further service, and a URL is all that has to be passed on. Below it, paths work as on any
filesystem, and files appear completely or not at all. Any other file id can be read as a path directly.

FastDFS has no authentication: anyone who can reach its ports can read and delete everything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onlineml.errors import ConfigError
from onlineml.storage.fastdfs import upkeep
from onlineml.storage.fastdfs.filesystem import FastDFSFileSystem
from onlineml.storage.fastdfs.places import InVolume, client_of
from onlineml.storage.fastdfs.records import FORMAT, Pointer, line_of
from onlineml.storage.fastdfs.volume import EXTENSION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onlineml.storage.fastdfs.client import Client
    from onlineml.storage.fastdfs.ids import FileId

__all__ = ["collect_garbage", "create_volume"]


def create_volume(
    trackers: str | Sequence[str], *, group: str | None = None, storage_options: Mapping[str, Any] | None = None
) -> str:
    """Create a new, empty volume: a tree of names on a FastDFS cluster.

    Args:
        trackers: ``host:port`` of one or, better, of all trackers, separated by commas or in a list. The default port
            is 22122.
        group: the group of servers that stores the names; by default the tracker chooses. Files may go to any group.
        storage_options: options of `FastDFSFileSystem`.

    Returns:
        The volume's URL. Keep it: FastDFS cannot list volumes.

    Raises:
        ConfigError: the trackers are not valid addresses.
        StorageError: no tracker responds, or no server accepts files.
    """
    fs = FastDFSFileSystem(trackers, **(storage_options or {}))
    root = _create(client_of(fs.settings), group)
    url: str = fs.unstrip_protocol(str(root))
    return url


def _create(client: Client, group: str | None = None) -> FileId:
    """Create the root last, so that the volume exists completely or not at all."""
    segment = client.upload_appender(b"\n", group=group)  # never empty: its end can always be read
    pointer = Pointer(format=FORMAT, serial=0, segment=str(segment), start=0, snapshot="")
    return client.upload_appender(line_of(pointer), extension=EXTENSION, group=group)


def collect_garbage(url: str, *, older_than_s: float = 3600.0, storage_options: Mapping[str, Any] | None = None) -> int:
    """Delete all objects without a name now instead of gradually.

    Writers delete some with every 32nd commit; call this after large deletions.

    Args:
        url: URL of the volume, or of any path in it.
        older_than_s: seconds since a name was removed; readers that opened the file earlier may still be reading it.
        storage_options: options of `FastDFSFileSystem`.

    Returns:
        The number of deleted files.

    Raises:
        ConfigError: the URL is not in a volume.
    """
    named = FastDFSFileSystem._get_kwargs_from_urls(url)  # noqa: SLF001 (fsspec's interface)
    place = FastDFSFileSystem(**{**(storage_options or {}), **named}).place(url)
    if not isinstance(place, InVolume):
        raise ConfigError(f"{url} is not in a volume; expected the URL that create_volume returned")
    return upkeep.collect(place.volume, older_than_s=older_than_s)
