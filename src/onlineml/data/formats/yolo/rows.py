"""Rows of a YOLO label file: ``class cx cy width height``, relative to the image size.

Source: https://docs.ultralytics.com/datasets/detect/.

Numbers are converted as decimals, not as binary fractions, so that any box in pixels can be written with digits that
reproduce it exactly, even at a third of the image's width.
"""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import TYPE_CHECKING

from onlineml.data.formats.parts import plain_decimal
from onlineml.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["YoloRow", "parse_rows", "written_rows"]

YoloRow = tuple[Decimal, list[float]]  # the class number, and x1, y1, x2, y2 in pixels

_PRECISION = 60  # digits of intermediate results; more than those of a row and of a size together
# digits of edges; 7 correspond to centres and sizes with 6, as most tools write them
_DIGITS = (7, 10, 13, 16, 19, 22, 25, 30, 40)
_NAN = Decimal("nan")


def parse_rows(text: str, *, size_hw: tuple[int, int] | None) -> list[YoloRow]:
    """Parse the class number and the corners in pixels of each row.

    Args:
        text: the file. A row of a class and at least three points (a segmentation) results in the points' bounding box.
        size_hw: size of the upright image; None if unknown: then corners are nan.

    Raises:
        DataError: some rows have neither form; each is named by its line.
    """
    found, bad = [], []
    height, width = (_NAN, _NAN) if size_hw is None else map(Decimal, size_hw)
    with localcontext(prec=_PRECISION):
        for line, row in enumerate(text.splitlines(), start=1):
            words = row.split()
            if not words:
                continue
            try:
                number, *values = map(Decimal, words)
                if len(values) == 4:
                    (x1, x2), (y1, y2) = _side(values[0], values[2], width), _side(values[1], values[3], height)
                elif len(values) >= 6 and len(values) % 2 == 0:
                    (x1, x2), (y1, y2) = _around(values[0::2], width), _around(values[1::2], height)
                else:
                    raise ArithmeticError  # noqa: TRY301 (noqa: TRY301 (handled like invalid numbers))
                found.append((number, [x1, y1, x2, y2]))
            except ArithmeticError:
                bad.append(f"line {line}: {row.strip()[:80]!r}")
    if bad:
        raise DataError("; ".join(bad))
    return found


def _side(centre: Decimal, extent: Decimal, size: Decimal) -> tuple[float, float]:
    return float((centre - extent / 2) * size), float((centre + extent / 2) * size)


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
