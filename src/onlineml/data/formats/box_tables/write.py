"""Writers of tables with one row per box: ours, which loses nothing, and TensorFlow's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from onlineml.data.formats.annotated import annotated_images
from onlineml.data.formats.box_tables.coordinates import share_rows
from onlineml.data.formats.boxes import further_columns, known_sizes_hw, per_box_values
from onlineml.data.formats.csv import table_bytes
from onlineml.data.formats.parts import image_id
from onlineml.data.manifest.boxes import OPTIONAL_BOX_COLUMNS
from onlineml.storage import io

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onlineml.data.manifest.manifest import Manifest
    from onlineml.storage.location import Location

__all__ = ["OF_IMAGE", "write_box_table", "write_tensorflow_csv"]

OF_IMAGE = "image."  # prefix of columns with one value per image
_CORNERS = ("x1", "y1", "x2", "y2")
_SIZES = ("height", "width")


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
    if share_rows(boxes.boxes_xyxy)[0].size:  # boxes so small would be read as shares
        columns["units"] = pa.array(["pixels"] * len(image))
    per_image, per_box = further_columns(table)
    for name in (*OPTIONAL_BOX_COLUMNS, *per_box):
        if name in table.column_names:
            columns[name] = pa.array(per_box_values(table, name), table.schema.field(name).type.value_type).take(box)
    columns |= {name: column.take(pa.array(image)) for name, column in _image_columns(manifest, paths).items()}
    for name in per_image:
        columns[f"{OF_IMAGE}{name}"] = table[name].take(pa.array(image)).combine_chunks()
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
        columns[f"{OF_IMAGE}image_id"] = pa.array(ids, pa.string())
    return columns


def write_tensorflow_csv(manifest: Manifest, at: Location) -> str:
    """Write ``filename,width,height,class,xmin,ymin,xmax,ymax``, the corners as edges in pixels from 0.

    An image without objects is a row without class and corners; one that nobody annotated is left out. A split is one
    table: select it before. Further columns are not written.

    Raises:
        StorageError: an image whose size is needed cannot be read.
    """
    rows = [
        (image, shape)
        for image in annotated_images(manifest, sizes=True)
        if image.shapes is not None
        for shape in image.shapes or (None,)
    ]
    prefix = io.parent(at.url).rstrip("/") + "/"
    urls = dict(zip(manifest.table["uri"].to_pylist(), manifest.urls(), strict=True))
    sizes = [image.size_hw or (None, None) for image, _ in rows]
    columns: dict[str, pa.Array] = {
        "filename": pa.array([urls[image.name].removeprefix(prefix) for image, _ in rows], pa.string()),
        "width": pa.array([width for _, width in sizes], pa.int64()),
        "height": pa.array([height for height, _ in sizes], pa.int64()),
        "class": pa.array([None if shape is None else shape.label for _, shape in rows], pa.string()),
    }
    for side, name in enumerate(("xmin", "ymin", "xmax", "ymax")):
        values = [None if shape is None else shape.box_xyxy[side] for _, shape in rows]
        whole = all(value is None or value == int(value) for value in values if value is None or np.isfinite(value))
        columns[name] = pa.array(values, pa.float64())
        if whole and all(value is None or np.isfinite(value) for value in values):
            columns[name] = columns[name].cast(pa.int64())  # tools of TensorFlow call int() on them
    io.write_bytes(at, table_bytes(pa.table(columns), at.url))
    return at.url
