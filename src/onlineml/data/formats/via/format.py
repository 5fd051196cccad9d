"""VGG Image Annotator (https://www.robots.ox.ac.uk/~vgg/software/via): projects of VIA 1 to 3, exported JSON and CSV.

Shapes are in pixels: ``rect`` with x, y, width and height, ``circle`` with cx, cy and r, ``ellipse`` with cx, cy, rx,
ry and theta in radians, ``polygon`` with lists of x and y. cx 10, cy 20, r 5 is the box 5, 15, 15, 25. Points and lines
have no box and are left out. An image without regions shows no objects: the file cannot say that nobody looked at it.
"""

from __future__ import annotations

import csv
import io as text_io
import math
from typing import TYPE_CHECKING, Any

import msgspec

from onlineml.arguments.counted import count
from onlineml.data.formats.annotated import AnnotatedImage, Shape, annotated_images, known_shapes
from onlineml.data.formats.annotation_files import decoded
from onlineml.data.formats.encodings import reading_csv, utf8
from onlineml.data.formats.format import Format
from onlineml.data.formats.inputs import detect_files, read_files
from onlineml.data.formats.json_lines import addresses_in, number, plain
from onlineml.data.formats.via.attributes import attribute_texts, chosen_attribute
from onlineml.data.formats.via.project3 import Project3, file_attributes, files_of, regions_of
from onlineml.data.manifest.examples import examples
from onlineml.errors import DataError
from onlineml.storage import io

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Mapping, Sequence

    from onlineml.data.formats.format import Place, Source
    from onlineml.data.formats.parts import Parts
    from onlineml.data.manifest.manifest import Manifest
    from onlineml.storage.location import Location

__all__ = ["VIA", "parse_via", "read_via", "write_via"]

_REGIONS_OF_CSV = "region_shape_attributes"
_WITHOUT_BOX = frozenset({"point", "polyline", "line"})
_ONE_CLASS = "object"
_VIA_3 = frozenset({"project", "config", "attribute", "file"})


class _Region(msgspec.Struct):
    shape_attributes: dict[str, Any] = {}
    region_attributes: dict[str, Any] = {}


class _Image(msgspec.Struct):
    filename: str
    regions: list[_Region] | dict[str, _Region] | None = None
    file_attributes: dict[str, Any] = {}


class _Project(msgspec.Struct):
    images: dict[str, _Image] = msgspec.field(name="_via_img_metadata")


def _fits(place: Place, path: str) -> bool:
    name = (path or place.url).lower()
    if name.endswith(".csv"):
        return _REGIONS_OF_CSV.encode() in place.head(path)[:1024].replace(b"\0", b"")
    shape = place.json(path)
    keys, inner = frozenset(shape.keys), frozenset(shape.inner)
    if shape.kind == "array":
        return {"filename", "regions"} <= keys
    return bool(keys & {"_via_img_metadata", "_via_settings"}) or {"filename", "regions"} <= inner or keys >= _VIA_3


def _images(content: bytes, where: str, counts: Counter[str]) -> list[_Image]:
    text = utf8(content, where)
    if text.lstrip()[:1] not in {b"{", b"["}:
        return _csv_images(text.decode(), where)
    if text.lstrip()[:1] == b"[":
        return decoded(text, list[_Image], where)
    if b'"_via_img_metadata"' in text:
        return [*decoded(text, _Project, where).images.values()]
    if b'"fid_list"' in text:
        project = decoded(text, Project3, where)
        return [
            _Image(name, [_Region(*one) for one in regions_of(project, view)], file_attributes(project, view))
            for view, name in files_of(project, counts).items()
        ]
    return [*decoded(text, dict[str, _Image], where).values()]


def _csv_images(text: str, where: str) -> list[_Image]:
    images: dict[str, _Image] = {}
    with reading_csv(where):
        rows = [*csv.DictReader(text_io.StringIO(text.lstrip("#"), newline=""))]
    for row in rows:
        line = f"{where}, image {row.get('filename')!r}"
        name, shape = row.get("filename"), row.get(_REGIONS_OF_CSV)
        if not name:
            raise DataError(f"{where} has a row without 'filename'; its columns are {', '.join(map(str, row))}")
        image = images.setdefault(name, _Image(name, []))
        image.file_attributes = _cell(row.get("file_attributes"), line)
        region = _Region(_cell(shape, line), _cell(row.get("region_attributes"), line))
        if region.shape_attributes and isinstance(image.regions, list):
            image.regions.append(region)
    return [*images.values()]


def _cell(text: str | None, where: str) -> dict[str, Any]:
    return decoded(text.encode(), dict[str, Any], where) if text and text.strip() else {}


def parse_via(
    content: bytes, where: str, counts: Counter[str], *, label: str | None = None, holds: str = "boxes_xyxy"
) -> list[AnnotatedImage]:
    """Return the images of a file.

    Args:
        content: JSON or CSV.
        where: the file, for messages.
        counts: counts what is left out, or is no box.
        label: the attribute, of regions or of files, that is the class; None: the only one, or one called so.
        holds: ``"boxes_xyxy"``: classes are attributes of regions; else also of files.

    Raises:
        DataError: the content is malformed, or which attribute is the class cannot be told; the message names them.
    """
    images = _images(content, where, counts)
    regions = {image.filename: _list(image.regions) for image in images}
    name = chosen_attribute([one.region_attributes for own in regions.values() for one in own], label)
    of_file = chosen_attribute([image.file_attributes for image in images], label)
    if label is not None and name is None and of_file is None:
        raise DataError(f"{where}: no region and no file has the attribute label={label!r}")
    if name is None:
        _require_class(regions, where, counts, holds)
    problems: list[str] = []
    found = []
    for image in images:
        shapes = [
            shape
            for place, region in enumerate(regions[image.filename])
            if (shape := _shape(region, name, f"{image.filename}, region {place}", counts, problems)) is not None
        ]
        labels = attribute_texts(image.file_attributes.get(of_file)) if of_file else None
        known = known_shapes(shapes, len(regions[image.filename]), counts) if not problems else shapes
        found.append(AnnotatedImage(image.filename, known, labels=labels or None))
    if problems:
        raise DataError(f"{where} has {count(len(problems), 'region')} that cannot be read: {examples(problems)}")
    if holds == "boxes_xyxy":
        empty = sum(not regions[image.name] for image in found)
        counts["images without regions were read as images without objects"] += empty
    return found


def _list(regions: list[_Region] | dict[str, _Region] | None) -> list[_Region]:
    return [*regions.values()] if isinstance(regions, dict) else regions or []


def _require_class(regions: Mapping[str, Sequence[_Region]], where: str, counts: Counter[str], holds: str) -> None:
    """Refuse regions whose class cannot be told, although they have attributes with values."""
    given = [region.region_attributes for own in regions.values() for region in own]
    keys = sorted({key for own in given for key in own})
    if given and not keys:
        counts[f"regions have no attribute: their class is {_ONE_CLASS!r}"] += len(given)
    named = all(len(own) == 1 and not attribute_texts(next(iter(own.values()))) for own in given)
    if keys and holds == "boxes_xyxy" and not named:  # else each is called as its class, as in {"cat": ""}
        raise DataError(
            f"{where}: which attribute of the regions is their class cannot be told; set label= to one of "
            f"{', '.join(map(repr, keys))}"
        )


def _shape(region: _Region, name: str | None, where: str, counts: Counter[str], problems: list[str]) -> Shape | None:
    kind = str(region.shape_attributes.get("name", ""))
    if kind in _WITHOUT_BOX:
        counts[f"regions of the type {kind!r} were left out for want of a box"] += 1
        return None
    box = _box(kind, region.shape_attributes)
    own = region.region_attributes
    texts = attribute_texts(own.get(name)) if name is not None else [*own] or [_ONE_CLASS]
    if box is None or len(texts) > 1:
        several = f"the classes {', '.join(texts)}" if box is not None else f"{kind or 'no name'} without its numbers"
        problems.append(f"{where}: {several}")
        return None
    if kind != "rect":
        counts[f"regions of the type {kind!r} were read as the boxes around them"] += 1
    counts["regions have no value of the attribute that is the class"] += not texts
    read = {key: ";".join(attribute_texts(value)) for key, value in own.items() if key != name}
    others = {key: text for key, text in read.items() if text}
    return Shape(texts[0] if texts else None, box, others)


def _box(kind: str, given: Mapping[str, Any]) -> tuple[float, float, float, float] | None:
    if "all_points_x" in given or "all_points_y" in given:
        xs, ys = ([number(v) for v in given.get(key) or ()] for key in ("all_points_x", "all_points_y"))
        pairs = [(x, y) for x, y in zip(xs, ys, strict=False) if x is not None and y is not None]
        if not pairs or len(pairs) < max(len(xs), len(ys)):
            return None
        across, down = zip(*pairs, strict=True)
        return min(across), min(down), max(across), max(down)
    keys = {"rect": ("x", "y", "width", "height"), "circle": ("cx", "cy", "r"), "ellipse": ("cx", "cy", "rx", "ry")}
    values = [number(given.get(key)) for key in keys.get(kind, ("",))]
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return None
    if kind == "rect":
        x, y, width, height = known
        return x, y, x + width, y + height
    x, y, rx, ry = (*known, known[-1])[:4]
    theta = number(given.get("theta")) or 0.0
    dx = math.hypot(rx * math.cos(theta), ry * math.sin(theta))
    dy = math.hypot(rx * math.sin(theta), ry * math.cos(theta))
    return x - dx, y - dy, x + dx, y + dy


def read_via(source: Source, *, holds: str) -> Parts:
    """Read files of the VGG Image Annotator; ``source.label`` names the attribute that is the class."""

    def parse(content: bytes, where: str, counts: Counter[str]) -> list[AnnotatedImage]:
        return parse_via(content, where, counts, label=source.label, holds=holds)

    return read_files(source, _fits, parse, name="via", holds=holds)


def write_via(manifest: Manifest, at: Location) -> str:
    """Write annotations that VIA imports, into a ``.json`` file or a folder. Images are not copied.

    Paths are relative to the file's folder. The class is the attribute ``label`` of regions, or of files; further
    columns of boxes are attributes, too. Splits and groups are not written, nor images that nobody annotated.
    """
    document = {}
    for image, name in zip(annotated_images(manifest), addresses_in(manifest, at, (".json",)), strict=True):
        if image.shapes is not None or image.labels is not None:
            told = {} if image.labels is None else {"label": dict.fromkeys(image.labels, True)}
            regions = [_written(shape) for shape in image.shapes or ()]
            document[f"{name}-1"] = {"filename": name, "size": -1, "regions": regions, "file_attributes": told}
    target = at if at.url.lower().endswith(".json") else at / "via_region_data.json"
    io.write_bytes(target, msgspec.json.encode(document))
    return target.url


def _written(shape: Shape) -> dict[str, Any]:
    x1, y1, x2, y2 = shape.box_xyxy
    sides = {"x": plain(x1), "y": plain(y1), "width": plain(x2 - x1), "height": plain(y2 - y1)}
    texts = {name: str(value) for name, value in shape.attributes.items()}
    return {"shape_attributes": {"name": "rect", **sides}, "region_attributes": {**texts, "label": shape.label or ""}}


VIA = Format(
    "via",
    holds=("boxes_xyxy", "labels", "label"),
    expected="a .json or .csv file of the VGG Image Annotator, with 'regions' or 'region_shape_attributes'",
    detect=lambda place: detect_files(place, _fits),
    read=read_via,
    write=write_via,
    takes=("images", "label"),
)
