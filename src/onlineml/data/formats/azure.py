"""JSON Lines of Azure Machine Learning's AutoML for images: ``image_url``, ``image_details`` and ``label``.

The label is a class, a list of classes, or a list of boxes whose ``topX``, ``topY``, ``bottomX`` and ``bottomY`` are
shares of the image's width and height: .172, .153, .432, .659 in an image of 400 x 258 pixels are the corners 68.8,
39.474, 172.8, 170.022 (https://learn.microsoft.com/azure/machine-learning/reference-automl-images-schema).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onlineml.data.formats.addresses import in_pixels, placed
from onlineml.data.formats.annotated import AnnotatedImage, Shape, annotated_images, annotated_parts
from onlineml.data.formats.boxes import require_no_problems
from onlineml.data.formats.format import Format
from onlineml.data.formats.json_lines import (
    addresses_in,
    detect_files,
    first_objects,
    json_lines,
    number,
    read_as,
    read_files,
    require_known_boxes,
    size_hw,
    write_lines,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onlineml.data.formats.format import Source
    from onlineml.data.formats.json_lines import Line
    from onlineml.data.formats.parts import Parts
    from onlineml.data.manifest.manifest import Manifest
    from onlineml.storage.location import Location

__all__ = ["AZURE", "parse_azure", "read_azure", "write_azure"]

_ENDINGS = (".jsonl",)

_CORNERS = ("topX", "topY", "bottomX", "bottomY")
_TRUE = {"true", "1"}


def kind_of_label(label: Any) -> str:
    """Return the kind of annotation that the value of ``label`` is; ``""`` for none."""
    if isinstance(label, dict) or (isinstance(label, list) and any(isinstance(one, dict) for one in label)):
        return "boxes_xyxy"
    if isinstance(label, list):
        return "labels" if label else ""
    return "" if label in {None, ""} else "label"


def parse_azure(lines: Sequence[Line], problems: list[str]) -> list[AnnotatedImage]:
    """Return the images; the boxes of those are shares of their sides."""
    return [_image(line, problems) for line in lines]


def _image(line: Line, problems: list[str]) -> AnnotatedImage:
    row = line.content
    name, label = row.get("image_url"), row.get("label")
    details = row.get("image_details")
    details = details if isinstance(details, dict) else {}
    if not isinstance(name, str):
        problems.append(f"{line.where}: no 'image_url', the address of the image")
    size = size_hw(details.get("height"), details.get("width"))
    if kind_of_label(label) == "boxes_xyxy" or label == []:
        boxes = label if isinstance(label, list) else [label]
        return AnnotatedImage(str(name), [_shape(box, line, problems) for box in boxes], size_hw=size)
    labels = (
        None if kind_of_label(label) == "" else [str(one) for one in (label if isinstance(label, list) else [label])]
    )
    return AnnotatedImage(str(name), None, size_hw=size, labels=labels)


def _shape(box: Any, line: Line, problems: list[str]) -> Shape:
    facts: Mapping[str, Any] = box if isinstance(box, dict) else {}
    corners = [number(facts.get(side)) for side in _CORNERS]
    points = _points(facts.get("polygon"))
    if None in corners and points:
        corners = [*map(min, *points), *map(max, *points)]
    if any(corner is None or not -0.01 <= corner <= 1.01 for corner in corners):
        problems.append(f"{line.where}: expected topX, topY, bottomX, bottomY as shares in 0..1, found {box!r:.200}")
        return Shape(None, (0.0, 0.0, 0.0, 0.0))
    crowd = str(facts.get("isCrowd", "")).lower()
    label = facts.get("label")
    x1, y1, x2, y2 = (float(corner) for corner in corners if corner is not None)
    return Shape(None if label is None else str(label), (x1, y1, x2, y2), {"crowd": crowd in _TRUE} if crowd else {})


def _points(polygons: Any) -> list[tuple[float, float]]:
    """Return the points of a list of polygons, each ``[x1, y1, x2, y2, …]``; none if it is not one."""
    flat = [[number(side) for side in one] for one in polygons or () if isinstance(one, list)]
    if any(side is None for one in flat for side in one):
        return []
    return [(one[i], one[i + 1]) for one in flat for i in range(0, len(one) - 1, 2)]  # type: ignore[misc]


# ---- reading ----


def _kind_of_head(head: bytes) -> str | None:
    rows = first_objects(head)
    if not any("image_url" in row for row in rows):
        return None
    return next(filter(None, (kind_of_label(row.get("label")) for row in rows)), "")


def read_azure(source: Source, *, holds: str) -> Parts:
    """Read JSON Lines of Azure's AutoML."""
    problems = list[str]()
    files = read_files(source, _ENDINGS, lambda head: _kind_of_head(head) is not None)
    images = [
        image._replace(split=file.split)
        for file in files
        for image in parse_azure(json_lines(file.data, file.path), problems)
    ]
    require_no_problems(source.where, problems)
    found = in_pixels(placed(images, source))
    notes = (read_as("JSON Lines of Azure AutoML", files), *found.notes)
    return annotated_parts(found.images, found.source, holds=holds, folder=found.folder, notes=notes)


# ---- writing ----


def write_azure(manifest: Manifest, at: Location) -> str:
    """Write JSON Lines, or into a folder a file for each split: ``train.jsonl``, … Images are not copied.

    Groups and further columns, but ``crowd``, are not written, nor images that nobody annotated: Azure needs a label.
    Paths of images below the folder are relative to it.
    """
    images = annotated_images(manifest, sizes=True)
    require_known_boxes(images, manifest.class_names)
    told = [place for place, image in enumerate(images) if image.shapes is not None or image.labels is not None]
    addresses = addresses_in(manifest, at, _ENDINGS)
    rows = [_written(images[place], addresses[place], manifest.kind.key) for place in told]
    return write_lines(manifest.take(told), rows, at, _ENDINGS)


def _written(image: AnnotatedImage, address: str, holds: str) -> dict[str, Any]:
    height, width = image.size_hw or (0, 0)
    labels = list(image.labels or ())
    label: Any = labels[0] if holds == "label" else labels
    if image.shapes is not None:
        label = [_written_box(shape, height, width) for shape in image.shapes]
    return {"image_url": address, "image_details": {"width": width, "height": height}, "label": label}


def _written_box(shape: Shape, height: int, width: int) -> dict[str, Any]:
    x1, y1, x2, y2 = shape.box_xyxy
    shares = (x1 / width, y1 / height, x2 / width, y2 / height)
    crowd = {"isCrowd": int(shape.attributes["crowd"])} if "crowd" in shape.attributes else {}
    return {"label": shape.label, **dict(zip(_CORNERS, shares, strict=True)), **crowd}


AZURE = Format(
    "azure",
    holds=("boxes_xyxy", "label", "labels"),
    expected="a .jsonl file, or a folder with some, whose lines have 'image_url' and 'label'",
    detect=lambda place: detect_files(place, _ENDINGS, _kind_of_head),
    read=read_azure,
    write=write_azure,
    takes=("images",),
)
