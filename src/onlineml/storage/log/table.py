"""Log entries as a table: one million are read in a second; as JSON lines they take ten, and much more memory.

A table has the column ``entry`` (ids, ascending), one text column for each key whose values are texts, and ``rest``:
the remaining values of a record as a JSON object, null if there are none. The conversion is lossless: a key whose value
is null is in ``rest``; an absent key is in neither.
"""

from __future__ import annotations

import io as _io
import json
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from onlineml.errors import StorageError
from onlineml.storage.documents import decoded, parquet_table
from onlineml.storage.log.entry import ULID

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["ENTRY", "REST", "Header", "entries_of", "from_parquet", "merged", "table_of", "to_parquet"]

ENTRY, REST = "entry", "rest"
_MAX_KEYS = 64  # a log with an unbounded number of keys keeps the further ones in ``rest``
_HEADER = b"onlineml.log"


class Header(msgspec.Struct):
    """The header of an object of a log: how many entries it has, and the objects of which it repeats them."""

    entries: int
    holds: tuple[str, ...]


_EMPTY = pa.schema([(ENTRY, pa.string()), (REST, pa.large_string())])


def table_of(entries: Iterable[tuple[str, Mapping[str, Any]]]) -> pa.Table:
    """Convert entries, which are pairs of an id and a record in the order of their ids, to a table.

    Raises:
        TypeError: a record is not a mapping of JSON values.
    """
    ids: list[str] = []
    rests: list[str | None] = []
    texts: dict[str, list[str | None]] = {}
    for row, (entry, record) in enumerate(entries):
        rest: dict[str, Any] = {}
        if not isinstance(record, dict):
            raise TypeError(f"each record must be a dict of JSON values; one is {record!r}")
        for key, value in record.items():
            if type(value) is not str or key in {ENTRY, REST} or (key not in texts and len(texts) >= _MAX_KEYS):
                rest[key] = value
                continue
            column = texts.setdefault(key, [])
            column += [None] * (row - len(column))
            column.append(value)
        ids.append(entry)
        rests.append(json.dumps(rest, ensure_ascii=False, separators=(",", ":")) if rest else None)
    arrays = [pa.array([*column, *[None] * (len(ids) - len(column))], pa.string()) for column in texts.values()]
    return pa.table(
        [pa.array(ids, pa.string()), *arrays, pa.array(rests, pa.large_string())], names=[ENTRY, *texts, REST]
    )


def entries_of(table: pa.Table) -> list[tuple[str, dict[str, Any]]]:
    """Return the entries of a table, one pair of an id and a record per row.

    Raises:
        StorageError: a value of ``rest`` is not a JSON object.
    """
    ids = table[ENTRY].to_pylist()
    keys = [name for name in table.column_names if name not in {ENTRY, REST}]
    records: list[dict[str, Any]] = []
    columns = [table[name].to_pylist() for name in keys]
    for row, rest in enumerate(table[REST].to_pylist()):
        record = {key: column[row] for key, column in zip(keys, columns, strict=True) if column[row] is not None}
        records.append(record if rest is None else record | decoded(rest, dict[str, Any], f"entry {ids[row]}"))
    return list(zip(ids, records, strict=True))


def merged(tables: Sequence[pa.Table]) -> pa.Table:
    """Merge several tables: all entries, each once, in the order of their ids."""
    filled = [table for table in tables if len(table)]
    table = pa.concat_tables([_EMPTY.empty_table(), *filled], promote_options="default")
    ids = table[ENTRY]
    if pc.all(pc.less(ids[:-1], ids[1:])).as_py() is not False:
        return table
    table = table.take(pc.sort_indices(ids))
    ids = table[ENTRY]
    first = np.ones(len(table), dtype=bool)
    first[1:] = pc.not_equal(ids[1:], ids[:-1]).to_numpy()
    return table.filter(pa.array(first))


def to_parquet(table: pa.Table, *, holds: Sequence[str] = ()) -> bytes:
    """Encode a table of entries as one object of the log, in Parquet format.

    Args:
        table: the entries.
        holds: names of the objects whose entries this object repeats.
    """
    header = json.dumps({"entries": len(table), "holds": list(holds)})
    sink = _io.BytesIO()
    pq.write_table(
        table.replace_schema_metadata({_HEADER: header.encode()}), sink, compression="zstd", write_page_checksum=True
    )
    return sink.getvalue()


def from_parquet(content: bytes) -> tuple[pa.Table, tuple[str, ...]]:
    """Return the entries of an object made by `to_parquet`, and the names of the objects whose entries it repeats.

    Raises:
        StorageError: the content is truncated, damaged, or of another kind.
    """
    table = parquet_table(content, "it")
    header = decoded((table.schema.metadata or {}).get(_HEADER, b"{}"), Header, "its header")
    types = {field.name: field.type for field in table.schema}
    expected = dict.fromkeys(types, pa.string()) | {ENTRY: pa.string(), REST: pa.large_string()}
    ids = table[ENTRY] if types == expected else pa.chunked_array([[]], pa.string())
    named = pc.all(pc.match_substring_regex(ids, f"^{ULID.pattern}$")).as_py() is not False and not ids.null_count
    if header.entries != len(ids) or not named:
        raise StorageError("the Parquet file is not a table of log entries")
    return table.replace_schema_metadata(None), header.holds
