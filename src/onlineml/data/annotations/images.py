"""The images of a project, from the tables that were imported and the uploads: one row each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from onlineml.data.annotations.entries import mask_of, one_chunk
from onlineml.data.manifest.boxes import lists_of
from onlineml.data.manifest.schema import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import numpy.typing as npt

    from onlineml.data.kinds.base import AnnotationKind

__all__ = ["Images", "all_images", "renamed"]


@dataclass(frozen=True, eq=False)
class Images:
    """Images, and what their state stands on.

    Attributes:
        table: a row each, with the columns of a manifest.
        places: (N,) in the log, of the entry that says what each shows.
    """

    table: pa.Table
    places: npt.NDArray[np.int64]

    def with_table(self, table: pa.Table) -> Images:
        """The same images with other values."""
        return replace(self, table=table)

    def divided(self, names: Collection[str]) -> tuple[Images, Images]:
        """Those whose ids are not among some, and those whose ids are."""
        if not names:
            return self, Images(self.table.slice(0, 0), self.places[:0])
        inside = mask_of(pc.is_in(self.table["image_id"], value_set=pa.array(list(names), pa.string())))
        return (
            Images(self.table.filter(pa.array(~inside)), self.places[~inside]),
            Images(self.table.filter(pa.array(inside)), self.places[inside]),
        )

    def replaced(self, rows: npt.NDArray[np.int64], values: Mapping[str, Any], places: npt.NDArray[np.int64]) -> Images:
        """The same images with other values in some rows and columns."""
        own = self.places.copy()
        own[rows] = places
        source = np.arange(len(self.table))
        source[rows] = len(self.table) + np.arange(len(rows))
        table = self.table
        for name, value in values.items():
            column = table[name]
            given = value if isinstance(value, pa.Array | pa.ChunkedArray) else pa.array(value, column.type)
            chunks = given.chunks if isinstance(given, pa.ChunkedArray) else [given]
            joined = pa.chunked_array([*column.chunks, *chunks], column.type).take(pa.array(source))
            table = table.set_column(table.column_names.index(name), name, joined)
        return Images(table, own)


def all_images(imports: Sequence[tuple[int, pa.Table]], uploads: pa.Table, *, kind: AnnotationKind) -> Images:
    """Every image that was imported or uploaded.

    Args:
        imports: their places in the log and their tables.
        uploads: with the column ``place``.
        kind: of annotation.
    """
    pieces = [(np.full(len(table), place), table) for place, table in imports]
    if len(uploads) or not pieces:
        columns = {name: uploads[name].cast(dtype) for name, dtype in {**COLUMNS, **kind.columns}.items()}
        pieces.append((uploads["place"].to_numpy(), pa.table(columns)))
    whole = _concatenated([table for _, table in pieces])
    if len(imports) == 1 and len(pieces) == 1:  # a manifest's images are all different
        return Images(whole, pieces[0][0])
    return _one_row_each(whole, np.concatenate([places for places, _ in pieces]), kind)


def _one_row_each(table: pa.Table, places: npt.NDArray[np.int64], kind: AnnotationKind) -> Images:
    """The first row of each image, with the annotation of its last row that has one.

    First and last are meant as the log has it, and within an import as the table has it.
    """
    order = np.argsort(places, kind="stable")
    codes = one_chunk(table["image_id"]).dictionary_encode().indices.to_numpy()[order]
    values, first = np.unique(codes, return_index=True)
    if len(values) == len(codes):
        in_order = bool((np.diff(places) >= 0).all())
        return Images(table, places) if in_order else Images(table.take(pa.array(order)), places[order])
    labelled = np.flatnonzero(kind.is_annotated(table)[order])
    last = np.full(len(values), -1)
    last[codes[labelled]] = labelled  # of several writes to one place the last one stays
    first = np.sort(first)
    source = np.where(last[codes[first]] >= 0, last[codes[first]], first)
    kept = table.take(pa.array(order[first]))
    for name in kind.value_columns(table):
        kept = kept.set_column(kept.column_names.index(name), name, table[name].take(pa.array(order[source])))
    return Images(kept, places[order[source]])


def _concatenated(tables: Sequence[pa.Table]) -> pa.Table:
    """One table of all columns; a further column whose types do not fit together becomes text."""
    for name in {name for table in tables for name in table.column_names}:
        fields = [pa.schema([table.schema.field(name)]) for table in tables if name in table.column_names]
        try:
            pa.unify_schemas(fields, promote_options="permissive")
        except (pa.ArrowTypeError, pa.ArrowInvalid):
            tables = [_as_text(table, name) for table in tables]
    return pa.concat_tables(tables, promote_options="permissive")


def _as_text(table: pa.Table, name: str) -> pa.Table:
    if name not in table.column_names:
        return table
    texts = pa.array([None if value is None else str(value) for value in table[name].to_pylist()], pa.string())
    return table.set_column(table.column_names.index(name), name, texts)


def renamed(table: pa.Table, lineage: Mapping[str, str]) -> pa.Table:
    """The same table with the present names of classes, given as present name by former name."""
    if not lineage:
        return table
    for name in ("label", "labels", "top_labels"):
        if name in table.column_names:
            column = table[name]
            chunks = [_renamed(chunk, lineage) for chunk in column.chunks]
            table = table.set_column(table.column_names.index(name), name, pa.chunked_array(chunks, column.type))
    return table


def _renamed(array: pa.Array, lineage: Mapping[str, str]) -> pa.Array:
    if pa.types.is_list(array.type):
        lengths = pc.list_value_length(array).fill_null(0).to_numpy(zero_copy_only=False)
        missing = array.is_null().to_numpy(zero_copy_only=False)
        return lists_of(_renamed(pc.list_flatten(array), lineage), lengths, missing)
    codes = pc.index_in(array, value_set=pa.array(list(lineage), pa.string()))
    return pc.coalesce(pa.array(list(lineage.values()), pa.string()).take(codes), array)
