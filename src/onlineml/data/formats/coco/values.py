"""Values of COCO files as programs write them: ids as numbers or digits, numbers as text, boxes of segmentations."""

from __future__ import annotations

import math
import re
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
from pycocotools import mask

from onlineml.arguments.counted import count
from onlineml.data.manifest.examples import examples

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

__all__ = [
    "as_number",
    "find_ids",
    "plain_ids",
    "read_flags",
    "read_numbers",
    "read_xywh",
    "segmentation_xywh",
]

_DIGITS = re.compile(r"-?[0-9]+")
_LARGEST_SIDE = 1 << 15
_FLAGS = {0: False, 1: True, "0": False, "1": True, "false": False, "true": True}


def plain_ids(values: Sequence[Any]) -> Sequence[Any]:
    """Return ids with floats such as 3.0 as integers, and digits, too, where other ids are numbers."""
    kinds = {type(value) for value in values}
    if float in kinds:
        values = [int(value) if type(value) is float and value.is_integer() else value for value in values]
    if str in kinds and len(kinds) > 1:
        values = [int(value) if isinstance(value, str) and _DIGITS.fullmatch(value) else value for value in values]
    return values


def find_ids(values: Sequence[Any], known: Mapping[Any, int]) -> list[int]:
    """Return the position of each id; -1 for one that is not known.

    Args:
        values: ids as another list of the file states them: ``7``, ``7.0``, ``"7"`` and ``"0007"`` are one id, unless
            the known ids tell them apart.
        known: position by id.
    """
    found = [known.get(value, -1) if type(value) in {int, str} else -1 for value in values]
    if -1 in found:
        digits = {int(key): place for key, place in reversed([*known.items()]) if _DIGITS.fullmatch(str(key))}
        for row, value in enumerate(values):
            number = as_number(value) if found[row] < 0 else None
            if type(number) is int or (isinstance(number, float) and number.is_integer()):
                found[row] = digits.get(int(number), -1)
    return found


def as_number(value: Any) -> int | float | None:
    """Return a number that may be written as text; None for anything else."""
    if type(value) in {int, float}:
        return value  # type: ignore[no-any-return]
    if not isinstance(value, str):
        return None
    try:
        return int(value)
    except ValueError:
        pass
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def read_numbers(values: Sequence[Any], what: str, problems: list[str]) -> npt.NDArray[np.float64]:
    """Return (M,) numbers, also from texts; nan for null."""
    if {type(value) for value in values} - {int, float, type(None)}:
        numbers = [None if value in (None, "") else as_number(value) for value in values]
        wrong = [value for value, number in zip(values, numbers, strict=True) if number is None and value]
        if wrong:
            problems.append(
                f"{count(len(wrong), f'value of {what} is no number', f'values of {what} are no numbers')}: "
                f"{examples(wrong)}"
                f"{count(len(wrong), f'value of {what} is no number', f'values of {what} are no numbers')}: "
                f"{examples(wrong)}"
            )
        values = numbers
    return _doubles(values)


def _doubles(values: Sequence[float | None]) -> npt.NDArray[np.float64]:
    try:
        return np.array(values, dtype=np.float64)
    except OverflowError:  # integers of hundreds of digits
        return np.array([_double(value) for value in values])


def _double(value: Any) -> float:
    if isinstance(value, int) and abs(value) > sys.float_info.max:
        return math.inf if value > 0 else -math.inf
    return math.nan if value is None else float(value)


def read_flags(values: Sequence[Any], what: str, problems: list[str]) -> list[bool | None]:
    """Return M booleans, given as 0 and 1 or false and true, also as text; None for null."""
    wrong = [value for value in values if value not in (0, 1, None)]
    if wrong:
        keys = [value.lower() if isinstance(value, str) else None for value in wrong]
        bad = [value for value, key in zip(wrong, keys, strict=True) if key not in _FLAGS]
        if bad:
            problems.append(
                f"{count(len(bad), f'value of {what} is', f'values of {what} are')} neither 0 nor 1: {examples(bad)}"
            )
            return [None] * len(values)
        return [None if value is None else _FLAGS[str(value).lower()] for value in values]
    return [None if value is None else bool(value) for value in values]


def read_xywh(values: Sequence[Any], problems: list[str]) -> npt.NDArray[np.float64]:
    """Return (M, 4) boxes, also from numbers as text; nan for a box, or a number of it, that is null or absent."""
    kinds = {int, float, type(None)}
    boxes = [[None] * 4 if value is None or value == [] else value for value in values]
    odd = [
        row
        for row, box in enumerate(boxes)
        if not (isinstance(box, list) and len(box) == 4 and {type(v) for v in box} <= kinds)
    ]
    for row in odd:
        boxes[row] = _read_box(boxes[row]) or boxes[row]
    wrong = [boxes[row] for row in odd if _read_box(boxes[row]) is None]
    if wrong:
        problems.append(
            f"{count(len(wrong), 'value of bbox is', 'values of bbox are')} not [x, y, width, height]: "
            f"{examples(wrong)}"
        )
        return np.full((len(boxes), 4), np.nan)
    return _doubles([value for box in boxes for value in box]).reshape(-1, 4)


def _read_box(box: Any) -> list[int | float | None] | None:
    """Return a box of numbers, which may be text; None if it is none."""
    if not isinstance(box, list) or len(box) != 4:
        return None
    numbers = [as_number(value) for value in box]
    return None if any(n is None and v is not None for n, v in zip(numbers, box, strict=True)) else numbers


def segmentation_xywh(value: Any) -> list[float] | None:
    """Return the smallest box around a segmentation; None if it is empty or not understood.

    Args:
        value: polygons ``[[x1, y1, x2, y2, ...], ...]``, a single one without the outer list, or a mask in
            run-length encoding, compressed (as text) or not: ``{"size": [height, width], "counts": ...}``.
    """
    if isinstance(value, dict):
        return _mask_xywh(value.get("size"), value.get("counts"))
    if not isinstance(value, list) or not value:
        return None
    points = [number for part in value for number in (part if isinstance(part, list) else [part])]
    numbers = [as_number(number) for number in points]
    if len(numbers) < 4 or len(numbers) % 2 or None in numbers:
        return None
    low, high = (f(np.reshape(np.array(numbers, dtype=np.float64), (-1, 2)), axis=0) for f in (np.min, np.max))
    return [*low.tolist(), *(high - low).tolist()]


def _mask_xywh(size: Any, counts: Any) -> list[float] | None:
    """Return the box of a mask. Everything that could mislead pycocotools' C code is refused before it sees it."""
    sides = list(plain_ids(size)) if isinstance(size, list) and len(size) == 2 else []
    if not sides or any(type(side) is not int or not 1 <= side <= _LARGEST_SIDE for side in sides):
        return None
    height, width = sides
    if isinstance(counts, list):
        if any(type(count) is not int or count < 0 for count in counts) or sum(counts) != height * width:
            return None
        encoded = mask.frPyObjects({"size": sides, "counts": counts}, height, width)
    elif isinstance(counts, str) and counts and _is_compressed(counts):
        encoded = {"size": sides, "counts": counts.encode("ascii")}
    else:
        return None
    found: list[float] = mask.toBbox(encoded).tolist()
    return found if found[2] > 0 and found[3] > 0 else None


def _is_compressed(counts: str) -> bool:
    """Return whether a text is a sequence of whole numbers in COCO's code: 6 bits a character, no 32 in the last."""
    bits = [ord(character) - 48 for character in counts]
    return all(0 <= value < 64 for value in bits) and not bits[-1] & 32
