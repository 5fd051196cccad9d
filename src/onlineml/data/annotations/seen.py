"""Records of what reading images told, beside the annotation log: small Parquet files that are only ever added."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pyarrow as pa

from onlineml.data.annotations.state import parquet_bytes
from onlineml.storage import io
from onlineml.storage.documents import parquet_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onlineml.storage.location import Location


__all__ = ["SEEN", "digests_in", "read_seen", "write_seen"]

SEEN = pa.schema(
    [
        ("image_id", pa.string()),
        ("sha256", pa.string()),
        ("width", pa.int32()),  # null: the content was only compared
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
        tables.append(parquet_table(content, file))
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
