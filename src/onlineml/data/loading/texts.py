"""Many texts in one piece of memory, which processes share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, overload

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Texts"]

_AT_ONCE = 65_536  # texts as Python objects


class Texts(Sequence[str]):
    """A sequence of texts, kept as an Arrow array.

    A list holds an object for each text, which counts its references: where processes share a list by forking, each
    copies it page by page as it reads. A million URLs are 100 MB, in each process.

    Args:
        values: N texts, also as a column of a table; null is ``""``.
    """

    def __init__(self, values: Iterable[str] | pa.Array | pa.ChunkedArray = ()) -> None:
        column = values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values, pa.large_string())
        column = pc.fill_null(column.cast(pa.large_string()), "")  # large: 20 million URLs are more than 2 GB
        if isinstance(column, pa.ChunkedArray):
            column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
        self._array = column

    def __len__(self) -> int:
        return len(self._array)

    @overload
    def __getitem__(self, place: int) -> str: ...

    @overload
    def __getitem__(self, place: slice) -> Texts: ...

    def __getitem__(self, place: int | slice) -> str | Texts:
        if isinstance(place, slice):
            return Texts(self._array[place])
        text: str = self._array[place].as_py()
        return text

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), _AT_ONCE):
            yield from self._array.slice(start, _AT_ONCE).to_pylist()

    def matching(self, pattern: str) -> Texts:
        """Return the texts in which a regular expression (RE2) is found."""
        return Texts(self._array.filter(pc.match_substring_regex(self._array, pattern)))
