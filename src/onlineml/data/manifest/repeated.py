"""Values of a column that occur more than once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["repeated_values", "rows_of_repeated"]


def repeated_values(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Return the values that occur more than once, in the order of their first appearance; null is none of them."""
    known = column.drop_null()
    counts = pc.value_counts(known.combine_chunks() if isinstance(known, pa.ChunkedArray) else known)
    return counts.filter(pc.greater(counts.field("counts"), 1)).field("values")


def rows_of_repeated(column: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """Return the rows whose value another row has as well, in order; rows without a value are none of them."""
    values = repeated_values(column)
    if not len(values):
        return np.zeros(0, np.int64)
    return np.flatnonzero(pc.is_in(column, value_set=values).to_numpy(zero_copy_only=False))
