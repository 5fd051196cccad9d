"""A long COCO result file to columns, without an object for each number.

Almost every result file is a list of flat rows with the same keys in the same order. There, what is left when the
letters, quotes and brackets are taken away is a table of numbers, which Arrow reads some three times as fast as any
JSON reader makes objects. That it is so is checked byte by byte; where it is not, JSON is read as JSON.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from onlineml.evaluation.types import Floats, Ints

__all__ = ["Columns", "Layout"]

_NUMBER = b"0123456789.+-eE \t\r\n"  # what a number and the space around it are made of
_BLOCK = 2**20  # bytes: what one of Arrow's threads reads at a time
_KEYS = ("image_id", "category_id", "bbox", "score")


def _table() -> tuple[bytes, bytes]:
    """What becomes of each byte on the way from JSON to CSV, and the bytes that are left out."""
    becomes = bytearray(range(256))
    for before, after in zip(b"}:\t\r\n", b"\n,   ", strict=True):
        becomes[before] = after
    return bytes(becomes), bytes(set(range(256)) - set(_NUMBER + b":,}"))


_TO_CSV, _LEFT_OUT = _table()


class Columns(NamedTuple):
    """Some detections."""

    image_id: Ints
    category_id: Ints
    boxes_xywh: Floats
    score: Floats


def _values(column: Any) -> Any:
    """The numbers of an Arrow column without nulls; its own `to_numpy` would import pandas, half a second long."""
    dtypes = {"int64": np.int64, "double": np.float64}
    dtype = np.dtype(dtypes[str(column.type)])
    chunks = [np.frombuffer(c.buffers()[1], dtype, len(c), c.offset * dtype.itemsize) for c in column.chunks]
    return np.concatenate([np.zeros(0, dtype), *chunks])


class Layout:
    """The keys of a row, in order, and how a row looks without its numbers.

    Args:
        keys: the row's keys; four of them are those of a detection, the others have one number each.
        row: the row as it stands in the file.
    """

    def __init__(self, keys: list[str], row: bytes) -> None:
        self.keys = [key.encode() for key in keys]
        self.skeleton = row.translate(None, _NUMBER)
        # before each row stands the comma that parts it from the one before, and before each number what its key left
        self.names = ["before"]
        for key in keys:
            values = [f"bbox {i}" for i in range(4)] if key == "bbox" else [key]
            self.names += [f"key {key}", *values]

    @classmethod
    def of(cls, content: bytes) -> Layout | None:
        """That of the first row of a JSON list; None where it is no flat row of a detection."""
        begin, end = content.find(b"{"), content.find(b"}")
        row = content[begin : end + 1]
        try:
            first = json.loads(row)
        except (ValueError, RecursionError):
            return None
        if not isinstance(first, dict) or not first.keys() >= set(_KEYS) or b"\\" in row:
            return None
        bbox, others = first["bbox"], [value for key, value in first.items() if key != "bbox"]
        if not isinstance(bbox, list) or len(bbox) != 4 or not all(type(v) in {int, float} for v in (*bbox, *others)):
            return None
        return cls(list(first), row)

    def columns_or_rows(self, rows: bytes) -> Columns | bytes:
        """The columns of some rows with commas between them; the rows where they are not all laid out like this."""
        return self._columns(rows) or rows

    def _columns(self, rows: bytes) -> Columns | None:
        """None where they are not all laid out like this.

        Numbers are taken a little more freely than JSON does: ``01`` and ``1.`` are some.
        """
        import pyarrow as pa  # noqa: PLC0415
        from pyarrow import csv  # noqa: PLC0415

        n_rows = self._count(rows)
        if n_rows is None:
            return None
        types = {"image_id": pa.int64(), "category_id": pa.int64(), "score": pa.float64()}
        types |= {f"bbox {i}": pa.float64() for i in range(4)}
        try:
            table = csv.read_csv(
                pa.BufferReader(b"," + rows.rstrip().translate(_TO_CSV, _LEFT_OUT)),
                read_options=csv.ReadOptions(column_names=self.names, block_size=_BLOCK),
                convert_options=csv.ConvertOptions(column_types=types, include_columns=list(types), null_values=[]),
            )
        except pa.ArrowInvalid:
            return None
        if table.num_rows != n_rows or any(column.null_count for column in table.columns):
            return None
        values = {name: _values(table[name]) for name in types}
        boxes = np.stack([values[f"bbox {i}"] for i in range(4)], axis=1)
        return Columns(values["image_id"], values["category_id"], boxes, values["score"])

    def _count(self, rows: bytes) -> int | None:
        """How many rows there are; None where any is laid out otherwise."""
        found = rows.translate(None, _NUMBER)
        n_rows = (len(found) + 1) // (len(self.skeleton) + 1)
        if found != b",".join([self.skeleton] * n_rows):
            return None
        # the same letters in the same order; a key of the same length that has the same digits in their places is equal
        text = np.frombuffer(rows, np.uint8)
        quotes = np.flatnonzero(text == ord('"')).reshape(n_rows, len(self.keys), 2)
        begins, ends = quotes[:, :, 0] + 1, quotes[:, :, 1]
        if (ends - begins != [len(key) for key in self.keys]).any():
            return None
        for key, begin in zip(self.keys, begins.T, strict=True):
            for place, letter in enumerate(key):
                if letter in _NUMBER and (text[begin + place] != letter).any():
                    return None
        return n_rows
