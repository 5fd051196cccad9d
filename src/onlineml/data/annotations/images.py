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
        """Return the images with another table."""
        return replace(self, table=table)

    def divided(self, names: Collection[str]) -> tuple[Images, Images]:
        """Those whose ids are not among some, and those whose ids are."""
        if not names:
            return self, Images(self.table.slice(0, 0), self.places[:0])
        inside = mask_of(pc.is_in(self.table["image_id"], value_set=pa.array(list(names), pa.string())))
        return self.filtered(~inside), self.filtered(inside)

    def filtered(self, mask: npt.NDArray[np.bool_]) -> Images:
        """Those where a mask is true."""
        return Images(self.table.filter(pa.array(mask)), self.places[mask])

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


def all_images(
    imports: Sequence[tuple[int, pa.Table]], uploads: pa.Table, *, gone: Mapping[str, int], kind: AnnotationKind
) -> tuple[Images, Images]:
    """Every image that was imported or uploaded, and has an address; and those that have lost theirs.

    Args:
        imports: their places in the log and their tables.
        uploads: with the column ``place``.
        gone: by image id, the place of the last import that found nothing at its address.
        kind: of annotation.
    """
    pieces = [(np.full(len(table), place), table) for place, table in imports]
    if len(uploads) or not pieces:
        columns = {name: uploads[name].cast(dtype) for name, dtype in {**COLUMNS, **kind.columns}.items()}
        pieces.append((uploads["place"].to_numpy(), pa.table(columns)))
    whole = _concatenated([table for _, table in pieces])
    if len(imports) == 1 and len(pieces) == 1:  # a manifest's images are all different
        return Images(whole, pieces[0][0]), Images(whole.slice(0, 0), pieces[0][0][:0])
    n_imported = sum(len(table) for _, table in imports)
    places = np.concatenate([places for places, _ in pieces])
    return _one_row_each(whole, places, np.arange(len(whole)) < n_imported, gone=gone, kind=kind)


def _one_row_each(
    table: pa.Table,
    places: npt.NDArray[np.int64],
    imported: npt.NDArray[np.bool_],
    *,
    gone: Mapping[str, int],
    kind: AnnotationKind,
) -> tuple[Images, Images]:
    """The first row of each image, with the annotation of its last row that has one and the address of the last import.

    First and last are meant as the log has it, and within an import as the table has it.
    """
    order = np.argsort(places, kind="stable")
    codes = one_chunk(table["image_id"]).dictionary_encode().indices.to_numpy()[order]
    _, first = np.unique(codes, return_index=True)
    imports = _last_of_each(codes, np.flatnonzero(imported[order]), len(first))
    lost = _lost(table, places, order, codes, np.where(imports >= 0, imports, first), gone=gone)
    uploads = _last_of_each(codes, np.flatnonzero(~imported[order]), len(first))
    address = np.where((imports >= 0) & ((uploads < 0) | ~lost), imports, first)
    address = np.where(lost & (uploads >= 0), uploads, address)  # its bytes are in the project too
    lost &= uploads < 0
    labelled = _last_of_each(codes, np.flatnonzero(kind.is_annotated(table)[order]), len(first))
    source = np.where(labelled >= 0, labelled, first)
    in_order = np.argsort(first)
    first, address, source, lost = first[in_order], address[in_order], source[in_order], lost[in_order]
    kept = table.take(pa.array(order[first]))
    for names, rows in ((kind.value_columns(table), source), (["uri", "version"], address)):
        if (rows != first).any():
            for name in set(names) & set(table.column_names):
                column = table[name].take(pa.array(order[rows]))
                kept = kept.set_column(kept.column_names.index(name), name, column)
    images = Images(kept, places[order[source]])
    return (images.filtered(~lost), images.filtered(lost)) if lost.any() else (images, images.filtered(lost))


def _last_of_each(codes: npt.NDArray[np.int64], rows: npt.NDArray[np.int64], n: int) -> npt.NDArray[np.int64]:
    """(n,) of some rows the last one with each code; -1 where there is none."""
    last = np.full(n, -1)
    last[codes[rows]] = rows  # of several writes to one place the last one stays
    return last


def _lost(
    table: pa.Table,
    places: npt.NDArray[np.int64],
    order: npt.NDArray[np.int64],
    codes: npt.NDArray[np.int64],
    address: npt.NDArray[np.int64],
    *,
    gone: Mapping[str, int],
) -> npt.NDArray[np.bool_]:
    """(n,) whether another image has taken an image's address since, or nothing is there any more.

    An address stays lost if the image that took it lies elsewhere now.

    Args:
        table: all rows.
        places: of the rows in the log.
        order: of the rows by their places.
        codes: (N,) numbers of the images, in this order.
        address: (n,) for each image, the position in this order of the row that tells its address.
        gone: see `all_images`.
    """
    uris = one_chunk(table["uri"]).dictionary_encode().indices.to_numpy()[order]
    newest = _last_of_each(uris, np.arange(len(uris)), int(uris.max(initial=-1)) + 1)
    lost: npt.NDArray[np.bool_] = codes[newest[uris[address]]] != codes[address]
    if gone:
        rows = pa.array(order[address])
        at = pc.index_in(one_chunk(table["image_id"]).take(rows), value_set=pa.array(list(gone), pa.string()))
        ends = np.append(np.array(list(gone.values()), dtype=np.int64), -1)
        lost |= ends[at.fill_null(len(gone)).to_numpy()] >= places[order[address]]
    return lost


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
