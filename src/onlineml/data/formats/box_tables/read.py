"""Reader of tables with one row per box, in pixels or in shares of the upright image.

Pixels are edges from 0: a box from 0 to the image's width covers all of it. So TensorFlow's own tools read its table
(``xmin / width``), and Roboflow (``0,0,640,640`` is a whole image of 640 by 640), VoTT, DeepForest and keras-retinanet
theirs. Tables that ``xml_to_csv.py`` made from the XML of LabelImg hold the numbers of that XML, unchanged. LabelImg
draws on edges from 0, too, and raises 0 to 1; because its XML is in the name of Pascal VOC, which counts pixels from 1,
our reader of VOC takes 1 from the left and the upper edge: boxes from a table and from its XML differ by one pixel.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from onlineml.arguments.counted import count
from onlineml.data.formats.annotation_files import folder_splits
from onlineml.data.formats.box_tables.cells import Cells, read_cells
from onlineml.data.formats.box_tables.columns import BoxColumns, Layout, layout_of
from onlineml.data.formats.box_tables.coordinates import corners_of, fitting, share_rows
from onlineml.data.formats.box_tables.files import Home, ordered_classes, tables_of
from onlineml.data.formats.box_tables.write import OF_IMAGE
from onlineml.data.formats.boxes import DECLARED, OURS, BoxRows, boxes_table, identified, parts_holding
from onlineml.data.formats.parts import Parts, naturally_sorted
from onlineml.data.formats.tables.rows import ImageRows
from onlineml.data.images.policies import is_image_name
from onlineml.data.images.sizes import upright_sizes_hw
from onlineml.data.manifest.boxes import OPTIONAL_BOX_COLUMNS
from onlineml.data.manifest.examples import examples
from onlineml.errors import DataError
from onlineml.storage import io
from onlineml.storage.location import Location

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    import numpy.typing as npt

    from onlineml.data.formats.box_tables.files import TablePlace
    from onlineml.data.formats.csv import TableFile
    from onlineml.data.formats.format import Source

__all__ = ["read_box_table", "read_tables"]

_BY_USUAL_NAMES = BoxColumns()
_FALSE = {"false", "False", "FALSE", "0"}
_MANY = 0.05  # share of boxes that end before they begin, from which on the columns may be others


def read_box_table(source: Source, *, holds: str = "boxes_xyxy", names: BoxColumns = _BY_USUAL_NAMES) -> Parts:
    """Read a table of boxes, or those of several splits, see `Manifest.from_boxes`."""
    names = names if source.label is None else replace(names, label=source.label)
    return read_tables(source, tables_of(source), holds=holds, names=names)


def read_tables(
    source: Source,
    files: Sequence[tuple[TablePlace, TableFile]],
    *,
    holds: str,
    names: BoxColumns,
    notes: Sequence[str] = (),
) -> Parts:
    """Return the import of tables of boxes whose names are known.

    Args:
        source: gives the folder of the images and its listing.
        files: the tables. A column ``units`` of ``"pixels"`` or ``"shares"`` says what their boxes are.
        holds: ``"boxes_xyxy"`` or ``"labels"``.
        names: of columns.
        notes: for people.
    """
    tables = []
    for place, file in files:
        own_notes: list[str] = []
        layout = layout_of(file, names, own_notes)
        tables.append((place, layout, read_cells(layout, own_notes)))
    home = Home.of(source, [name for _, _, cells in tables for name in cells.texts["path"][:200] if name])
    read = [place.path or io.name(layout.file.where) for place, layout, _ in tables]
    told = [f"read as boxes from {', '.join(read)}", *home.notes]
    told, rows_of = [*(notes or told[:1]), *told[1:]], dict[str, BoxRows]()
    for place, layout, cells in tables:
        uris = home.located(cells.texts["path"], place, cells)
        cells.require_good()
        boxes = _corners(layout, cells, uris, home, source)
        rows = _box_rows(layout, cells, uris, boxes)
        cells.require_good()
        if place.split and not cells.has_split:
            rows.splits = [place.split] * len(rows.uris)
        rows_of[place.path or layout.file.where] = rows
        told += cells.notes
    rows_of = _without_unions(rows_of, {place.path: place.split for place, _, _ in tables}, told)
    where = ", ".join(layout.file.where for _, layout, _ in tables)
    table = _joined(list(rows_of.values()), where)
    table = identified(table, home.folder, where=where, storage_options=source.options, listing=home.listing)
    labels = {label for rows in rows_of.values() for label in rows.labels if label is not None}
    class_names = ordered_classes(source, tables[0][1], labels) or naturally_sorted(labels)
    here = {info.path for info in home.listing.files} - {place.path for place, _, _ in tables}
    unused = here - {*table["uri"].to_pylist()}
    if unnamed := sorted(filter(is_image_name, unused)):
        told.append(f"{count(len(unnamed), 'image is')} in no table, and left out: {examples(unnamed)}")
    n_ignored = home.listing.n_junk + len(unused)
    return parts_holding(Parts(table, class_names, home.folder, n_ignored, notes=tuple(dict.fromkeys(told))), holds)


# ---- coordinates ----


def _corners(layout: Layout, cells: Cells, uris: Sequence[str], home: Home, source: Source) -> npt.NDArray[np.float64]:
    """Return (R, 4) corners in pixels."""
    in_shares = _in_shares(cells)
    kinds = layout.kinds if in_shares or len(layout.kinds) == 1 else tuple(k for k in layout.kinds if k != "cxcywh")
    sizes_wh = np.ones((len(uris), 2))
    if in_shares or len(kinds) > 1:
        sizes_wh = _sizes_wh(layout, cells, uris, home, source)
    if len(kinds) > 1:
        kinds = tuple(fitting(cells.numbers, np.ones_like(sizes_wh) if in_shares else sizes_wh, kinds))
        if len(kinds) > 1:
            raise DataError(
                f"the columns {examples(layout.corners)} of {cells.where} may be any of {', '.join(kinds)}, as far as "
                f"boxes must lie inside their images; say which by box={kinds[-1]!r} (Manifest.from_boxes)"
            )
        cells.notes.append(f"the columns {', '.join(layout.corners)} are {kinds[0]}, by where their boxes lie")
    boxes = corners_of(cells.numbers, kinds[0])
    if in_shares:
        cells.notes.append("boxes are shares of their images; they were turned into pixels by the images' sizes")
        with np.errstate(over="ignore"):  # the check reports boxes that are not finite
            return np.asarray(boxes * np.concatenate([sizes_wh, sizes_wh], axis=1))
    turned = (boxes[:, 2:] < boxes[:, :2]).any(axis=1)
    if turned.sum() > _MANY * max(len(boxes), 1):
        cells.notes.append(
            f"{count(turned.sum(), 'box ends before it begins', 'boxes end before they begin')} in {cells.where}: "
            f"if {', '.join(layout.corners)} are not the corners x1, y1, x2, y2, say what they are by box= "
            "(Manifest.from_boxes)"
        )
    return boxes


def _in_shares(cells: Cells) -> bool:
    """Return whether boxes are shares of their images.

    Raises:
        DataError: some can only be shares, fewer only pixels.
    """
    if "units" in cells.others.column_names:
        units = set(cells.others["units"].to_pylist())
        if units in ({"pixels"}, {"shares"}):
            cells.others = cells.others.drop_columns(["units"])
            return units == {"shares"}
    shares, pixels = share_rows(cells.numbers)
    if shares.size > pixels.size > 0:
        lines = (pixels + cells.first_line).tolist()
        raise DataError(
            f"{count(len(shares), f'box of {cells.where} is', f'boxes of {cells.where} are')} in shares of the image "
            f"(0 to 1), and {count(len(lines), 'box')} in pixels: line {examples(lines)}; write all of them in one unit"
        )
    return bool(shares.size and not pixels.size)


def _sizes_wh(layout: Layout, cells: Cells, uris: Sequence[str], home: Home, source: Source) -> npt.NDArray[np.float64]:
    """Return (R, 2) width and height of each row's image, from the table or from the images; nan if not readable."""
    sizes = np.full((len(uris), 2), np.nan)
    if layout.sizes:
        declared = [_whole_sizes(cells.others[name].to_pylist()) for name in layout.sizes]
        sizes = np.array([[np.nan if own is None else own for own in column] for column in declared], dtype=float).T
    unknown = np.flatnonzero(np.isnan(sizes).any(axis=1)).tolist()
    wanted = list(dict.fromkeys(uris[row] for row in unknown))
    urls = [Location(io.join(home.folder, uri) if home.folder else uri, source.options) for uri in wanted]
    read = dict(zip(wanted, upright_sizes_hw(urls)[:, ::-1].tolist() if urls else [], strict=True))
    for row in unknown:
        sizes[row] = [side or np.nan for side in read[uris[row]]]
    return sizes


def _whole_sizes(values: Sequence[Any]) -> list[int | None]:
    whole = [value if isinstance(value, int | float) and 1 <= value < 2**31 else None for value in values]
    return [None if value is None else int(value) for value in whole]


# ---- rows ----


def _box_rows(layout: Layout, cells: Cells, uris: Sequence[str], boxes: npt.NDArray[np.float64]) -> BoxRows:
    """Group the rows by image, in the order in which the images first occur."""
    images = ImageRows(uris, cells.problems, first_line=cells.first_line)
    told, texts = cells.told, cells.texts
    lengths = np.bincount(images.of_row[told], minlength=len(images.first))
    images.report("rows declare no object, but other rows of the same image do", ~told & (lengths[images.of_row] > 0))
    order = np.flatnonzero(told)[np.argsort(images.of_row[told], kind="stable")]
    annotated = images.one_each("annotated", texts["annotated"])
    first = [uris[row] for row in images.first]
    per_image, per_box = {}, {}
    for name in cells.others.column_names:
        column = cells.others[name].combine_chunks()
        if name in layout.sizes:
            values = images.one_each(name, _whole_sizes(column.to_pylist()))
            per_image[DECLARED[1 - layout.sizes.index(name)]] = pa.array(values, pa.int64())
        elif name.startswith(OF_IMAGE):
            values = images.one_each(name, column.to_pylist())
            per_image[_kept_name(name.removeprefix(OF_IMAGE), {"image_id"})] = pa.array(values, column.type)
        else:
            per_box[_kept_name(name, OPTIONAL_BOX_COLUMNS)] = column.take(pa.array(order))
    return BoxRows(
        uris=first,
        lengths=lengths,
        missing=(lengths == 0) & np.array([value in _FALSE for value in annotated], dtype=bool),
        boxes_xyxy=boxes[order],
        labels=[texts["label"][row] for row in order],
        splits=images.one_each("split", texts["split"]) if cells.has_split else folder_splits(first),
        groups=images.one_each("group", texts["group"]),
        per_box=per_box,
        per_image=per_image,
    )


def _kept_name(name: str, meant: Container[str]) -> str:
    return f"table_{name}" if name in OURS | {"image_id"} and name not in meant else name


# ---- several tables ----


def _without_unions(
    rows_of: dict[str, BoxRows], split_of: dict[str, str | None], notes: list[str]
) -> dict[str, BoxRows]:
    """Leave out tables without a split whose images are all in those of the splits.

    Raises:
        DataError: such a table has further images.
    """
    named = {path: rows for path, rows in rows_of.items() if split_of.get(path)}
    if not named or len(named) == len(rows_of):
        return rows_of
    known = {uri for rows in named.values() for uri in rows.uris}
    for path in rows_of.keys() - named.keys():
        further = [uri for uri in rows_of[path].uris if uri not in known]
        if further:
            raise DataError(
                f"{path} names no split, and {len(further):,} of its images are not in {', '.join(sorted(named))}: "
                f"{examples(further)}; import one table by its own URL, or rename it"
            )
        notes.append(f"{path} was left out: all its images are in {', '.join(sorted(named))}")
    return named


def _joined(rows: Sequence[BoxRows], where: str) -> pa.Table:
    tables = [boxes_table(one) for one in rows]
    try:
        return pa.concat_tables(tables, promote_options="permissive") if len(tables) > 1 else tables[0]
    except pa.ArrowTypeError as error:
        raise DataError(f"the tables {where} have values of different types in one column: {error}") from error
