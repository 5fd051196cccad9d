"""Projects of VIA 3: files, views of them, and metadata with the numbers of a shape and of attributes' options.

``xy`` is the number of a shape and its numbers: ``[2, 10, 20, 5, 5]`` is a rectangle at x 10, y 20 with sides of 5.
Metadata without ``xy`` is about the whole file.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgspec

from onlineml.data.formats.json_lines import number

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Mapping, Sequence

__all__ = ["Project3", "file_attributes", "files_of", "regions_of"]

Key = str | int

_IMAGE = 2  # the type of a file
_NAMES = {1: "point", 2: "rect", 3: "circle", 4: "ellipse", 5: "line", 6: "polyline", 7: "polygon"}
_NAMES |= {8: "extreme rectangle", 9: "circle"}
_SIDES = {2: ("x", "y", "width", "height"), 3: ("cx", "cy", "r"), 4: ("cx", "cy", "rx", "ry")}


class _Attribute(msgspec.Struct):
    aname: str
    options: dict[str, str] = {}


class _File(msgspec.Struct):
    fname: str = ""
    type: int = _IMAGE


class _Metadata(msgspec.Struct):
    vid: Key
    z: list[Any] = []
    xy: list[int | float | str | bool | None] = []
    av: dict[str, Any] = {}


class _View(msgspec.Struct):
    fid_list: list[Key] = []


class Project3(msgspec.Struct):
    """A project, as it is saved."""

    file: dict[str, _File]
    view: dict[str, _View]
    metadata: dict[str, _Metadata] = {}
    attribute: dict[str, _Attribute] = {}


def files_of(saved: Project3, counts: Counter[str]) -> dict[str, str]:
    """Return the name of the image of each view that shows one; others are counted."""
    found = {}
    for key, view in saved.view.items():
        own = [file for one in view.fid_list if (file := saved.file.get(str(one))) is not None]
        if len(own) == 1 and own[0].type == _IMAGE:
            found[key] = own[0].fname
        else:
            counts["views of videos, sounds or several files were left out"] += 1
    return found


def regions_of(saved: Project3, view: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return the shapes of a view, as VIA 2 writes them, each with its attributes by name."""
    own = [one for one in saved.metadata.values() if str(one.vid) == view and one.xy]
    return [(_shape(one.xy), _attributes(one.av, saved.attribute)) for one in own]


def file_attributes(saved: Project3, view: str) -> dict[str, Any]:
    """Return the attributes of a view's file by name."""
    own = [one for one in saved.metadata.values() if str(one.vid) == view and not one.xy and not one.z]
    return {name: value for one in own for name, value in _attributes(one.av, saved.attribute).items()}


def _attributes(values: Mapping[str, Any], attributes: Mapping[str, _Attribute]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        about = attributes.get(key)
        if about is None or not about.options:
            found[key if about is None else about.aname] = value
        else:  # of check boxes several numbers with commas
            chosen = [one.strip() for one in str(value).split(",") if one.strip()]
            found[about.aname] = [about.options.get(one, one) for one in chosen]
    return found


def _shape(xy: Sequence[Any]) -> dict[str, Any]:
    kind, values = xy[0], [*xy[1:]]
    shape = {"name": _NAMES.get(kind, f"{kind}"[:20])}
    if kind in _SIDES:
        return shape | dict(zip(_SIDES[kind], values, strict=False))
    if kind == 9:
        return shape | _circle([n for value in values if (n := number(value)) is not None])
    return shape | {"all_points_x": values[0::2], "all_points_y": values[1::2]}


def _circle(values: Sequence[float]) -> dict[str, Any]:
    """Return centre and radius of the circle through three points; nothing if there is none."""
    if len(values) != 6:
        return {}
    ax, ay, bx, by, cx, cy = values
    twice = 2 * (ax * (by - cy) + bx * (cy - ay) + cx * (ay - by))
    if not twice:
        return {}
    a, b, c = ax * ax + ay * ay, bx * bx + by * by, cx * cx + cy * cy
    x = (a * (by - cy) + b * (cy - ay) + c * (ay - by)) / twice
    y = (a * (cx - bx) + b * (ax - cx) + c * (bx - ax)) / twice
    return {"cx": x, "cy": y, "r": math.hypot(ax - x, ay - y)}
