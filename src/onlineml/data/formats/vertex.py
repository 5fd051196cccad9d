"""Import files of Google's Vertex AI and AutoML Vision: CSV without a header, and JSON Lines.

A box is given by its vertices, in shares of the image's width and height. In a row of CSV these are four, or two
opposite ones with the other cells empty: ``.1,.1,,,.3,.4,,`` in an image of 200 x 100 pixels are the corners 20, 10,
60, 40 (https://cloud.google.com/vertex-ai/docs/image-data/object-detection/prepare-data). Its own exports leave
``xMin`` and ``yMin`` out where they are 0, as protocol buffers do.
"""

from __future__ import annotations

import csv
import io as texts
import re
from typing import TYPE_CHECKING, Any

from onlineml.arguments.counted import count
from onlineml.data.formats.addresses import in_pixels, placed
from onlineml.data.formats.annotated import AnnotatedImage, Shape, annotated_images, annotated_parts
from onlineml.data.formats.boxes import HASHED, require_no_problems
from onlineml.data.formats.encodings import reading_csv
from onlineml.data.formats.format import Format
from onlineml.data.formats.json_lines import (
    addresses_in,
    detect_files,
    first_objects,
    json_lines,
    lines_bytes,
    number,
    read_as,
    read_files,
    require_known_boxes,
)
from onlineml.data.manifest.examples import examples
from onlineml.data.manifest.splits import normalised_split
from onlineml.errors import DataError
from onlineml.storage import io

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onlineml.data.formats.format import Source
    from onlineml.data.formats.json_lines import Line, SplitFile
    from onlineml.data.formats.parts import Parts
    from onlineml.data.manifest.manifest import Manifest
    from onlineml.storage.location import Location

__all__ = ["VERTEX", "parse_vertex_lines", "parse_vertex_rows", "read_rows", "read_vertex", "write_vertex"]

_ENDINGS = (".csv", ".jsonl")
_ML_USE = "aiplatform.googleapis.com/ml_use"
_WRITTEN_USES = {"train": "training", "val": "validation", "test": "test"}

_USES = {"unassigned", ""}
_ROW = re.compile(rb'\s*(?:"?(?:train|training|validation|valid|val|test|unassigned)?"?\s*,)?\s*"?gs://', re.IGNORECASE)
_HEADER = re.compile(rb'\s*"?(?:ml_use|set|usage)"?\s*,', re.IGNORECASE)
_N_COORDINATES = 8
_LEAST_NUMBERS = 4


def is_vertex_csv(head: bytes) -> bool:
    """Return whether a file begins with a row of this format, with or without a header above it."""
    lines = head.splitlines()[:2]
    return any(_ROW.match(line) for line in lines[:1]) or (
        len(lines) == 2 and _HEADER.match(lines[0]) is not None and _ROW.match(lines[1]) is not None
    )


def read_rows(data: bytes, name: str) -> list[tuple[str, list[str]]]:
    """Return the rows of a CSV with the place of each, for messages; blank rows and a header are left out."""
    reader = csv.reader(texts.StringIO(data.decode()))
    with reading_csv(name):
        rows = [(f"{name}:{reader.line_num}", [cell.strip() for cell in row]) for row in reader]
    has_header = _HEADER.match(data) is not None
    return [(where, row) for where, row in rows[has_header:] if any(row)]


def row_kind(row: Sequence[str]) -> str:
    """Return the kind of annotation of a row: ``""`` if it has none."""
    rest = row[_n_before(row) :] if _has_address(row) else []
    corners = rest[1:]
    numbers = [cell for cell in corners if number(cell) is not None]
    if all(cell == "" or number(cell) is not None for cell in corners) and (
        len(corners) >= _N_COORDINATES or len(numbers) >= _LEAST_NUMBERS  # spreadsheets drop empty cells at the end
    ):
        return "boxes_xyxy"
    labels = [cell for cell in rest if cell]
    return "labels" if len(labels) > 1 else "label" if labels else ""


def _has_address(row: Sequence[str]) -> bool:
    return any(cell.startswith("gs://") for cell in row[:2])


def _n_before(row: Sequence[str]) -> int:
    """Return how many cells stand before the label: the address, and the use if there is one."""
    return 1 if row[0].startswith("gs://") else 2


def parse_vertex_rows(rows: Sequence[tuple[str, list[str]]], problems: list[str]) -> list[AnnotatedImage]:
    """Return the images; the boxes are shares of their sides."""
    boxed = any(row_kind(row) == "boxes_xyxy" for _, row in rows)
    grouped: dict[str, list[tuple[str, list[str]]]] = {}
    bad = [where for where, row in rows if not _has_address(row)]
    if bad:
        problems.append(f"{count(len(bad), 'row has')} no gs:// address in the first two cells: {examples(bad)}")
        return []
    for where, row in rows:
        grouped.setdefault(row[_n_before(row) - 1], []).append((where, row))
    return [_image(name, own, boxed, problems) for name, own in grouped.items()]


def _image(name: str, rows: Sequence[tuple[str, list[str]]], boxed: bool, problems: list[str]) -> AnnotatedImage:
    uses = {row[0].lower() if _n_before(row) == 2 else "" for _, row in rows}
    if len(uses) > 1:
        problems.append(f"{rows[-1][0]}: {name} is in several splits: {', '.join(sorted(uses))}")
    split = _split(min(uses), rows[0][0], problems)
    rest = [(where, row[_n_before(row) :]) for where, row in rows]
    if not boxed:
        labels = list(dict.fromkeys(cell for _, cells in rest for cell in cells if cell))
        return AnnotatedImage(name, None, split=split, labels=labels or None)
    if not any(cells for _, cells in rest):  # nothing but the address
        return AnnotatedImage(name, None, split=split)
    shapes = [_shape(where, cells, problems) for where, cells in rest if any(cells)]
    return AnnotatedImage(name, shapes, split=split)


def _split(use: str, where: str, problems: list[str]) -> str:
    split = normalised_split(use)
    if split is None and use not in _USES:
        problems.append(f"{where}: {use!r} is not TRAIN, VALIDATION, TEST or UNASSIGNED")
    return split or HASHED


def _shape(where: str, cells: Sequence[str], problems: list[str]) -> Shape:
    label, corners = cells[0], [number(cell) for cell in cells[1 : 1 + _N_COORDINATES]]
    xs, ys = ([side for side in corners[first::2] if side is not None] for first in (0, 1))
    if min(len(xs), len(ys)) < 2 or not all(-0.01 <= side <= 1.01 for side in (*xs, *ys)):
        problems.append(f"{where}: expected vertices as shares in 0..1, found {','.join(cells[1:])!r}")
        return Shape(None, (0.0, 0.0, 0.0, 0.0))
    return Shape(label or None, (min(xs), min(ys), max(xs), max(ys)))


# ---- JSON Lines ----


def object_kind(row: Mapping[str, Any]) -> str:
    """Return the kind of annotation of a line; ``""`` for none, or the key of one that cannot be read."""
    if "boundingBoxAnnotations" in row or "boundingBoxAnnotation" in row:
        return "boxes_xyxy"
    if "classificationAnnotations" in row:
        return "labels"
    if "classificationAnnotation" in row:
        return "label"
    return next((key for key in row if key.lower().endswith(("annotation", "annotations"))), "")


def parse_vertex_lines(lines: Sequence[Line], problems: list[str]) -> list[AnnotatedImage]:
    """Return the images; the boxes are shares of their sides."""
    return [_line_image(line, problems) for line in lines]


def _line_image(line: Line, problems: list[str]) -> AnnotatedImage:
    row, kind = line.content, object_kind(line.content)
    name = row.get("imageGcsUri")
    if not isinstance(name, str):
        problems.append(f"{line.where}: no 'imageGcsUri', the address of the image")
    facts = row.get("dataItemResourceLabels")
    use = facts.get(_ML_USE, "") if isinstance(facts, dict) else ""
    split = _split(str(use).lower(), line.where, problems)
    if kind == "boxes_xyxy":
        boxes = _listed(row.get("boundingBoxAnnotations", row.get("boundingBoxAnnotation")))
        return AnnotatedImage(str(name), [_line_shape(box, line, problems) for box in boxes], split=split)
    found = [
        one.get("displayName")
        for one in _listed(row.get("classificationAnnotations", row.get("classificationAnnotation")))
        if isinstance(one, dict)
    ]
    if kind not in {"", "label", "labels"} or not all(isinstance(one, str) and one for one in found):
        problems.append(f"{line.where}: expected classes or boxes with a 'displayName', found {kind}")
    labels = [str(one) for one in found]
    return AnnotatedImage(str(name), None, split=split, labels=labels if kind else None)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _line_shape(box: Any, line: Line, problems: list[str]) -> Shape:
    facts = box if isinstance(box, dict) else {}
    corners = [number(facts.get(side, 0.0 if side.endswith("Min") else None)) for side in _SIDES]
    x1, y1, x2, y2 = (-1.0 if side is None else side for side in corners)
    if not all(-0.01 <= side <= 1.01 for side in (x1, y1, x2, y2)):
        problems.append(f"{line.where}: expected xMin, yMin, xMax, yMax as shares in 0..1, found {box!r:.200}")
    label = facts.get("displayName")
    return Shape(str(label) if label else None, (min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)))


_SIDES = ("xMin", "yMin", "xMax", "yMax")


# ---- reading and writing ----


def _kind_of_head(head: bytes) -> str | None:
    if is_vertex_csv(head):
        return max((row_kind(row) for _, row in read_rows(head, "")), key=_KINDS.index, default="")
    rows = first_objects(head)
    if not any("imageGcsUri" in row for row in rows):
        return None
    return max((kind for kind in map(object_kind, rows) if kind in _KINDS), key=_KINDS.index, default="")


_KINDS = ("", "label", "labels", "boxes_xyxy")


def read_vertex(source: Source, *, holds: str) -> Parts:
    """Read import files of Vertex AI."""
    problems = list[str]()
    files = read_files(source, _ENDINGS, lambda head: _kind_of_head(head) is not None)
    images = [image for file in files for image in _images(file, problems)]
    require_no_problems(source.where, problems)
    found = in_pixels(placed(images, source))
    notes = (read_as("import files of Vertex AI", files), *found.notes)
    return annotated_parts(found.images, found.source, holds=holds, folder=found.folder, notes=notes)


def _images(file: SplitFile, problems: list[str]) -> list[AnnotatedImage]:
    if file.path.lower().endswith(".csv"):
        return parse_vertex_rows(read_rows(file.data, file.path), problems)
    return parse_vertex_lines(json_lines(file.data, file.path), problems)


def write_vertex(manifest: Manifest, at: Location) -> str:
    """Write JSON Lines (``.jsonl``). Images are not copied; groups and further columns are not written.

    Raises:
        DataError: another extension.
    """
    if not at.url.lower().endswith(".jsonl"):
        raise DataError(f"{at}: expected a .jsonl file")
    images = annotated_images(manifest, sizes=True)
    require_known_boxes(images, manifest.class_names)
    rows = [_written(*one) for one in zip(images, addresses_in(manifest, at, _ENDINGS), strict=True)]
    io.write_bytes(at, lines_bytes(rows))
    return at.url


def _written(image: AnnotatedImage, address: str) -> dict[str, Any]:
    row: dict[str, Any] = {"imageGcsUri": address}
    if image.shapes is not None:
        row["boundingBoxAnnotations"] = [_written_box(shape, image.size_hw or (0, 0)) for shape in image.shapes]
    elif image.labels is not None:
        named = [{"displayName": label} for label in image.labels]
        row |= {"classificationAnnotation": named[0]} if len(named) == 1 else {"classificationAnnotations": named}
    return row | ({"dataItemResourceLabels": {_ML_USE: _WRITTEN_USES[image.split]}} if image.split else {})


def _written_box(shape: Shape, size_hw: tuple[int, int]) -> dict[str, Any]:
    height, width = size_hw
    x1, y1, x2, y2 = shape.box_xyxy
    shares = (x1 / width, y1 / height, x2 / width, y2 / height)
    return {"displayName": shape.label, **dict(zip(_SIDES, shares, strict=True))}


VERTEX = Format(
    "vertex",
    holds=("boxes_xyxy", "label", "labels"),
    expected="a .csv or .jsonl file, or a folder with some, whose lines name images at gs://",
    detect=lambda place: detect_files(place, _ENDINGS, _kind_of_head),
    read=read_vertex,
    write=write_vertex,
    takes=("images",),
)
