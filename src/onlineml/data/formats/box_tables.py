"""Tables with one row per box: CSV or Parquet, in pixels of the upright image, reading and writing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from onlineml.data.formats.boxes import (
    DECLARED,
    OURS,
    BoxRows,
    boxes_table,
    further_columns,
    identified,
    known_sizes_hw,
    parts_holding,
    per_box_values,
)
from onlineml.data.formats.columns import find_columns, image_roles, open_table
from onlineml.data.formats.csv import Column, table_bytes
from onlineml.data.formats.format import TABLE_ENDINGS, Format, Source, table_at
from onlineml.data.formats.parts import Parts, image_id, naturally_sorted
from onlineml.data.formats.tables import ImageRows, placed, read_splits, require_good_rows
from onlineml.data.manifest.boxes import OPTIONAL_BOX_COLUMNS
from onlineml.data.manifest.examples import examples
from onlineml.errors import DataError
from onlineml.storage import io

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from onlineml.data.formats.csv import TextTable
    from onlineml.data.manifest.manifest import Manifest
    from onlineml.storage.location import Location

__all__ = ["BOX_TABLE", "BoxColumns", "read_box_table", "write_box_table"]

_OF_IMAGE = "image."  # prefix of columns with one value per image
_CORNERS = ("x1", "y1", "x2", "y2")
_SIZES = ("height", "width")
_FALSE = {"false", "False", "FALSE", "0"}


@dataclass(frozen=True)
class BoxColumns:
    """Names of a table's columns, see `Manifest.from_boxes`."""

    path: str | None = None
    label: str | None = None
    box: tuple[str, str, str, str] = _CORNERS
    split: str | None = None
    group: str | None = None


# ---- read ----


def read_box_table(
    source: Source,
    *,
    holds: str = "boxes_xyxy",
    names: BoxColumns = BoxColumns(),
) -> Parts:
    """Read a table of boxes, see `Manifest.from_boxes`."""
    where, folder, storage_options = source.where, source.folder, source.options
    roles = image_roles(names.path, names.label, names.split, names.group)
    roles["label"] = replace(roles["label"], required=True)
    file = open_table(where, source.table, options=storage_options)
    read = file.read(find_columns(file, roles, []) | {"annotated": Column("annotated")})
    problems: list[str] = []
    corners = [_numbers(read.others, name, where, problems) for name in names.box]
    uris = placed(read.texts["path"], folder, problems)
    read.texts["split"] = read_splits(read, problems)
    require_good_rows(where, problems)
    rows = _box_rows(read, [str(uri) for uri in uris], corners, names, problems)
    require_good_rows(where, problems)
    table = identified(boxes_table(rows), folder, where=where, storage_options=storage_options)
    class_names = naturally_sorted({label for label in rows.labels if label is not None})
    return parts_holding(Parts(table, class_names, folder), holds)


def _numbers(table: pa.Table, name: str, where: str, problems: list[str]) -> pa.Array:
    """Return a column as float64; nulls are kept."""
    if name not in table.column_names:
        found = ", ".join(map(repr, table.column_names)) or "none"
        raise DataError(
            f"{where} has no column {name!r}; the other columns are {found}; set the corners' columns with box="
        )
    column = table[name].combine_chunks()
    try:
        return column.cast(pa.float64())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        bad = [f"{row + 2}: {value}" for row, value in enumerate(column.to_pylist()) if not _is_number(value)]
        problems.append(f"{len(bad):,} values of {name} are not numbers (line: value): {examples(bad)}")
        return pa.nulls(len(column), pa.float64())


def _is_number(value: Any) -> bool:
    try:
        return value is None or float(value) is not None
    except (TypeError, ValueError):
        return False


def _box_rows(
    read: TextTable, uris: Sequence[str], corners: Sequence[pa.Array], names: BoxColumns, problems: list[str]
) -> BoxRows:
    """Group the rows by image, in the order in which the images first occur."""
    images = ImageRows(uris, problems)
    labels = read.texts["label"]
    told = np.array([label is not None for label in labels], dtype=bool)
    for column in corners:
        told |= column.is_valid().to_numpy(zero_copy_only=False)
    lengths = np.bincount(images.of_row[told], minlength=len(images.first))
    images.report("rows declare no object, but other rows of their image do", ~told & (lengths[images.of_row] > 0))
    order = np.flatnonzero(told)[np.argsort(images.of_row[told], kind="stable")]
    boxes = np.stack([column.fill_null(np.nan).to_numpy(zero_copy_only=False) for column in corners], axis=1)
    annotated = images.one_each("annotated", read.texts["annotated"])
    others = [name for name in read.others.column_names if name not in names.box]
    per_image = {
        DECLARED[side]: _sizes(images, read.others, name) for side, name in enumerate(_SIZES) if name in others
    }
    per_box = {}
    for name in others:
        column = read.others[name].combine_chunks()
        if name.startswith(_OF_IMAGE):
            values = images.one_each(name, column.to_pylist())
            per_image[_kept_name(name.removeprefix(_OF_IMAGE), {"image_id"})] = pa.array(values, column.type)
        elif name not in _SIZES:
            per_box[_kept_name(name, OPTIONAL_BOX_COLUMNS)] = column.take(pa.array(order))
    return BoxRows(
        uris=[uris[row] for row in images.first],
        lengths=lengths,
        missing=(lengths == 0) & np.array([value in _FALSE for value in annotated], dtype=bool),
        boxes_xyxy=boxes[order],
        labels=[labels[row] for row in order],
        splits=images.one_each("split", read.texts["split"]) if "split" in read.present else None,
        groups=images.one_each("group", read.texts["group"]),
        per_box=per_box,
        per_image=per_image,
    )


def _sizes(images: ImageRows, table: pa.Table, name: str) -> pa.Array:
    values = images.one_each(name, table[name].to_pylist())
    whole = [value if isinstance(value, int | float) and 1 <= value < 2**31 else None for value in values]
    return pa.array([None if value is None else int(value) for value in whole], pa.int64())


def _kept_name(name: str, meant: Container[str]) -> str:
    return f"table_{name}" if name in OURS | {"image_id"} and name not in meant else name


# ---- writing ----


def write_box_table(manifest: Manifest, at: Location) -> str:
    """Write a table of boxes, see `Manifest.to_boxes`."""
    table, boxes = manifest.table, manifest.boxes()
    counts = np.diff(boxes.offsets)
    image = np.repeat(np.arange(len(table)), np.maximum(counts, 1))
    has_box = np.repeat(counts > 0, np.maximum(counts, 1))
    box = pa.array(np.cumsum(has_box) - 1, mask=~has_box)
    columns: dict[str, pa.Array] = {}
    paths = _paths(manifest, at.url)
    columns["path"] = pa.array(paths, pa.string()).take(pa.array(image))
    columns["label"] = pa.array(per_box_values(table, "labels"), pa.string()).take(box)
    for side, name in enumerate(_CORNERS):
        columns[name] = pa.array(boxes.boxes_xyxy[:, side]).take(box)
    per_image, per_box = further_columns(table)
    for name in (*OPTIONAL_BOX_COLUMNS, *per_box):
        if name in table.column_names:
            columns[name] = pa.array(per_box_values(table, name), table.schema.field(name).type.value_type).take(box)
    columns |= {name: column.take(pa.array(image)) for name, column in _image_columns(manifest, paths).items()}
    for name in per_image:
        columns[f"{_OF_IMAGE}{name}"] = table[name].take(pa.array(image)).combine_chunks()
    io.write_bytes(at, table_bytes(pa.table(columns), at.url))
    return at.url


def _paths(manifest: Manifest, where: str) -> list[str]:
    prefix = io.parent(where).rstrip("/") + "/"
    return [url.removeprefix(prefix) for url in manifest.urls()]


def _image_columns(manifest: Manifest, paths: Sequence[str]) -> dict[str, pa.Array]:
    """Return the columns with one value per image, without those that have default values only."""
    table = manifest.table
    facts = table.select(["image_id", "version", "split", "group"]).to_pylist()
    columns = {"split": pa.array([fact["split"] for fact in facts], pa.string())}
    groups = [fact["group"] if fact["group"] != fact["image_id"] else None for fact in facts]
    ids = [
        fact["image_id"] if fact["image_id"] != image_id(path, fact["version"]) else None
        for fact, path in zip(facts, paths, strict=True)
    ]
    annotated = manifest.boxes().annotated
    sizes = known_sizes_hw(manifest)
    if any(groups):
        columns["group"] = pa.array(groups, pa.string())
    if not annotated.all():
        columns["annotated"] = pa.array(annotated)
    for side in (1, 0) if sizes.any() else ():
        columns[_SIZES[side]] = pa.array(sizes[:, side], mask=sizes[:, side] == 0)
    if any(ids):
        columns[f"{_OF_IMAGE}image_id"] = pa.array(ids, pa.string())
    return columns


BOX_TABLE = Format(
    "boxes",
    holds=("boxes_xyxy",),
    expected=f"a {', '.join(TABLE_ENDINGS)} file with a row per box",
    detect=table_at,
    read=read_box_table,
    write=write_box_table,
)
