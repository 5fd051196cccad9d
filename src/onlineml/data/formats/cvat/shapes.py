"""Shapes of CVAT, and the smallest upright boxes around them.

Corners are edges in pixels from 0: ``xbr="1024.00"`` is the right edge of an image of width 1024, and ``rotation``
turns a box clockwise about its centre, in degrees (https://docs.cvat.ai/docs/manual/advanced/xml_format/). FiftyOne
and Datumaro read the corners unchanged. A mask covers the whole pixels that its runs name inside the rectangle
``left``, ``top``, ``width``, ``height``.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from onlineml.data.formats.annotated import Shape
from onlineml.errors import DataError

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Mapping
    from xml.etree.ElementTree import Element

__all__ = ["SHAPES", "shape_of"]

SHAPES = ("box", "polygon", "polyline", "ellipse", "cuboid", "mask", "skeleton")
_FLAGS = {"true": True, "false": False}


def shape_of(element: Element, told: str, counts: Counter[str]) -> Shape | None:
    """Return the box around a shape; None for what has none.

    Args:
        element: a child of an image or of a track.
        told: the file and the image, for messages.
        counts: of the shapes that became the box around them, and of what was left out, by a sentence's end.

    Raises:
        DataError: a number is missing.
    """
    kind = element.tag
    if kind == "points":
        counts["labels of points were left out for want of an extent"] += 1
    if kind not in SHAPES:
        return None
    try:
        box = _around(element)
    except (KeyError, ValueError) as error:
        raise DataError(f"{told}: <{kind} label={element.get('label')!r}> has no valid {error}") from error
    if box is None:
        counts[f"labels of {kind} type were left out: no part of them is in the image"] += 1
        return None
    if kind != "box" or float(element.get("rotation", 0)) % 360:
        counts[f"labels of {'rotated box' if kind == 'box' else kind} type were read as the boxes around them"] += 1
    return Shape(element.get("label") or None, box, _attributes(element))


def _attributes(element: Element) -> dict[str, Any]:
    found: dict[str, Any] = {"occluded": True} if element.get("occluded") == "1" else {}
    if element.get("group_id", "0") != "0":
        found["group_id"] = element.get("group_id")
    for child in element.findall("attribute"):
        name, text = child.get("name") or "", (child.text or "").strip()
        if name == "area":
            found[name] = _number({"area": text}, "area")
        elif name and text:
            found[name] = _FLAGS.get(text, False) if name in {"crowd", "occluded"} else text
    return found


def _around(element: Element) -> tuple[float, float, float, float] | None:
    """Return the corners of the smallest upright box around a shape."""
    given = element.attrib
    if element.tag == "box":
        x1, y1, x2, y2 = (_number(given, name) for name in ("xtl", "ytl", "xbr", "ybr"))
        if not (angle := _angle(given)):
            return x1, y1, x2, y2
        cosine, sine = abs(math.cos(angle)), abs(math.sin(angle))
        width, height = x2 - x1, y2 - y1
        return _centred((x1 + x2) / 2, (y1 + y2) / 2, width * cosine + height * sine, width * sine + height * cosine)
    if element.tag == "ellipse":
        x, y, rx, ry = (_number(given, name) for name in ("cx", "cy", "rx", "ry"))
        cosine, sine = math.cos(_angle(given)), math.sin(_angle(given))
        return _centred(x, y, 2 * math.hypot(rx * cosine, ry * sine), 2 * math.hypot(rx * sine, ry * cosine))
    if element.tag == "mask":
        return _around_runs(given)
    if element.tag == "cuboid" and "points" not in given:
        points = [(_number(given, f"x{end}"), _number(given, f"y{end}")) for end in _cuboid_ends(given)]
    elif element.tag == "skeleton":
        points = [xy for part in element.findall("points") if part.get("outside") != "1" for xy in _points(part.attrib)]
    else:
        points = _points(given)
    if not points:
        return None
    xs, ys = zip(*points, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def _centred(x: float, y: float, width: float, height: float) -> tuple[float, float, float, float]:
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def _number(given: Mapping[str, str], name: str) -> float:
    try:
        value = float(given.get(name, "nan"))
    except ValueError:
        raise ValueError(name) from None
    if not math.isfinite(value):
        raise ValueError(name)
    return value


def _angle(given: Mapping[str, str]) -> float:
    return math.radians(_number({"rotation": given.get("rotation", "0")}, "rotation") % 360)


def _points(given: Mapping[str, str]) -> list[tuple[float, float]]:
    found = []
    for text in given["points"].split(";"):
        x, _, y = text.partition(",")
        found.append((_number({"points": x}, "points"), _number({"points": y}, "points")))
    return found


def _cuboid_ends(given: Mapping[str, str]) -> list[str]:
    ends = [name[1:] for name in given if re.fullmatch(r"x[tb][lr][12]", name)]
    if not ends:
        raise ValueError("xtl1")
    return ends


def _around_runs(given: Mapping[str, str]) -> tuple[float, float, float, float] | None:
    """Return the box around the pixels of a mask: runs of pixels outside and inside of it in turn, row by row."""
    left, top, width, height = (_number(given, name) for name in ("left", "top", "width", "height"))
    runs = [int(run) for run in given.get("rle", "").split(",") if run.strip()]
    if not runs:
        return left, top, left + width, top + height
    rows, columns, at = list[int](), list[int](), 0
    for place, run in enumerate(runs):
        if place % 2 and run:
            first, last = at, at + run - 1
            rows += [first // int(width), last // int(width)]
            one_row = rows[-1] == rows[-2]
            columns += [first % int(width), last % int(width)] if one_row else [0, int(width) - 1]
        at += run
    if not rows:
        return None
    return left + min(columns), top + min(rows), left + max(columns) + 1, top + max(rows) + 1
