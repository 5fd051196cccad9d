"""Reading of the columns that a format needs from CSV or Parquet; labels and paths are read as text."""

from __future__ import annotations

import csv
import io as io_text
import json
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from onlineml.arguments.counted import count, tally
from onlineml.data.formats.encodings import utf8
from onlineml.data.manifest.schema import as_single_chunks, examples
from onlineml.errors import ConfigError, DataError
from onlineml.storage import io
from onlineml.storage.documents import parquet_table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = [
    "TableFile",
    "TextTable",
    "csv_bytes",
    "is_parquet",
    "key",
    "require_valid",
    "table_bytes",
]

_DELIMITERS = (",", ";", "\t", "|")
_SAMPLE_BYTES = 1 << 18


@dataclass(frozen=True)
class TextTable:
    """Requested columns as texts (None if empty or absent), and the other columns unchanged.

    The key of a requested column is in `found` with its name in the table, if it is there.
    """

    texts: dict[str, list[str | None]]
    others: pa.Table
    found: dict[str, str]

    @property
    def present(self) -> frozenset[str]:
        """The keys of the requested columns that the table has."""
        return frozenset(self.found)


def key(name: str) -> str:
    """Return a column's name without case, blanks and punctuation: ``"X_Min "`` and ``"xmin"`` are one."""
    return "".join(filter(str.isalnum, name.casefold()))


class TableFile:
    """A CSV or Parquet table whose columns are known by name, before its cells are converted.

    Attributes:
        where: the table, for messages.
        names: of the columns, without blanks around them; those of a CSV file without a header are given.
        has_header: whether the first line of a CSV file holds names.
    """

    def __init__(self, where: str, content: bytes | pa.Table, *, names: Sequence[str] | None = None) -> None:
        """Look at the header.

        Raises:
            DataError: the table cannot be read.
        """
        self.where = where
        self.has_header = names is None
        if isinstance(content, bytes) and is_parquet(where):
            content = parquet_table(content, where, error=DataError)
        self._content = content if isinstance(content, pa.Table) else utf8(content, where)
        given = self._content.column_names if isinstance(self._content, pa.Table) else self.first_row
        if not given and isinstance(self._content, bytes):
            raise DataError(f"{where} is not a readable table: it is empty")
        self.names = [name.strip() for name in given] if names is None else list(names)

    @classmethod
    def at(cls, url: str, *, options: Mapping[str, Any] | None) -> TableFile:
        """Read the file at a URL; its format depends on the extension (``.parquet`` or ``.pq``; all else is CSV)."""
        return cls(url, io.read_bytes(url, storage_options=options))

    @property
    def first_row(self) -> list[str]:
        """The cells of the first line of a CSV file; none for other tables."""
        return [] if isinstance(self._content, pa.Table) else _first_row(self._content)

    def without_header(self, names: Sequence[str]) -> TableFile:
        """Return a CSV file whose first line is no header, with names for its columns."""
        return TableFile(self.where, self._content, names=names)

    @cached_property
    def sample(self) -> pa.Table:
        """The first rows, with the types that their values have."""
        if isinstance(self._content, bytes) and len(self._content) > _SAMPLE_BYTES:
            head = self._content[: self._content.rfind(b"\n", 0, _SAMPLE_BYTES) + 1]
            return TableFile(self.where, head, names=None if self.has_header else self.names).sample
        return self._table([]).slice(0, 1000)

    def sampled(self, name: str) -> Any:
        """Return the first rows of the first column of a name: several columns may have none."""
        return self.sample.column(self.sample.column_names.index(name))

    def read(self, wanted: Mapping[str, str]) -> TextTable:
        """Read the cells.

        Args:
            wanted: the names of the columns to read as text, by the key under which they are returned.

        Raises:
            DataError: rows are malformed (all are named).
        """
        found = {own: name for own, name in wanted.items() if name in self.names}
        table = self._table(list(found.values()))
        empty: list[str | None] = [None] * len(table)
        texts = {own: list(empty) if own not in found else self._texts(table, found[own]) for own in wanted}
        for own in found:
            if own != "path":  # whose blanks may be those of a file's name
                texts[own] = [value and (value.strip() or None) for value in texts[own]]
        dropped = {*found.values(), *_index_names(table)}
        kept = [place for place, name in enumerate(table.column_names) if name not in dropped]  # several may have none
        return TextTable(texts, table.select(kept), found)

    def _table(self, text_columns: Sequence[str]) -> pa.Table:
        repeated = [name for name, times in Counter(self.names).items() if times > 1 and name]
        if repeated:
            raise DataError(
                f"{self.where} has several columns of the same name: {examples(repeated)}; rename or remove all but one"
            )
        if isinstance(self._content, pa.Table):
            table = self._content.rename_columns(self.names)
        else:
            table = _arrow(self.where, _read_csv, self, self._content, text_columns)
        table = as_single_chunks(table.replace_schema_metadata(None))
        return pa.table([_plain(column) for column in table.columns], names=table.column_names)

    def _texts(self, table: pa.Table, name: str) -> list[str | None]:
        try:
            return _texts(table[name])
        except pa.ArrowException as error:
            inside = "images inside a table cannot be read, save them as files: "
            reason = f"{inside if pa.types.is_struct(table[name].type) else ''}{error}"
            raise DataError(
                f"the column {name!r} of {self.where} holds {table[name].type}, expected texts or numbers: {reason}"
            ) from error


def _arrow(where: str, read: Callable[..., pa.Table], *arguments: Any) -> pa.Table:
    try:
        return read(*arguments)
    except pa.ArrowInvalid as error:
        raise DataError(f"{where} is not a readable table: {error}") from error


def _index_names(table: pa.Table) -> list[str]:
    """Return the names of columns without a name: the index of a data frame, or what follows a last separator."""
    nameless = [name for name in table.column_names if not name or name.startswith("Unnamed:")]
    return [n for n in nameless if not n or table[n].to_pylist() == list(range(len(table)))]


def _plain(column: Any) -> Any:
    """Return a column with Arrow's ordinary type of texts or lists instead of the large ones and the views."""
    kind = column.type
    if kind in {pa.large_string(), pa.string_view()}:
        return column.cast(pa.string())
    if pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return column.cast(pa.list_(pa.string() if kind.value_type == pa.large_string() else kind.value_type))
    return column


def _first_row(data: bytes) -> list[str]:
    text = data.decode("utf-8", "ignore")  # the beginning of a file may end inside a character
    return next(csv.reader(io_text.StringIO(text, newline=""), delimiter=_delimiter(data)), [])


def _delimiter(data: bytes) -> str:
    header = data[: data.find(b"\n")] if b"\n" in data else data
    return max(_DELIMITERS, key=lambda mark: header.count(mark.encode()))


def is_parquet(url: str) -> bool:
    """Return whether a table's extension says Parquet."""
    return url.lower().endswith((".parquet", ".pq"))


def table_bytes(table: pa.Table, url: str) -> bytes:
    """Encode a table as the content of the file at a URL, in the format of its extension.

    Raises:
        ConfigError: the extension is neither of CSV nor of Parquet.
        DataError: columns of lists, in CSV.
    """
    if is_parquet(url):
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        return bytes(sink.getvalue())
    if not url.lower().endswith(".csv"):
        raise ConfigError(
            f"{url}: expected the name of a table that ends in .csv or .parquet, which says how to write it"
        )
    nested = [field.name for field in table.schema if pa.types.is_nested(field.type)]
    if nested:
        raise DataError(f"the columns {examples(nested)} contain lists, which CSV cannot store; write a .parquet table")
    return csv_bytes(table)


def _read_csv(file: TableFile, data: bytes, text_columns: Sequence[str]) -> pa.Table:
    bad: list[str] = []

    def on_bad_row(row: Any) -> str:
        bad.append(f"line {row.number}: {row.actual_columns} columns instead of {row.expected_columns}: {row.text!r}")
        return "skip"

    table = pa.csv.read_csv(
        pa.BufferReader(data),
        # one thread: otherwise the numbers of bad rows are unknown
        read_options=pa.csv.ReadOptions(
            use_threads=False, column_names=file.names, skip_rows_after_names=int(file.has_header)
        ),
        parse_options=pa.csv.ParseOptions(delimiter=_delimiter(data), invalid_row_handler=on_bad_row),
        convert_options=pa.csv.ConvertOptions(
            column_types=dict.fromkeys(text_columns, pa.string()),  # '01' and 'NA' are valid labels
            null_values=[""],
            strings_can_be_null=True,
        ),
    )
    if bad:
        raise DataError(
            f"{count(len(bad), f'row of {file.where} is', f'rows of {file.where} are')} malformed:\n  - "
            + "\n  - ".join(bad[:20])
        )
    return table


def _texts(column: Any) -> list[str | None]:
    """Convert a column to texts: lists to JSON, and integers that a null made floats without '.0'."""
    kind = column.type
    if pa.types.is_list(kind):
        return [None if value is None else json.dumps(value, ensure_ascii=False) for value in column.to_pylist()]
    if pa.types.is_floating(kind):
        column = pc.if_else(pc.is_nan(column), None, column)
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        values = column.drop_null()
        if pc.all(pc.equal(values, pc.floor(values))).as_py() is not False:
            column = column.cast(pa.int64())
    column = column.cast(pa.string())
    return [value or None for value in column.to_pylist()]


def require_valid(problems: list[str], what: str, rows: Sequence[int], first_line: int = 2) -> None:
    """Add a problem with the number of affected rows and the numbers of the first lines."""
    if rows:
        problems.append(f"{tally(len(rows), what)}: line {examples(row + first_line for row in rows)}")


def csv_bytes(columns: Mapping[str, Sequence[Any]] | pa.Table) -> bytes:
    """Encode a CSV file in UTF-8; null is an empty field."""
    sink = pa.BufferOutputStream()
    table = columns if isinstance(columns, pa.Table) else pa.table({k: pa.array(v) for k, v in columns.items()})
    fields = [field.with_type(pa.string()) if pa.types.is_null(field.type) else field for field in table.schema]
    pa.csv.write_csv(table.cast(pa.schema(fields)), sink)
    return bytes(sink.getvalue())
