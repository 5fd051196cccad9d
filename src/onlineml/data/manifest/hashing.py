"""The hash that names a dataset version: what is trained on, in any order of rows, wherever the files are."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from onlineml.data.manifest.schema import COLUMNS

if TYPE_CHECKING:
    from hashlib import _Hash

__all__ = ["manifest_hash"]

# Where an image lies, what was learnt by reading it, and the size that its boxes were drawn on, with which it agrees or
# is left out: not what the dataset says.
_NOT_HASHED = {"uri", "version", "sha256", "width", "height", "declared_width", "declared_height"}


def manifest_hash(table: pa.Table, *, class_names: tuple[str, ...], task: str) -> str:
    """64 hex digits over the task, the class names in order, and all rows in order of their image_id.

    Each column enters as its name, a canonical type (integers of any width are alike), which rows are null, and the
    values, with lengths before texts and lists, so that no two different tables have the same bytes. A further column
    that is null everywhere says nothing, and does not enter.

    Args:
        table: a normalised manifest table: one chunk a column, image_id unique.
        class_names: in the order of their ids.
        task: such as ``"classification"``.
    """
    silent = {name for name in table.column_names if name not in COLUMNS and table[name].null_count == len(table)}
    names = sorted(name for name in table.column_names if name not in _NOT_HASHED and name not in silent)
    order = pc.sort_indices(table["image_id"])
    digest = sha256()
    _text(
        digest, json.dumps({"schema": 1, "task": task, "class_names": class_names, "columns": names, "n": len(table)})
    )
    for name in names:
        column = table[name].take(order)
        _column(digest, column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column)
    return digest.hexdigest()


def _text(digest: _Hash, text: str) -> None:
    data = text.encode()
    digest.update(len(data).to_bytes(8, "little") + data)


def _column(digest: _Hash, array: Any) -> None:
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    kind = array.type
    if pa.types.is_dictionary(kind):
        array = array.dictionary_decode()
        kind = array.type
    if pa.types.is_null(kind):
        array, kind = array.cast(pa.string()), pa.string()
    digest.update(np.packbits(array.is_valid().to_numpy(zero_copy_only=False)).tobytes())
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        _texts(digest, "text", array.cast(pa.large_string()))
    elif pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        _texts(digest, "bytes", array.cast(pa.large_binary()))
    elif pa.types.is_boolean(kind) or pa.types.is_integer(kind):
        _text(digest, "bool" if pa.types.is_boolean(kind) else "integer")
        wide = pa.uint64() if pa.types.is_uint64(kind) else pa.int64()
        digest.update(array.cast(wide).fill_null(0).to_numpy().astype("<i8").tobytes())
    elif pa.types.is_floating(kind):
        _text(digest, "float")
        values = array.cast(pa.float64()).fill_null(0.0).to_numpy().astype("<f8") + 0.0  # -0.0 becomes 0.0
        values[np.isnan(values)] = np.nan  # one of the many bit patterns of nan
        digest.update(values.tobytes())
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        _text(digest, "list")
        digest.update(pc.list_value_length(array).cast(pa.int64()).fill_null(0).to_numpy().astype("<i8").tobytes())
        _column(digest, pc.list_flatten(array))
    else:  # dates, decimals, structs: rare, so by the text of each value
        _text(digest, str(kind))
        _texts(digest, "repr", pa.array([repr(value) for value in array.to_pylist()], pa.large_string()))


def _texts(digest: _Hash, kind: str, array: Any) -> None:
    _text(digest, kind)
    array = array.fill_null(b"" if pa.types.is_large_binary(array.type) else "")
    if not len(array):
        return
    _, offsets_buffer, data = array.buffers()
    offsets = np.frombuffer(offsets_buffer, np.int64)[array.offset : array.offset + len(array) + 1]
    digest.update(np.diff(offsets).astype("<i8").tobytes())
    if data is not None:
        digest.update(memoryview(data)[offsets[0] : offsets[-1]])
