"""Label Studio's JSON: the full export, tasks with their annotations, and JSON_MIN, a row for each annotation.

Boxes and polygons are in per cent of the image's width and height. A rectangle is turned about its upper left corner,
clockwise, in pixels: x 20, y 20, width 30 and height 20, turned by 90 degrees, in an image of 1000 x 500 pixels are the
corners 100, 100, 200, 400; the smallest box around it is taken, as around polygons and ellipses.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

import msgspec

from onlineml.arguments.counted import count
from onlineml.data.formats.annotated import AnnotatedImage, Shape, annotated_images, known_shapes
from onlineml.data.formats.annotation_files import files_of, json_fits
from onlineml.data.formats.format import Format
from onlineml.data.formats.inputs import detect_files, read_files
from onlineml.data.formats.json_lines import addresses_in, number, require_known_boxes, size_hw
from onlineml.data.formats.label_studio.tasks import Region, Task, image_value, tasks_of
from onlineml.data.manifest.examples import examples
from onlineml.errors import DataError
from onlineml.storage import io

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onlineml.data.formats.format import Place, Source
    from onlineml.data.formats.parts import Parts
    from onlineml.data.formats.sniff import JsonShape
    from onlineml.data.manifest.manifest import Manifest
    from onlineml.storage.location import Location

__all__ = ["LABEL_STUDIO", "parse_label_studio", "read_label_studio", "write_label_studio"]

_SHAPES = ("rectanglelabels", "polygonlabels", "ellipselabels", "labels")
_WITHOUT_BOX = ("brushlabels", "keypointlabels", "vectorlabels", "bitmask", "bitmasklabels", "rle")
_MARKS = frozenset({"annotations", "completions", "predictions", "file_upload"})
_OF_ROWS = frozenset({"annotator", "annotation_id", "lead_time"})
_PREFIX = re.compile(r"^[0-9a-f]{8}-")  # of uploaded files
_BOXES_IN = re.compile(rb'"(rectangle|polygon|ellipse|brush|keypoint)labels"|"original_width"\s*:\s*\d[^{}]*"points"')
_CHOICES_IN = re.compile(rb'"choices"\s*:\s*\[[^\]]*,')


def _is_label_studio(shape: JsonShape) -> bool:
    keys = frozenset(shape.keys)
    stored = {"task", "result"} <= keys and shape.kind == "object"
    return stored or ("data" in keys and bool(keys & _MARKS)) or (shape.kind == "array" and bool(keys & _OF_ROWS))


_FITS = json_fits(_is_label_studio)


def _detect(place: Place) -> Source | None:
    found = detect_files(place, _FITS)
    if found is None:
        return None
    path = next(iter(files_of(place, _FITS)))
    head = place.head(path)
    holds = "boxes_xyxy" if _BOXES_IN.search(head) else "labels" if _CHOICES_IN.search(head) else "label"
    return found._replace(holds=holds if holds == "boxes_xyxy" or b"choice" in head else None)


def parse_label_studio(content: bytes, where: str, counts: Counter[str]) -> list[AnnotatedImage]:
    """Return the images of an export, under the last parts of their addresses.

    Args:
        content: the JSON text.
        where: the file, for messages.
        counts: counts what is left out, or is no box.

    Raises:
        DataError: the content is malformed, or boxes have no size of their image; the tasks are named.
    """
    problems: list[str] = []
    tasks = tasks_of(content, where, counts)
    images = [_image(task, where, counts, problems)._replace(rank=task.rank) for task in tasks]
    if problems:
        raise DataError(
            f"{where} has {count(len(problems), 'region')} that cannot be read: {examples(problems)}; expected "
            "numbers in per cent with 'original_width' and 'original_height' of the image"
        )
    return images


def _image(task: Task, where: str, counts: Counter[str], problems: list[str]) -> AnnotatedImage:
    name = _address(image_value(task, where))
    if task.results is None:
        return AnnotatedImage(name)
    if any(one.image_rotation for one in task.results):
        counts["images were turned for the annotation, and their annotations left out"] += 1
        return AnnotatedImage(name)
    labels, choices = _choices(task.results)
    size = next((own for one in task.results if (own := size_hw(one.original_height, one.original_width))), None)
    shapes = _shapes(task, choices, counts, problems)
    n_regions = sum(_has_region(one.value) for one in task.results) if not problems else 0
    return AnnotatedImage(name, known_shapes(shapes, n_regions, counts), size, labels=labels)


def _choices(results: Sequence[Region]) -> tuple[list[str] | None, Mapping[Any, dict[str, Any]]]:
    """Return the labels of the whole image, None without such a question; and those of each region by its id."""
    of_regions = defaultdict[Any, dict[str, Any]](dict)
    labels: dict[str, None] = {}
    asked = False
    for one in results:
        if (chosen := one.value.get("choices")) is None:
            continue
        own = [str(text) for text in ([chosen] if isinstance(chosen, str) else chosen)]
        if _has_region(one.value):
            of_regions[one.id][one.from_name] = ";".join(own)
        else:
            asked = True
            labels |= dict.fromkeys(own)
    return [*labels] if asked else None, of_regions


def _shapes(
    task: Task, choices: Mapping[Any, dict[str, Any]], counts: Counter[str], problems: list[str]
) -> list[Shape]:
    """Return a box for each region and label; the results of one region have its id in common."""
    labels: dict[Any, list[Any]] = {
        one.id: own for one in task.results or () if one.id is not None and (own := _labels(one.value))
    }
    shapes, seen = list[Shape](), defaultdict[Any, set[str]](set)
    for one in task.results or ():
        if not _has_region(one.value):
            continue
        known, types = one.id is not None and one.id in seen, seen[one.id]
        if known and one.type not in types:  # of one type it is another region: imported ids may repeat
            types.add(one.type)
            continue
        types.add(one.type)
        box = _box(one, counts)
        if box is None:
            problems.append(f"{task.name}, {one.type or one.from_name or 'region'} {one.id or ''}".strip())
        elif box:
            found = _labels(one.value) or labels.get(one.id) or [None]
            counts["further labels of one region became boxes of their own"] += len(found) - 1
            shapes += [Shape(None if text is None else str(text), box, choices.get(one.id, {})) for text in found]
    return shapes


def _has_region(value: Mapping[str, Any]) -> bool:
    return "x" in value or "points" in value or any(key in value for key in _WITHOUT_BOX)


def _labels(value: Mapping[str, Any]) -> list[Any]:
    return next((value[key] for key in _SHAPES if isinstance(value.get(key), list)), [])


def _box(region: Region, counts: Counter[str]) -> tuple[float, float, float, float] | tuple[()] | None:
    """Return the box around a region in pixels; nothing if it has none, None if it cannot be read."""
    value = region.value
    kind = region.type or next((key for key in (*_SHAPES, *_WITHOUT_BOX) if key in value), "rectanglelabels")
    if kind in _WITHOUT_BOX or any(key in value for key in _WITHOUT_BOX):
        counts[f"regions of the type {kind!r} were left out for want of a box"] += 1
        return ()
    size = size_hw(region.original_height, region.original_width)
    points = _points(value)
    if size is None or not points or any(one is None for point in points for one in point):
        return None
    height, width = size
    scaled = [(x / 100 * width, y / 100 * height) for x, y in points if x is not None and y is not None]
    angle = math.radians(number(value.get("rotation")) or 0)
    if "radiusX" in value:
        (cx, cy), (rx, ry) = scaled
        dx, dy = (math.hypot(rx * c, ry * s) for c, s in _turns(angle))
        scaled = [(cx - dx, cy - dy), (cx + dx, cy + dy)]
    elif "width" in value and angle:
        (x, y), (right, low) = scaled
        (across, down), (w, h) = (math.cos(angle), math.sin(angle)), (right - x, low - y)
        scaled = [(x + a * across - b * down, y + a * down + b * across) for a in (0, w) for b in (0, h)]
    if "points" in value or "radiusX" in value or angle:
        counts["polygons, ellipses and turned rectangles were read as the boxes around them"] += 1
    xs, ys = zip(*scaled, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def _turns(angle: float) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the shares of both radii of an ellipse in its width, and in its height."""
    return (math.cos(angle), math.sin(angle)), (math.sin(angle), math.cos(angle))


def _points(value: Mapping[str, Any]) -> list[tuple[float | None, float | None]]:
    """Return the points of a polygon, two corners of a rectangle, or centre and radii of an ellipse, in per cent."""
    if isinstance(points := value.get("points"), list):
        pairs = [one if isinstance(one, list) and len(one) == 2 else [None, None] for one in points]
        return [(number(x), number(y)) for x, y in pairs]
    x, y, width, height, rx, ry = (
        number(value.get(key)) for key in ("x", "y", "width", "height", "radiusX", "radiusY")
    )
    if rx is not None or ry is not None:
        return [(x, y), (rx, ry)]
    if x is None or y is None or width is None or height is None:
        return []
    return [(x, y), (x + width, y + height)]


def _address(text: str) -> str:
    """Return the path in an address: of a local file, of an upload, or in a bucket."""
    try:
        parts = urlsplit(text.replace("\\", "/"))
    except ValueError:  # of a host in brackets
        return text
    local = parse_qs(parts.query).get("d")
    if local:
        return local[0].lstrip("/")
    return unquote(parts.path).lstrip("/") if "/data/upload/" in parts.path or parts.scheme else text


def _uploaded(names: Sequence[str], paths: Sequence[str]) -> dict[str, str]:
    """Return files for the names under which they were uploaded: with a prefix, and without blanks and signs."""
    known = defaultdict[str, list[str]](list)
    for path in paths:
        known[_valid(io.name(path))].append(path)
    found = {name: known[_valid(_PREFIX.sub("", io.name(name)))] for name in names}
    return {name: own[0] for name, own in found.items() if len(own) == 1}


def _valid(name: str) -> str:
    """Return a name as Django stores it."""
    return re.sub(r"[^-\w.]", "", name.strip().replace(" ", "_")).casefold()


def read_label_studio(source: Source, *, holds: str) -> Parts:
    """Read exports of Label Studio; predictions are no annotations."""
    return read_files(source, _FITS, parse_label_studio, name="label_studio", holds=holds, rescue=_uploaded)


# ---- writing ----


def write_label_studio(manifest: Manifest, at: Location) -> str:
    """Write tasks that Label Studio imports, into a ``.json`` file or a folder. Images are not copied.

    Their addresses are those of its local storage, ``/data/local-files/?d=`` and the path below the file's folder.
    Groups, splits and further columns are not written.
    """
    images = annotated_images(manifest, sizes=True)
    require_known_boxes(images, manifest.class_names)
    unknown = [image.name for image in images if image.shapes and not image.size_hw]
    if unknown:
        raise DataError(f"{count(len(unknown), 'image has')} no known size, which per cent need: {examples(unknown)}")
    names = addresses_in(manifest, at, (".json",))
    tasks = [_task(image, name, manifest.kind.key) for image, name in zip(images, names, strict=True)]
    target = at if at.url.lower().endswith(".json") else at / "tasks.json"
    io.write_bytes(target, msgspec.json.encode(tasks))
    return target.url


def _task(image: AnnotatedImage, name: str, holds: str) -> dict[str, Any]:
    results: list[dict[str, Any]] | None = None
    if image.shapes is not None:
        results = [_result(shape, *(image.size_hw or (1, 1))) for shape in image.shapes]
    elif holds != "boxes_xyxy" and image.labels is not None:
        chosen = {"from_name": "choice", "to_name": "image", "type": "choices", "value": {"choices": [*image.labels]}}
        results = [chosen] if image.labels else []
    address = name if io.is_url(name) else f"/data/local-files/?d={quote(name)}"
    return {"data": {"image": address}, "annotations": [] if results is None else [{"result": results}]}


def _result(shape: Shape, height: int, width: int) -> dict[str, Any]:
    x1, y1, x2, y2 = shape.box_xyxy
    box = {"x": x1 / width * 100, "y": y1 / height * 100}
    box |= {"width": (x2 - x1) / width * 100, "height": (y2 - y1) / height * 100, "rotation": 0}
    return {
        "from_name": "label",
        "to_name": "image",
        "type": "rectanglelabels",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": {**box, "rectanglelabels": [shape.label]},
    }


LABEL_STUDIO = Format(
    "label_studio",
    holds=("boxes_xyxy", "label", "labels"),
    expected="a .json file of tasks with 'data' and 'annotations', or of JSON_MIN",
    detect=_detect,
    read=read_label_studio,
    write=write_label_studio,
    takes=("images",),
)
