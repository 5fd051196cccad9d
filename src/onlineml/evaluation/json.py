"""Lossless conversion of scores to JSON and back: undefined numbers (nan) are null."""

from __future__ import annotations

import base64
import dataclasses
import json
import math
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from onlineml.errors import DataError

if TYPE_CHECKING:
    from onlineml.evaluation.classification.tables import ClassTable, Reliability
    from onlineml.evaluation.types import Array

__all__ = ["cells", "column_of", "number", "numbers", "pack", "parsed", "plain", "rows_of", "unpack"]

_INTS = ("support", "predicted", "n")


def parsed(text: str | bytes, *, expected: str, version: int) -> dict[str, Any]:
    """Parse a JSON text of the expected format.

    Raises:
        DataError: the text is not JSON, is of another kind, or is from a later version of onlineml.
    """
    try:
        content = json.loads(text)
    except ValueError as error:
        msg = f"the evaluation is not JSON ({error}); expected {expected!r} as written by to_json"
        raise DataError(msg) from error
    kind = content.get("format") if isinstance(content, dict) else None
    if kind != expected or content.get("format_version", 0) > version:
        found = f"format {kind!r}, version {content.get('format_version') if isinstance(content, dict) else None}"
        msg = f"expected {expected!r} up to version {version}, found {found}; update onlineml or pass another file"
        raise DataError(msg)
    return dict(content)


def rows_of(table: ClassTable | Reliability, *, rename: dict[str, str] | None = None) -> list[dict[str, Any]]:
    """Convert a table of columns to one dict per row."""
    columns = {f.name: getattr(table, f.name) for f in dataclasses.fields(table)}  # type: ignore[arg-type]
    names = [(rename or {}).get(name, name) for name in columns]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def cells(confusion: Array) -> list[list[int]]:
    """Return [truth id, predicted id, count] of the cells that are not 0."""
    truths, predictions = np.nonzero(confusion)
    return np.stack([truths, predictions, confusion[truths, predictions]], axis=1).tolist()  # type: ignore[no-any-return]


def pack(array: Array) -> dict[str, Any]:
    """Encode an array losslessly: base64 of zlib of its bytes, little-endian."""
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    packed = base64.b64encode(zlib.compress(little.tobytes(), 1)).decode()
    return {"dtype": little.dtype.str, "shape": list(array.shape), "zlib_base64": packed}


def unpack(packed: dict[str, Any], *, dtypes: tuple[str, ...]) -> Array:
    """Decode an array written by `pack`, of one of the `dtypes`.

    Raises:
        DataError: it has another dtype.
    """
    if packed["dtype"] not in dtypes:
        msg = f"a packed array has dtype {packed['dtype']!r}; expected {' or '.join(dtypes)}"
        raise DataError(msg)
    dtype = np.dtype(packed["dtype"])
    data = zlib.decompress(base64.b64decode(packed["zlib_base64"]))
    return np.frombuffer(data, dtype).reshape(packed["shape"]).astype(dtype.newbyteorder("="))


def plain(value: Any) -> Any:
    """Convert to JSON values: arrays to lists, nan to None."""
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def number(value: float | None) -> float:
    """Return a number, nan for None."""
    return float("nan") if value is None else float(value)


def column_of(rows: list[dict[str, Any]], name: str) -> Array:
    """Rebuild a column from the result of `rows_of`: counts are int64, others float64; (n, 2) for an interval."""
    if name.endswith("_interval"):
        return np.array([[number(v) for v in row[name]] for row in rows]).reshape(len(rows), 2)
    values = [row[name] for row in rows]
    return np.array(values, np.int64) if name in _INTS else np.array([number(v) for v in values], np.float64)


def numbers(row: dict[str, Any], *names: str) -> dict[str, Any]:
    """Return the row with nan for null in the named fields."""
    return row | {name: number(row[name]) for name in names}
