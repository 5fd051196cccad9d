"""Rows of a YOLO label file: ``class cx cy width height``, relative to the image size.

Source: https://docs.ultralytics.com/datasets/detect/, and for further columns ``/segment``, ``/obb`` and ``/pose``.

Numbers are converted as decimals, not as binary fractions, so that any box in pixels can be written with digits that
reproduce it exactly, even at a third of the image's width.
"""

from __future__ import annotations

from decimal import Decimal, localcontext
from functools import lru_cache
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from onlineml.data.formats.parts import plain_decimal
from onlineml.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["YoloRow", "look_like_keypoints", "parse_rows", "row_values", "written_rows"]

_PRECISION = 60  # digits of intermediate results; more than those of a row and of a size together
# digits of edges; 7 correspond to centres and sizes with 6, as most tools write them
_DIGITS = (7, 10, 13, 16, 19, 22, 25, 30, 40)
_NAN = Decimal("nan")
_MOST_CLASSES = 1_000_000  # larger numbers are not class ids
_VISIBILITY = {0.0, 1.0, 2.0}
_FILLED = 0.3  # share of a box that its keypoints usually extend over, in one direction at least


class YoloRow(NamedTuple):
    """One row.

    Attributes:
        number: of the class; a decimal if it is none.
        box_xyxy: in pixels; nan if the size is unknown.
        score: a sixth column, the confidence of predictions; None if there is none.
        is_outline: whether the box is the one around a polygon or an oriented box.
    """

    number: int | Decimal
    box_xyxy: list[float]
    score: float | None = None
    is_outline: bool = False


def parse_rows(text: str, *, size_hw: tuple[int, int] | None, n_keypoints: int | None = None) -> list[YoloRow]:
    """Parse the rows of a label file.

    Args:
        text: the file. Of a class and at least three points (a polygon, or an oriented box), the box around them is
            taken; after a box, one more number is a confidence.
        size_hw: size of the upright image; None if unknown: then corners are nan.
        n_keypoints: how many numbers of keypoints follow each box; None: there are no keypoints.

    Raises:
        DataError: some rows have none of these forms; each is named by its line.
    """
    found, bad = [], []
    height, width = (_NAN, _NAN) if size_hw is None else map(Decimal, size_hw)
    has_commas = "," in text
    with localcontext(prec=_PRECISION):
        for line, row in enumerate(text.splitlines(), start=1):
            words = row_values(row) if has_commas else row.split()
            if not words:
                continue
            try:
                found.append(_parsed(words, width, height, n_keypoints))
            except (ArithmeticError, ValueError):
                bad.append(f"line {line}: {row.strip()[:80]!r}")
    if bad:
        raise DataError("; ".join(bad))
    return found


def row_values(row: str) -> list[str]:
    """Return the words of a row, which are separated by blanks, commas, or both."""
    if "," not in row:
        return row.split()
    row = row.strip().rstrip(",")
    words = row.replace(", ", " ").split()
    return row.split(",") if len(words) == 1 and "," in row else words


def _parsed(words: Sequence[str], width: Decimal, height: Decimal, n_keypoints: int | None) -> YoloRow:
    number, values, score = _class_number(words[0]), list(map(Decimal, words[1:])), None
    n = len(values)
    if n == 4:  # most rows
        x, y, w, h = values
        (x1, x2), (y1, y2) = _side(x, w, width), _side(y, h, height)
        return YoloRow(number, [x1, y1, x2, y2])
    n_points = n_keypoints or 0
    if n in {5, 4 + n_points, 5 + n_points}:
        if n in {5, 5 + n_points} and n != 4 + n_points:
            score = float(values.pop())
            if not 0 <= score <= 1:
                raise ValueError("no confidence")
        x, y, w, h = values[:4]
        (x1, x2), (y1, y2) = _side(x, w, width), _side(y, h, height)
    elif n >= 6 and n % 2 == 0 and not n_points:
        (x1, x2), (y1, y2) = _around(values[0::2], width), _around(values[1::2], height)
    else:
        raise ValueError("no form")
    return YoloRow(number, [x1, y1, x2, y2], score, is_outline=n >= 6 and not n_points)


@lru_cache(maxsize=1024)
def _class_number(word: str) -> int | Decimal:
    """Return the number of a class, one object for many rows; a decimal for what is none."""
    if (number := Decimal(word)).is_snan():
        raise ValueError("no class")
    whole = number.is_finite() and -_MOST_CLASSES < number < _MOST_CLASSES and number == int(number)
    return int(number) if whole else number


def look_like_keypoints(rows: Iterable[str]) -> int | None:
    """Tell keypoints from polygons, which are written alike: return the rows' numbers after the box, or None.

    Rows with keypoints are equally long, and hold a visibility of 0, 1 or 2 after each point, or else all their points
    are inside the box of the first four numbers, and usually extend over a good part of it. Rows of up to six columns
    are left aside.

    Args:
        rows: of all label files.
    """
    lengths, filled, visible, inside = set(), [], True, True
    for row in rows:
        words = row_values(row) if len(row) > 12 and len(row.split(None, 5)) != 5 else ()  # most have five
        if len(words) <= 6:
            continue
        lengths.add(len(words))
        try:
            values = list(map(float, words[1:]))
        except ValueError:
            return None
        if len(lengths) > 1:
            return None
        visible = visible and len(values) % 3 == 1 and {*values[6::3]} <= _VISIBILITY
        share = _share_of_box(values)
        inside = inside and share is not None
        filled.append(share or 0.0)
        if not (visible or inside):
            return None
    if not lengths or not (visible or lengths == {7} or median(filled) >= _FILLED):
        return None
    return lengths.pop() - 5


def _share_of_box(values: Sequence[float]) -> float | None:
    """Return how much of the box of the first four numbers the other points extend over; None if one is outside."""
    x, y, width, height = values[:4]
    points = [point for point in zip(values[4::2], values[5::2], strict=False) if point != (0, 0)]
    if len(values) % 2 or not all(
        abs(px - x) <= width / 2 + 1e-3 and abs(py - y) <= height / 2 + 1e-3 for px, py in points
    ):
        return None
    sides = list(zip(*points, strict=True)) or [(0.0,)]
    shares = [(max(side) - min(side)) / (size or 1) for side, size in zip(sides, (width, height), strict=False)]
    return float(max(shares))


def _side(centre: Decimal, extent: Decimal, size: Decimal) -> tuple[float, float]:
    half = extent / 2
    return float((centre - half) * size), float((centre + half) * size)


def _around(values: Sequence[Decimal], size: Decimal) -> tuple[float, float]:
    return float(min(values) * size), float(max(values) * size)


def written_rows(boxes_xyxy: Sequence[Sequence[float]], numbers: Sequence[int], *, size_hw: tuple[int, int]) -> str:
    """Return the content of a label file, with as many digits as `parse_rows` needs to reproduce the boxes exactly.

    Args:
        boxes_xyxy: n boxes in pixels, finite.
        numbers: n class numbers.
        size_hw: size of the upright image.
    """
    height, width = map(Decimal, size_hw)
    lines = []
    with localcontext(prec=_PRECISION):
        for number, (x1, y1, x2, y2) in zip(numbers, boxes_xyxy, strict=True):
            (cx, w), (cy, h) = _written_side(x1, x2, width), _written_side(y1, y2, height)
            lines.append(f"{number} {cx} {cy} {w} {h}\n")
    return "".join(lines)


def _written_side(low: float, high: float, size: Decimal) -> tuple[str, str]:
    centre = extent = Decimal(0)
    for digits in _DIGITS:
        # edges are rounded, not centres: an edge at the image border must stay there
        first, last = round(Decimal(low) / size, digits), round(Decimal(high) / size, digits)
        centre, extent = (first + last) / 2, last - first
        if _side(centre, extent, size) == (low, high):
            break
    return plain_decimal(centre), plain_decimal(extent)
