"""Many images in few large files: a store gives one file of 64 MB ten times as fast as a thousand of 64 KB."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import TYPE_CHECKING

import pyarrow as pa

from onlineml.data.formats.export import image_chunks
from onlineml.data.manifest.saving import DESCRIPTOR
from onlineml.errors import AlreadyExistsError, ConfigError
from onlineml.storage import io
from onlineml.storage.shards import packed_url

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    from onlineml.data.manifest.manifest import Manifest
    from onlineml.storage.location import Location

__all__ = ["pack"]

_NOT_IN_NAMES = re.compile(r"[#*?\[\]\\]")  # which would make of a URL something else


def pack(manifest: Manifest, folder: Location, *, shard_bytes: int) -> Manifest:
    """See `onlineml.Manifest.pack`."""
    if shard_bytes < 1:
        raise ConfigError(f"shard_bytes={shard_bytes}: expected at least 1")
    place = folder.absolute
    if io.exists(place / DESCRIPTOR):
        raise AlreadyExistsError(
            f"{place} holds a packed manifest already; load it with Manifest.load, or pack elsewhere"
        )
    uris: dict[int, str] = {}
    digests: dict[int, str] = {}
    with ThreadPoolExecutor(1) as writer:  # a shard is written while the next one is read
        written: list[Future[None]] = []
        for shard in _shards(manifest, shard_bytes):
            for finished in written[:-1]:
                finished.result()
            data = b"".join(content for _, content in shard)
            name = f"shards/{sha256(data).hexdigest()[:32]}.bin"  # written again, after a kill, it is the same
            offset = 0
            for row, content in shard:
                own = _NOT_IN_NAMES.sub("_", io.name(manifest.table["uri"][row].as_py()))
                uris[row] = packed_url(name, offset=offset, length=len(content), name=own)
                digests[row] = sha256(content).hexdigest()
                offset += len(content)
            written = [*written[-1:], writer.submit(io.write_bytes, place / name, data)]
        for finished in written:
            finished.result()
    packed = _replaced(manifest, place, [uris[row] for row in range(len(manifest))]).with_column(
        "sha256", pa.array([digests[row] for row in range(len(manifest))], pa.string())
    )
    packed.save(place)
    return packed


def _replaced(manifest: Manifest, root: Location, uris: list[str]) -> Manifest:
    from dataclasses import replace  # noqa: PLC0415

    table = manifest.table.set_column(manifest.table.column_names.index("uri"), "uri", pa.array(uris, pa.string()))
    return replace(manifest, table=table, root=root.url, storage_options=root.options)


def _shards(manifest: Manifest, shard_bytes: int) -> Iterator[list[tuple[int, bytes]]]:
    """Rows with their contents, as many as fill a shard; images of one split lie together, as they are read.

    Raises:
        StorageError: an image cannot be read.
        DataError: an image is not what it was when it was read first.
    """
    splits = manifest.table["split"].to_pylist()
    order = sorted(range(len(manifest)), key=lambda row: (splits[row] or "", row))
    shard: list[tuple[int, bytes]] = []
    size = 0
    for part, contents in image_chunks(manifest.take(order)):
        for row, content in zip(order[part], contents, strict=True):
            if shard and size + len(content) > shard_bytes:
                yield shard
                shard, size = [], 0
            shard.append((row, content))
            size += len(content)
    if shard:
        yield shard
