"""The number of the first pixel: 1 in Pascal VOC, but 0 in the files of many tools, such as datumaro and Roboflow."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from onlineml.data.formats.voc.xml import VocBox, VocImage

__all__ = ["FROM_ZERO", "counted_from_zero", "moved_by_one"]

FROM_ZERO = (
    "corners are counted from 0, as some of them are 0, and not from 1 as Pascal VOC has it; "
    "from_voc(first_pixel=1) counts from 1"
)


def counted_from_zero(images: Iterable[VocImage]) -> bool:
    """Return whether a corner is 0, so that pixels are counted from 0, as many tools do, and not as VOC does."""
    boxes = (box for image in images for box in image.boxes if not box.exact and box.outline != "rotated boxes")
    return any(-1 in box.box_xyxy[:2] for box in boxes)


def moved_by_one(image: VocImage) -> VocImage:
    """Return an image whose corners were counted from 0, but read as if they were counted from 1."""
    boxes = [box if box.exact or box.outline == "rotated boxes" else _moved_by_one(box) for box in image.boxes]
    return replace(image, boxes=boxes)


def _moved_by_one(box: VocBox) -> VocBox:
    x1, y1, x2, y2 = box.box_xyxy
    return replace(box, box_xyxy=[x1 + 1, y1 + 1, x2 + (x2 == x1), y2 + (y2 == y1)])  # no extent stays none
