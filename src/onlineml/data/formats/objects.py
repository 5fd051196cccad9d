"""Objects of an image as Hugging Face's datasets hold them: ``{"bbox": [[x, y, width, height], …], "category": […]}``.

The box begins at ``x, y`` and has a width and a height, in pixels: 302, 109, 73, 52 are the corners 302, 109, 375, 161
(https://huggingface.co/docs/datasets/image_dataset#object-detection).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onlineml.arguments.counted import count
from onlineml.data.formats.annotated import Shape
from onlineml.data.formats.columns import LABEL_KEYS, label_key
from onlineml.data.formats.csv import key as spelled
from onlineml.data.formats.json_lines import number

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["BOX_KEYS", "CLASS_KEYS", "class_name", "corners_instead", "is_class_number", "numbers_note"]
__all__ += ["shapes_of", "used_names"]

BOX_KEYS = ("bbox", "bboxes", "boxes")
_FAR = 1.1  # of a side of the image
_MOST_DIGITS = 10  # of the number of a class
CLASS_KEYS = frozenset({*LABEL_KEYS, "name"})


def shapes_of(objects: Any, where: str, problems: list[str], *, names: Sequence[str] = ()) -> list[Shape]:
    """Return the boxes of an image.

    Args:
        objects: lists by key, or a list of objects with a box each.
        where: a place, for messages.
        problems: gets what is wrong.
        names: of the classes that numbers stand for; a number beyond them is its own name.
    """
    rows = objects if isinstance(objects, list) else _rows(objects, where, problems)
    shapes = []
    for row in rows:
        facts: Mapping[str, Any] = row if isinstance(row, dict) else {}
        box = next((facts[key] for key in BOX_KEYS if key in facts), None)
        sides = [number(side) for side in box] if isinstance(box, list) else []
        if len(sides) != 4 or None in sides:
            problems.append(f"{where}: expected a box [x, y, width, height], found {box!r:.80}")
            continue
        x, y, width, height = (side for side in sides if side is not None)
        key = label_key(tuple(name for name, value in facts.items() if value is not None), "name")
        label = None if key is None else class_name(facts[key], names)
        further = {name: value for name, value in facts.items() if name not in {*BOX_KEYS, key} and _is_plain(value)}
        shapes.append(Shape(label, (x, y, x + width, y + height), further))
    return shapes


def _rows(objects: Any, where: str, problems: list[str]) -> list[dict[str, Any]]:
    """Return an object for each box from lists by key."""
    lists = (
        {key: value for key, value in objects.items() if isinstance(value, list)} if isinstance(objects, dict) else {}
    )
    key = next((key for key in BOX_KEYS if key in lists), None)
    if key is None:
        problems.append(f"{where}: the objects have no 'bbox': {objects!r:.80}")
        return []
    n = len(lists[key])
    short = [name for name, value in lists.items() if len(value) != n and spelled(name) in CLASS_KEYS]
    if short:
        problems.append(f"{where}: {count(n, 'box')}, but {len(lists[short[0]])} of {short[0]!r}")
        return []
    same = {name: value for name, value in lists.items() if len(value) == n}
    return [{name: value[row] for name, value in same.items()} for row in range(n)]


def is_class_number(text: str) -> bool:
    """Return whether a text may be the number of a class; Python refuses to convert thousands of digits."""
    return text.isdecimal() and len(text) < _MOST_DIGITS


def _is_plain(value: Any) -> bool:
    return isinstance(value, bool | int | float | str)


def class_name(value: Any, names: Sequence[str]) -> str:
    """Return the name of a class that is given by its name, or by its number in a list of names."""
    is_text = isinstance(value, str) and is_class_number(value) and value not in names
    is_number = type(value) is int or (type(value) is float and value.is_integer())  # not infinite
    place = int(value) if is_number or (is_text and names) else -1
    if 0 <= place < len(names):
        return names[place]
    return str(place) if place >= 0 else str(value)


def numbers_note(class_names: Sequence[str]) -> list[str]:
    """Return a note for people, if the classes are numbers."""
    if not class_names or not all(name.isdecimal() for name in class_names):
        return []
    return [f"the classes are numbers, {class_names[0]} to {class_names[-1]}; class_names= gives them names"]


def used_names(labels: Iterable[str], names: Sequence[str]) -> tuple[str, ...] | None:
    """Return the names of numbered classes; None if there are none, or the labels are others too."""
    return tuple(names) if names and {*labels} <= {*names} else None


def corners_instead(shapes: Sequence[Sequence[Shape]], sizes_hw: Sequence[tuple[int, int] | None]) -> bool:
    """Return whether boxes are corners ``[x1, y1, x2, y2]``, although the format has sides: only so do all fit.

    As sides, a tenth of them must end far outside; fewer are mistakes of people, or of rounding.

    Args:
        shapes: of N images, read as sides.
        sizes_hw: of these images; images without one tell nothing.
    """
    beyond, n_boxes = 0, 0
    for own, size in zip(shapes, sizes_hw, strict=True):
        for shape in own if size else ():
            x1, y1, x2, y2 = shape.box_xyxy
            height, width = size or (0, 0)
            if not (x1 < x2 - x1 <= width + 1 and y1 < y2 - y1 <= height + 1):
                return False
            n_boxes += 1
            beyond += x2 > width * _FAR or y2 > height * _FAR
    return beyond > n_boxes / 10
