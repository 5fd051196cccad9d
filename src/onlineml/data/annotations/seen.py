"""Records of what reading images told, beside the annotation log: small Parquet files that are only ever added."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from onlineml.data.annotations.state import parquet_bytes, parquet_table
from onlineml.data.images.digests import content_digests
from onlineml.storage import io
from onlineml.storage.versions import current_versions

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from onlineml.storage.location import Location, Options


__all__ = ["SEEN", "digests_in", "read_seen", "witnessed", "write_seen"]

_CONTENT_TAGS = ("s3://", "s3a://")  # stores that give the same content the same tag
SEEN = pa.schema(
    [
        ("image_id", pa.string()),
        ("sha256", pa.string()),
        ("width", pa.int32()),  # null: the content was only hashed
        ("height", pa.int32()),
        ("findings", pa.list_(pa.string())),
        ("version", pa.string()),  # of the file that was read; null: the one that was imported
    ]
)


def read_seen(folder: Location) -> pa.Table:
    """The records in a folder, in no order.

    Raises:
        StorageError: a file cannot be read.
    """
    files = [folder / info.path for info in io.list_files(folder) if info.path.endswith(".parquet")]
    tables = [SEEN.empty_table()]
    for file, content in zip(files, io.read_many(files), strict=True):
        if isinstance(content, OSError):
            raise content
        tables.append(parquet_table(content, name=str(file)))
    return pa.concat_tables(tables, promote_options="default").cast(SEEN)


def digests_in(tables: Sequence[pa.Table]) -> pa.Table:
    """The columns image_id and sha256 of several files of records."""
    empty = pa.schema([SEEN.field(name) for name in ("image_id", "sha256")]).empty_table()
    return pa.concat_tables([empty, *(table.select(empty.column_names) for table in tables)])


def write_seen(table: pa.Table, folder: Location) -> None:
    """Add records to a folder, in a file that is named by its content; none where there are none."""
    if len(table):
        data = parquet_bytes(table)
        name = f"{hashlib.sha256(data).hexdigest()[:32]}.parquet"
        io.write_bytes(folder / name, data)


def witnessed(
    image_ids: Collection[str],
    images: pa.Table,
    *,
    digests: Callable[[], pa.Table],
    url_of: Callable[[str], str],
    storage_options: Options,
) -> pa.Table:
    """Read images of which somebody speaks, so that the words can follow the picture.

    Only those that were never read, and whose version is not a tag of the content: nothing else tells later which
    picture it was.

    Args:
        image_ids: of which somebody speaks.
        images: with image_id, uri, version and sha256.
        digests: gives the columns image_id and sha256 of images that were read before.
        url_of: gives the URL of an address.
        storage_options: of the images.

    Returns:
        Records as `write_seen` takes them, without those that cannot be read now, or are not what was imported.
    """
    named = pc.is_in(images["image_id"], value_set=pa.array(sorted(image_ids), pa.string()))
    rows = images.filter(pc.and_(named, images["sha256"].is_null())).to_pylist()
    rows = [row for row in rows if row["version"] and not row["uri"].startswith(_CONTENT_TAGS)]
    known = set(digests()["image_id"].to_pylist()) if rows else set()
    rows = [row for row in rows if row["image_id"] not in known]
    urls = [url_of(row["uri"]) for row in rows]
    now = current_versions(urls, storage_options=storage_options)
    found = content_digests(urls, storage_options=storage_options)
    told = [
        {"image_id": row["image_id"], "sha256": digest, "version": row["version"]}
        for row, version, digest in zip(rows, now, found, strict=True)
        if version == row["version"] and digest is not None
    ]
    return pa.Table.from_pylist(told, schema=SEEN)
