"""Open Images: ``{train,validation,test}-annotations-bbox.csv`` with ``class-descriptions-boxable.csv``.

Corners are shares of the image from 0 to 1, edges from its upper left corner
(https://storage.googleapis.com/openimages/web/download_v7.html, "Data Formats"); FiftyOne and Datumaro multiply them by
the image's size, as this does. The order of the columns is ``XMin,XMax,YMin,YMax``. A box of a group (``IsGroupOf``) is
an ignored region, `crowd` here, as in the challenge's evaluation. The tables name many more images than most people
have: those that are not there are left out, and counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from onlineml.arguments.counted import count
from onlineml.data.formats.annotated import annotated_images
from onlineml.data.formats.box_tables.columns import BoxColumns
from onlineml.data.formats.box_tables.files import box_tables_at, places_of
from onlineml.data.formats.box_tables.read import read_tables
from onlineml.data.formats.csv import TableFile, csv_bytes
from onlineml.data.formats.encodings import csv_rows, utf8
from onlineml.data.formats.export import empty_folder, image_chunks, unique_paths, write_many
from onlineml.data.formats.format import Format
from onlineml.data.formats.json_lines import require_known_boxes
from onlineml.data.images.policies import is_image_name
from onlineml.errors import DataError
from onlineml.storage import io
from onlineml.storage.location import Location

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from onlineml.data.formats.annotated import AnnotatedImage
    from onlineml.data.formats.format import Place, Source
    from onlineml.data.formats.parts import Parts
    from onlineml.data.manifest.manifest import Manifest

__all__ = ["OPEN_IMAGES", "read_open_images", "write_open_images"]

_CORNERS = ("XMin", "YMin", "XMax", "YMax")
_NEEDED = {"ImageID", "LabelName", *_CORNERS}
_FLAGS = ("IsOccluded", "IsTruncated", "IsGroupOf", "IsDepiction", "IsInside")
_GROUP = "IsGroupOf"
_TEXTS = pa.csv.ConvertOptions(column_types={"ImageID": pa.string(), "LabelName": pa.string()})
_NAMES = BoxColumns(path="ImageID", label="LabelName", box=_CORNERS)
_DESCRIPTIONS = "class-descriptions-boxable.csv"
_FILES = {"train": "train", "val": "validation", "test": "test"}  # the words of Open Images


def _detect(place: Place) -> Source | None:
    return box_tables_at(place, lambda file: set(file.names) >= _NEEDED)


# ---- reading ----


def read_open_images(source: Source, *, holds: str) -> Parts:
    """Read Open Images: the boxes of the images that are there.

    Raises:
        DataError: a table cannot be read, or none of its images is there.
    """
    root = str(source.root) if source.root is not None and str(source.root) else source.folder
    paths = [info.path for info in source.listing(root).files]
    ids = pa.array({io.name(path).rpartition(".")[0] for path in paths if is_image_name(path)}, pa.string())
    places = places_of(source)
    names = _descriptions(source, root, paths)
    notes = [f"read as Open Images from {', '.join(place.path or io.name(url) for place, url in places.items())}"]
    files, n_absent = [], 0
    for place, url in places.items():
        table = _table(io.read_bytes(Location(url, source.options)), url)
        whole = not len(ids) or any(pa.types.is_string(table[name].type) for name in _CORNERS)  # to name bad lines
        here = table if whole else table.filter(pc.is_in(table["ImageID"], ids))
        n_absent += pc.count_distinct(table["ImageID"]).as_py() - pc.count_distinct(here["ImageID"]).as_py()
        files.append((place, TableFile(url, _plain(here if len(here) else table, names, url))))
    if n_absent:
        notes.append(f"{count(n_absent, 'image of the tables is', 'images of the tables are')} not there, and left out")
    if not names:
        notes.append(f"{_DESCRIPTIONS} is not there: classes are called by their codes")
    return read_tables(source, files, holds=holds, names=_NAMES, notes=notes)


def _table(data: bytes, where: str) -> pa.Table:
    try:
        return pa.csv.read_csv(pa.BufferReader(utf8(data, where)), convert_options=_TEXTS)
    except pa.ArrowInvalid as error:
        raise DataError(f"{where} is not a readable table: {error}") from error


def _plain(table: pa.Table, names: Mapping[str, str], where: str) -> pa.Table:
    """Return the columns that are kept: boxes, names of classes, and flags; -1 is an unknown one."""
    codes = table["LabelName"].to_pylist()
    columns: dict[str, Any] = {name: table[name] for name in ("ImageID", *_CORNERS)}
    columns["LabelName"] = pa.array([names.get(code, code) for code in codes], pa.string())
    columns["units"] = pa.array(["shares"] * len(table))
    for name in {*_FLAGS} & {*table.column_names}:
        try:
            values = table[name].cast(pa.float64())
        except pa.ArrowInvalid as error:
            raise DataError(f"{where}: the column {name} holds other values than -1, 0 and 1: {error}") from error
        flags = pc.equal(pc.if_else(pc.less(values, 0), None, values), 1)
        if pc.any(flags).as_py():
            columns["crowd" if name == _GROUP else name] = flags
    return pa.table(columns)


def _descriptions(source: Source, root: str, paths: Iterable[str]) -> dict[str, str]:
    """Return the names of classes by their codes, of a file with a header or without."""
    found = [path for path in paths if "class-descriptions" in io.name(path) or path.endswith("metadata/classes.csv")]
    names: dict[str, str] = {}
    for path in sorted(found, key=lambda path: "boxable" in path):
        at = Location(io.join(root, path), source.options)
        rows = csv_rows(io.read_bytes(at), at.url)
        names |= {row[0].strip(): row[1].strip() for row in rows if len(row) > 1 and row[0].strip() != "LabelName"}
    return names


# ---- writing ----


def write_open_images(manifest: Manifest, at: Location) -> str:
    """Copy the images to ``{train,validation,test}`` and write their tables and the classes' names.

    A class's code is its name. Images without boxes, and those that nobody annotated, are copied, but no table names
    them; groups, and columns other than `crowd` and Open Images' own flags, are not written.

    Raises:
        AlreadyExistsError: the folder holds files already.
        DataError: an image has no split or size, or a box no class or corners that are not finite.
        StorageError: an image cannot be read or written.
    """
    images = annotated_images(manifest, sizes=True)
    require_known_boxes(images, manifest.class_names)
    unfit = [image.name for image in images if image.split is None or (image.shapes and image.size_hw is None)]
    if unfit:
        raise DataError(f"{count(len(unfit), 'image has')} no split or no known size, such as {unfit[0]!r}")
    names = unique_paths(manifest, [_FILES[str(image.split)] for image in images], by_stem=True)
    target = empty_folder(at)
    for rows, contents in image_chunks(manifest):
        write_many(target, dict(zip(names[rows], contents, strict=True)))
    files = {_DESCRIPTIONS: csv_bytes({"LabelName": manifest.class_names, "DisplayName": manifest.class_names})}
    for split, word in _FILES.items():
        own = [(image, name) for image, name in zip(images, names, strict=True) if image.split == split]
        if own:
            files[f"{word}-annotations-bbox.csv"] = _split_bytes(own)
    write_many(target, files)
    return target.url


def _split_bytes(images: Sequence[tuple[AnnotatedImage, str]]) -> bytes:
    shapes = [(image, name, shape) for image, name in images for shape in image.shapes or ()]
    sizes = np.array([(image.size_hw or (1, 1))[::-1] * 2 for image, _, _ in shapes]).reshape(-1, 4)
    shares = np.array([shape.box_xyxy for _, _, shape in shapes]).reshape(-1, 4) / sizes
    columns: dict[str, Any] = {
        "ImageID": [io.name(name).rpartition(".")[0] for _, name, _ in shapes],
        "Source": ["xclick"] * len(shapes),
        "LabelName": [shape.label for _, _, shape in shapes],
        "Confidence": [1] * len(shapes),
    }
    columns |= {name: shares[:, _CORNERS.index(name)] for name in ("XMin", "XMax", "YMin", "YMax")}
    for name in _FLAGS:
        given = [shape.attributes.get("crowd" if name == _GROUP else name) for _, _, shape in shapes]
        columns[name] = [int(bool(value)) for value in given]
    return csv_bytes(columns)


OPEN_IMAGES = Format(
    "open_images",
    holds=("boxes_xyxy", "labels"),
    expected="*-annotations-bbox.csv of Open Images, or a folder with some",
    detect=_detect,
    read=read_open_images,
    write=write_open_images,
)
