"""Human annotations that apply to all copies of an image's bytes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from onlineml.data.manifest.repeated import rows_of_repeated

if TYPE_CHECKING:
    import numpy.typing as npt

    from onlineml.data.manifest.manifest import Manifest

__all__ = ["propagate_to_duplicates"]


def propagate_to_duplicates(manifest: Manifest, human_annotated: npt.NDArray[np.bool_]) -> Manifest:
    """Give all copies of an image the annotation that a person gave to some of them.

    Copies with different human annotations are not changed: the check reports the conflict.

    Args:
        manifest: with the sha256 of readable images.
        human_annotated: (N,) whether a person annotated the image.
    """
    copies: dict[str, list[int]] = {}
    for row in rows_of_repeated(manifest.table["sha256"]).tolist():
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
