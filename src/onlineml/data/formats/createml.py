"""Apple's Create ML and Turi Create: a JSON list of images with boxes whose ``x`` and ``y`` are of the centre.

``{"x": 30, "y": 40, "width": 20, "height": 10}`` in pixels are the corners 20, 35, 40, 45
(https://developer.apple.com/documentation/createml/building-an-object-detector-data-source).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from onlineml.arguments.counted import count
from onlineml.data.formats.annotated import AnnotatedImage, Shape, annotated_images
from onlineml.data.formats.annotation_files import decoded, json_fits
from onlineml.data.formats.format import Format
from onlineml.data.formats.inputs import detect_files, read_files
from onlineml.data.formats.json_lines import addresses_in, plain, require_known_boxes
from onlineml.data.manifest.examples import examples
from onlineml.errors import DataError
from onlineml.storage import io

if TYPE_CHECKING:
    from collections import Counter

    from onlineml.data.formats.format import Source
    from onlineml.data.formats.parts import Parts
    from onlineml.data.formats.sniff import JsonShape
    from onlineml.data.manifest.manifest import Manifest
    from onlineml.storage.location import Location

__all__ = ["CREATEML", "parse_createml", "read_createml", "write_createml"]

_NAMES = ("image", "imagefilename", "imageFilename", "filename", "path")
_BOXES = ("annotations", "annotation")


class _Coordinates(msgspec.Struct):
    x: float
    y: float
    width: float
    height: float


class _Box(msgspec.Struct):
    coordinates: _Coordinates
    label: str | int | float | None = None


class _Image(msgspec.Struct, rename={"image_filename": "imageFilename"}):
    image: str | None = None
    imagefilename: str | None = None
    image_filename: str | None = None
    filename: str | None = None
    path: str | None = None
    annotations: list[_Box] | str | None = None
    annotation: list[_Box] | str | None = None


def _is_createml(shape: JsonShape) -> bool:
    keys = frozenset(shape.keys)
    return (
        shape.kind == "array" and "data" not in keys and bool(keys.intersection(_NAMES) and keys.intersection(_BOXES))
    )


_FITS = json_fits(_is_createml)


def parse_createml(content: bytes, where: str, _counts: Counter[str]) -> list[AnnotatedImage]:
    """Return the images of a file; one whose ``annotation`` is a text has that label as a whole.

    Raises:
        DataError: the content is malformed, or an image has no name; the message names the entry.
    """
    entries = decoded(content, list[_Image], where)
    names = [
        entry.image or entry.imagefilename or entry.image_filename or entry.filename or entry.path or ""
        for entry in entries
    ]
    lost = [number for number, name in enumerate(names) if not name]
    if lost:
        raise DataError(
            f"{count(len(lost), f'entry of {where} has', f'entries of {where} have')} no 'image': "
            f"{examples(lost)}, counted from 0"
        )
    images = []
    for name, entry in zip(names, entries, strict=True):
        given = entry.annotations if entry.annotations is not None else entry.annotation
        if isinstance(given, str):
            images.append(AnnotatedImage(name, labels=[given]))
        else:
            images.append(AnnotatedImage(name, None if given is None else [_shape(box) for box in given]))
    return images


def _shape(box: _Box) -> Shape:
    at = box.coordinates
    corners = (at.x - at.width / 2, at.y - at.height / 2, at.x + at.width / 2, at.y + at.height / 2)
    return Shape(None if box.label in (None, "") else str(box.label), corners)


def read_createml(source: Source, *, holds: str) -> Parts:
    """Read JSON files of Create ML."""
    return read_files(source, _FITS, parse_createml, name="createml", holds=holds)


def write_createml(manifest: Manifest, at: Location) -> str:
    """Write a ``.json`` file, or into a folder a file for each split. Images are not copied.

    Paths are relative to the file's folder. Images that nobody annotated, groups and further columns are not written.
    """
    images = annotated_images(manifest)
    require_known_boxes(images, manifest.class_names)
    single = at.url.lower().endswith(".json")
    files: dict[str, list[dict[str, Any]]] = {}
    for image, name in zip(images, addresses_in(manifest, at, (".json",)), strict=True):
        if image.shapes is None and image.labels is None:
            continue
        told: Any = [_written(shape) for shape in image.shapes or ()] if image.labels is None else image.labels[0]
        files.setdefault("" if single else image.split or "unassigned", []).append({"image": name, "annotations": told})
    for split, entries in (files or {"": list[dict[str, Any]]()}).items():
        target = at if single else at / f"{split or 'unassigned'}.createml.json"
        io.write_bytes(target, msgspec.json.encode(entries))
    return at.url


def _written(shape: Shape) -> dict[str, Any]:
    x1, y1, x2, y2 = shape.box_xyxy
    sides = {"x": (x1 + x2) / 2, "y": (y1 + y2) / 2, "width": x2 - x1, "height": y2 - y1}
    return {"label": shape.label, "coordinates": {name: plain(value) for name, value in sides.items()}}


CREATEML = Format(
    "createml",
    holds=("boxes_xyxy", "label"),
    expected="a .json list of images with 'image' and 'annotations'",
    detect=lambda place: detect_files(place, _FITS),
    read=read_createml,
    write=write_createml,
    takes=("images",),
)
