"""The entries of an annotation log as a table, and which of them are in effect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from onlineml.errors import StorageError
from onlineml.storage.log.table import ENTRY, REST, entries_of, table_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy.typing as npt

__all__ = ["CLAIM_EVENTS", "EVENTS", "Entries", "Rows", "log_table", "mask_of", "one_chunk", "positions", "taken"]

EVENTS = (
    "imported",
    "uploaded",
    "suggested",
    "accepted",
    "corrected",
    "skipped",
    "deleted",
    "restored",
    "class_added",
    "class_renamed",
    "class_merged",
    "class_split",
    "moved",
    "frozen",
    "undone",
)
CLAIM_EVENTS = ("uploaded", "accepted", "corrected")  # with a person's annotation of an image
_FEW = 100  # rows that are faster to pick one by one
_CHUNK = 100_000  # rows whose JSON is parsed at once

if TYPE_CHECKING:
    Rows = npt.NDArray[np.int64]  # places in the log's table, rising
else:
    Rows = np.ndarray


def log_table(entries: Iterable[tuple[str, Mapping[str, Any]]]) -> pa.Table:
    """The table of entries, in the order of their ids.

    Raises:
        StorageError: a record is invalid.
    """
    listed = list(entries)
    try:
        return table_of(listed)
    except TypeError as err:
        wrong = next(entry for entry, record in listed if not isinstance(record, dict))
        raise StorageError(f"entry {wrong} of the annotations is damaged: {err}") from err


def mask_of(values: Any) -> npt.NDArray[np.bool_]:
    """Convert Arrow booleans to an array; null is false."""
    return np.asarray(pc.fill_null(values, False).to_numpy(zero_copy_only=False), dtype=bool)


def taken(column: Any, rows: Rows) -> Any:
    """Take values of a chunked column, without Arrow's copy into one chunk."""
    if not len(rows) or (np.diff(rows) == 1).all():
        return column.slice(int(rows[0]) if len(rows) else 0, len(rows))
    if len(rows) > _FEW:
        return column.take(pa.array(rows))
    return pa.chunked_array([chunk for row in rows for chunk in column.slice(int(row), 1).chunks], column.type)


def positions(names: Sequence[str], column: Any) -> npt.NDArray[np.int64]:
    """Return the positions of names in a column of unique names; -1 for a missing name.

    Args:
        names: (N,), may be repeated.
        column: Arrow texts, possibly a million: for a few names it is scanned without building an index.
    """
    wanted = pa.array(names, pa.string())
    if len(wanted) > _FEW:
        return np.asarray(pc.index_in(wanted, value_set=column).fill_null(-1).to_numpy(), dtype=np.int64)
    different = pc.unique(wanted)
    at = pc.index_in(column, value_set=different)
    found = np.full(len(different) + 1, -1)
    found[at.drop_null().to_numpy()] = np.flatnonzero(mask_of(at.is_valid()))
    return found[pc.index_in(wanted, value_set=different).to_numpy()] if len(wanted) else found[:0]


def one_chunk(column: Any) -> pa.Array:
    """A column as one array; older releases of Arrow cannot combine zero chunks."""
    if not isinstance(column, pa.ChunkedArray):
        return column
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


class Entries:
    """The content of the log, by event.

    Args:
        log: see `onlineml.storage.log.table`.
        claim_events: the events with a person's annotation of an image, of the kind of annotation.

    Raises:
        StorageError: an entry has an unknown event.
    """

    def __init__(self, log: pa.Table, *, claim_events: Sequence[str] = CLAIM_EVENTS) -> None:
        self.log = log
        self._columns = dict(zip(log.column_names, log.columns, strict=True))
        self.claim_events = tuple(claim_events)
        self._events = tuple(dict.fromkeys((*EVENTS, *claim_events)))
        self._event = self._checked_events()
        self.live = self._in_effect()

    def __len__(self) -> int:
        return int(self.log.num_rows)

    def _checked_events(self) -> npt.NDArray[np.int8]:
        codes = pc.index_in(self.texts("event"), value_set=pa.array(self._events))
        if codes.null_count:
            row = np.flatnonzero(codes.is_null().to_numpy())[0]
            event = self.record(row).get("event")
            raise StorageError(
                f"entry {self.entry(row)} of the annotations has the event {event!r}, which this version of onlineml "
                "does not know; update onlineml"
            )
        return np.asarray(codes.to_numpy(), dtype=np.int8)

    def _in_effect(self) -> npt.NDArray[np.bool_]:
        """Return a mask of the entries that are not undone; an undone undo has no effect."""
        live = np.ones(len(self), dtype=bool)
        undoings = self.rows("undone", live=False)
        targets = [self.list_of_texts(row, "undoes") for row in undoings]
        named = sorted({target for listed in targets for target in listed})
        found = pc.index_in(self.log[ENTRY], value_set=pa.array(named, pa.string())) if named else None
        places: dict[str, int] = {}
        if found is not None:
            known = np.flatnonzero(found.is_valid().to_numpy())
            places = {named[code]: int(place) for place, code in zip(known, found.drop_null().to_pylist(), strict=True)}
        for row, listed in zip(reversed(undoings), reversed(targets), strict=True):
            if live[row]:
                for target in listed:
                    if places.get(target, row) < row:  # later entries cannot be undone
                        live[places[target]] = False
        return live

    # ---- query ----

    def rows(self, *events: str, live: bool = True) -> Rows:
        """The entries of some events; ``live=False`` includes undone ones."""
        chosen = np.zeros(len(self._events), dtype=bool)
        chosen[[self._events.index(event) for event in events]] = True
        wanted = chosen[self._event]
        return np.flatnonzero(wanted & self.live if live else wanted)

    def claims(self, *, live: bool = True) -> Rows:
        """The entries with people's annotations; ``live=False`` includes undone ones."""
        return self.rows(*self.claim_events, live=live)

    def texts(self, key: str, rows: Rows | None = None) -> Any:
        """Return the text values of a key, null if not a text; of all entries, or of some."""
        column = self._columns.get(key)
        if column is None:
            return pa.chunked_array([pa.nulls(len(self) if rows is None else len(rows), pa.string())])
        return column if rows is None else taken(column, rows)

    def ids(self, rows: Rows) -> Any:
        """Some entries' ids."""
        return taken(self.log[ENTRY], rows)

    def entry(self, row: int) -> str:
        """An entry's id."""
        return str(self.log[ENTRY][int(row)].as_py())

    def event(self, row: int) -> str:
        """An entry's event."""
        return str(self._events[self._event[row]])

    def record(self, row: int) -> dict[str, Any]:
        """An entry's record."""
        return self.records([row])[0]

    def records(self, rows: Rows | list[int]) -> list[dict[str, Any]]:
        """Some entries' records."""
        columns = [taken(column, np.asarray(rows, dtype=np.int64)) for column in self.log.columns]
        return [record for _, record in entries_of(pa.table(columns, names=self.log.column_names))]

    # ---- required ----

    def needed(self, key: str, rows: Rows) -> Any:
        """As `texts`, for required values.

        Raises:
            StorageError: an entry lacks the value; the message names it.
        """
        column = self.texts(key, rows)
        if column.null_count:
            self.damaged(rows[np.flatnonzero(column.is_null().to_numpy())[0]], f"lacks {key!r}, or it is not a text")
        return column

    def nullable(self, key: str, rows: Rows) -> Any:
        """As `needed`, but an explicit null is allowed.

        Raises:
            StorageError: a record lacks the key, or has another value; the message names it.
        """
        column = self.texts(key, rows)
        absent = np.flatnonzero(column.is_null().to_numpy())
        rest = taken(self.log[REST], rows[absent])
        for number in np.flatnonzero(~self._mentions(rest, f'"{key}":null')):
            record = self.record(rows[absent[number]])
            if key not in record or record[key] is not None:
                self.damaged(rows[absent[number]], f"lacks {key!r}, or it is not a text")
        return column

    @staticmethod
    def _mentions(rest: Any, text: str) -> npt.NDArray[np.bool_]:
        return mask_of(pc.match_substring(rest, text))

    def mentions(self, key: str, rows: Rows) -> npt.NDArray[np.bool_]:
        """(N,) whether records may have a value other than text under a key; False is certain."""
        return self._mentions(taken(self.log[REST], rows), f'"{key}":')

    def text_of(self, row: int, key: str) -> str:
        """A text in one record.

        Raises:
            StorageError: it is missing; the message names the entry.
        """
        return str(self.needed(key, np.array([row]))[0].as_py())

    def optional_text(self, row: int, key: str) -> str | None:
        """A text in one record; None if it is missing, or another value."""
        found: str | None = self.texts(key, np.array([row]))[0].as_py()
        return found

    def list_of_texts(self, row: int, key: str) -> list[str]:
        """A list in one record.

        Raises:
            StorageError: it is missing; the message names the entry.
        """
        value = self.record(row).get(key)
        if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
            self.damaged(row, f"lacks {key!r}, or it is not a list of texts")
        return list(value)

    def parsed(self, rows: Rows, schema: pa.Schema) -> pa.Table:
        """Return the values of records that are not texts, by the keys of a schema; null if missing.

        Raises:
            StorageError: a value has another type; the message names its entry.
        """
        tables = [self._parsed(rows[start : start + _CHUNK], schema) for start in range(0, len(rows), _CHUNK)]
        return pa.concat_tables([schema.empty_table(), *tables])

    def _parsed(self, rows: Rows, schema: pa.Schema) -> pa.Table:
        lines = taken(self.log[REST], rows).fill_null("{}").to_pylist()
        try:
            return _json_table(lines, schema)
        except pa.ArrowInvalid as err:
            for row, line in zip(rows, lines, strict=True):
                try:
                    _json_table([line], schema)
                except pa.ArrowInvalid as own:
                    self.damaged(row, str(own), own)
            raise StorageError(f"entries of the annotations are damaged: {err}") from err

    def damaged(self, row: int, why: str, cause: Exception | None = None) -> NoReturn:
        """Raise StorageError about an entry."""
        raise StorageError(f"entry {self.entry(row)} of the annotations is damaged: it {why}") from cause


def _json_table(lines: list[str], schema: pa.Schema) -> pa.Table:
    content = "\n".join(lines).encode()
    longest = max(map(len, lines)) * 4 + 16  # of UTF-8; no line may be longer than a block
    return pj.read_json(
        pa.BufferReader(content),
        read_options=pj.ReadOptions(use_threads=False, block_size=max(longest, 1 << 20)),
        parse_options=pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore"),
    )
