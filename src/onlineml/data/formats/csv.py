"""Reading of the columns that a format needs from CSV or Parquet; labels and paths are read as text."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from onlineml.data.manifest.schema import as_single_chunks, examples
from onlineml.errors import DataError
from onlineml.storage import io

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Column", "TextTable", "csv_bytes", "is_parquet", "read_columns", "require_valid", "table_bytes"]

_DELIMITERS = (",", ";", "\t")


@dataclass(frozen=True)
class Column:
    """A column to read as text: its name in the table, and whether it is required."""

    name: str
    required: bool = False


@dataclass(frozen=True)
class TextTable:
    """Requested columns as texts (None if empty or absent), and the other columns unchanged."""

    texts: dict[str, list[str | None]]
    others: pa.Table
    present: frozenset[str]


def read_columns(
    url: str,
    wanted: Mapping[str, Column],
    *,
    table: pa.Table | None = None,
    storage_options: Mapping[str, Any] | None,
) -> TextTable:
    """Read a table; its format depends on the extension (``.parquet`` or ``.pq``; anything else is CSV).

    Args:
        url: the table.
        wanted: the columns to read as text, by the name under which they are returned.
        table: the content, where it is in memory.
        storage_options: options of the filesystem.

    Raises:
        DataError: the table cannot be parsed (every malformed row is named), or a required column is missing.
    """
    names = [column.name for column in wanted.values()]
    if table is None:
        data = io.read_bytes(url, storage_options=storage_options)
        try:
            table = pq.read_table(pa.BufferReader(data)) if is_parquet(url) else _read_csv(url, data, names)
        except pa.ArrowInvalid as error:
            raise DataError(f"{url} is not a readable table: {error}") from error
    table = as_single_chunks(table.replace_schema_metadata(None))
    absent = [column.name for column in wanted.values() if column.required and column.name not in table.column_names]
    if absent:
        raise DataError(
            f"{url} has no columns {examples(absent)}; it has {', '.join(map(repr, table.column_names)) or 'none'}"
        )
    empty: list[str | None] = [None] * len(table)
    texts = {
        key: _texts(table[column.name]) if column.name in table.column_names else list(empty)
        for key, column in wanted.items()
    }
    present = frozenset(key for key, column in wanted.items() if column.name in table.column_names)
    return TextTable(texts, table.drop_columns([n for n in dict.fromkeys(names) if n in table.column_names]), present)


def is_parquet(url: str) -> bool:
    """Return whether a table's extension says Parquet."""
    return url.lower().endswith((".parquet", ".pq"))


def table_bytes(table: pa.Table, url: str) -> bytes:
    """Encode a table as the content of the file at a URL, in the format of its extension.

    Raises:
        DataError: columns of lists, in CSV.
    """
    if is_parquet(url):
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        return bytes(sink.getvalue())
    nested = [field.name for field in table.schema if pa.types.is_nested(field.type)]
    if nested:
        raise DataError(f"the columns {examples(nested)} contain lists, which CSV cannot store; write a .parquet table")
    return csv_bytes(table)


def _read_csv(url: str, data: bytes, text_columns: Sequence[str]) -> pa.Table:
    bad: list[str] = []

    def on_bad_row(row: Any) -> str:
        bad.append(f"line {row.number}: {row.actual_columns} columns instead of {row.expected_columns}: {row.text!r}")
        return "skip"

    header = data[: data.find(b"\n")] if b"\n" in data else data
    delimiter = max(_DELIMITERS, key=lambda mark: header.count(mark.encode()))
    table = pa.csv.read_csv(
        pa.BufferReader(data),
        # one thread: otherwise the numbers of bad rows are unknown
        read_options=pa.csv.ReadOptions(use_threads=False),
        parse_options=pa.csv.ParseOptions(delimiter=delimiter, invalid_row_handler=on_bad_row),
        convert_options=pa.csv.ConvertOptions(
            column_types=dict.fromkeys(text_columns, pa.string()),  # '01' and 'NA' are valid labels
            null_values=[""],
            strings_can_be_null=True,
        ),
    )
    if bad:
        raise DataError(f"{len(bad):,} rows of {url} are malformed:\n  - " + "\n  - ".join(bad[:20]))
    return table


def _texts(column: Any) -> list[str | None]:
    """Convert a column to texts: lists to JSON, and integers that a null made floats without '.0'."""
    kind = column.type
    if pa.types.is_list(kind):
        return [None if value is None else json.dumps(value, ensure_ascii=False) for value in column.to_pylist()]
    if pa.types.is_floating(kind):
        values = column.drop_null()
        if pc.all(pc.equal(values, pc.floor(values))).as_py() is not False:
            column = column.cast(pa.int64())
    column = column.cast(pa.string())
    return [value or None for value in column.to_pylist()]


def require_valid(problems: list[str], what: str, rows: Sequence[int]) -> None:
    """Add a problem with the number of affected rows and the first line numbers (the header is line 1)."""
    if rows:
        problems.append(f"{len(rows):,} {what}: line {examples(row + 2 for row in rows)}")


def csv_bytes(columns: Mapping[str, Sequence[Any]] | pa.Table) -> bytes:
    """Encode a CSV file in UTF-8; null is an empty field."""
    sink = pa.BufferOutputStream()
    table = columns if isinstance(columns, pa.Table) else pa.table({k: pa.array(v) for k, v in columns.items()})
    fields = [field.with_type(pa.string()) if pa.types.is_null(field.type) else field for field in table.schema]
    pa.csv.write_csv(table.cast(pa.schema(fields)), sink)
    return bytes(sink.getvalue())
