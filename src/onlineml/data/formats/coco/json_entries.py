"""JSON list of objects as columns: only requested keys are decoded, the others stay raw."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa

from onlineml.storage.documents import json_value

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet

__all__ = ["Entries", "parse_object", "scalar_column"]

_NULL = b"null"


def parse_object(data: bytes) -> dict[str, msgspec.Raw]:
    """Parse the keys of a JSON object, without decoding their values.

    ``NaN`` and ``Infinity``, which Python writes but JSON does not allow, become null.

    Raises:
        ValueError, RecursionError, msgspec.MsgspecError: the data is not a JSON object.
    """
    try:
        return msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    except msgspec.DecodeError:
        plain = json_value(data, null_for_nan=True)
    return msgspec.json.decode(msgspec.json.encode(plain), type=dict[str, msgspec.Raw])


class Entries:
    """N objects of a JSON list.

    Args:
        raw: the list.

    Raises:
        msgspec.MsgspecError: ``raw`` is not a list of objects.
    """

    def __init__(self, raw: msgspec.Raw) -> None:
        self._rows = msgspec.json.decode(raw, type=list[dict[str, msgspec.Raw]])

    def __len__(self) -> int:
        return len(self._rows)

    def take(self, rows: list[int]) -> None:
        """Keep the objects at these positions."""
        self._rows = [self._rows[row] for row in rows]

    def same(self, one: int, other: int) -> bool:
        """Return whether two of the objects have identical text."""
        a, b = self._rows[one], self._rows[other]
        return a.keys() == b.keys() and all(bytes(a[key]) == bytes(b[key]) for key in a)

    def keys(self) -> frozenset[str]:
        """Return the keys of the first object."""
        return frozenset(self._rows[0]) if self._rows else frozenset()

    def values(self, key: str, rows: Sequence[int] | None = None) -> list[Any]:
        """Return the N values of a key, or those of some rows; None if it is absent."""
        taken = self._rows if rows is None else [self._rows[row] for row in rows]
        text = b"[" + b",".join([row.get(key, _NULL) for row in taken]) + b"]"
        values: list[Any] = json_value(text)
        return values

    def further(self, *, understood: AbstractSet[str], reserved: AbstractSet[str]) -> dict[str, pa.Array]:
        """Return a column for each other key whose values are all numbers, all texts or all booleans.

        Args:
            understood: keys that are read separately.
            reserved: keys that cannot be a column's name.
        """
        columns: dict[str, pa.Array] = {}
        for key in dict.fromkeys(key for row in self._rows for key in row):
            nested = any(memoryview(row[key])[0] in b"[{" for row in self._rows if key in row)
            if key and key not in understood and key not in reserved and not nested:
                column = scalar_column(self.values(key))
                if column is not None:
                    columns[key] = column
        return columns

    def rest(self, *, understood: AbstractSet[str]) -> list[dict[str, msgspec.Raw]]:
        """Return the raw values of each object except the understood keys."""
        return [{key: value for key, value in row.items() if key not in understood} for row in self._rows]


def scalar_column(values: list[Any]) -> pa.Array | None:
    """Return a column of numbers, texts or booleans; None for any other values, and if there are none."""
    kinds = {type(value) for value in values if value is not None}
    if not (kinds and (kinds in ({bool}, {str}) or kinds <= {int, float})):
        return None
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, OverflowError):  # an integer of more than 64 bits
        return None
