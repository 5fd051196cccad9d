"""Annotations that hold for every copy of an image's bytes, wherever the copies came from."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    import numpy.typing as npt

    from onlineml.data.manifest.manifest import Manifest

__all__ = ["propagate_to_duplicates"]


def propagate_to_duplicates(manifest: Manifest, human_annotated: npt.NDArray[np.bool_]) -> Manifest:
    """The same images; where a person spoke of some copies of an image, the others have what that person said.

    Where people said different things of different copies nothing is changed: the check finds that they contradict each
    other. A copy of a deleted image stays as it is.

    Args:
        manifest: with sha256, of the images that could be read.
        human_annotated: (N,) where a person said what the image shows.
    """
    copies: dict[str, list[int]] = {}
    repeated = pc.value_counts(manifest.table["sha256"].drop_null())
    repeated = repeated.filter(pc.greater(repeated.field("counts"), 1)).field("values")
    among = np.zeros(0, dtype=bool)
    if len(repeated):
        among = pc.is_in(manifest.table["sha256"], value_set=repeated).to_numpy().astype(bool)
    for row in np.flatnonzero(among).tolist():
        copies.setdefault(manifest.table["sha256"][row].as_py(), []).append(row)
    columns = manifest.kind.value_columns(manifest.table)
    source = np.arange(len(manifest))
    for rows in copies.values():
        spoken = [row for row in rows if human_annotated[row]]
        if spoken and all(_values(manifest, row, columns) == _values(manifest, spoken[0], columns) for row in spoken):
            source[rows] = spoken[0]
    if (source == np.arange(len(manifest))).all():
        return manifest
    table = manifest.table
    for name in columns:
        table = table.set_column(table.column_names.index(name), name, table[name].take(pa.array(source)))
    return replace(manifest, table=table)


def _values(manifest: Manifest, row: int, columns: list[str]) -> list[Any]:
    return [manifest.table[name][row].as_py() for name in columns]
