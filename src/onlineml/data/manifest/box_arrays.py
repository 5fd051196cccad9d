"""Boxes of objects in images: one convention, a flat form of many images' boxes, and the policy for bad ones.

Everywhere in onlineml a box is ``(x1, y1, x2, y2)``: absolute pixels of the EXIF-upright image, x to the right and y
down from the upper left corner of the upper left pixel, so that a whole image of width W and height H is
``(0, 0, W, H)``. Other conventions are converted where files are read and written, in `onlineml.data.formats`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Boxes", "box_iou", "clean_boxes", "of_another_size", "repeated_boxes"]

_SAME_PX = 0.5
_LARGER = 1.2  # than the image: by hand, a box is drawn a few pixels beyond the edges; a resized image shrank more


@dataclass(frozen=True, eq=False)
class Boxes:
    """The boxes of N images, one after the other.

    Attributes:
        boxes_xyxy: (M, 4) float64, as they were given; bad ones among them, see `clean_boxes`.
        label_ids: (M,) int64, place in the class names; -1 where the label is none of them.
        crowd: (M,) bool; a crowd is a region of many objects that nobody separated: no object to learn, no background.
        area: (M,) float64 of the object in pixels, as COCO's ``area`` (of its mask); nan where not given.
        offsets: (N + 1,) int64; the boxes of image i are ``offsets[i]`` to ``offsets[i + 1]``.
        annotated: (N,) bool; an annotated image without boxes shows no objects, an image that nobody annotated may.
    """

    boxes_xyxy: npt.NDArray[np.float64]
    label_ids: npt.NDArray[np.int64]
    crowd: npt.NDArray[np.bool_]
    area: npt.NDArray[np.float64]
    offsets: npt.NDArray[np.int64]
    annotated: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.boxes_xyxy)

    @property
    def image_index(self) -> npt.NDArray[np.int64]:
        """(M,) int64: the image of each box."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))

    def of(self, image: int) -> slice:
        """The places of one image's boxes in the arrays."""
        return slice(int(self.offsets[image]), int(self.offsets[image + 1]))


def clean_boxes(
    boxes_xyxy: npt.NDArray[np.float64], size_hw: tuple[int, int] | npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.object_]]:
    """Cut boxes at the image's edges, and say what is wrong with each.

    Args:
        boxes_xyxy: (n, 4), anything.
        size_hw: height and width of the upright image, or (n, 2) those of each box's image.

    Returns:
        (n, 4) float64 boxes within the image, those that cannot be used as zeros, and (n,) codes: ``""`` (fine),
        ``"box_clipped"`` (by a pixel or more; used as cut) or, for a box that cannot be used, ``"box_not_finite"``,
        ``"box_empty"`` (no width or no height, or ends before it begins) or ``"box_outside"``.
    """
    boxes = np.array(boxes_xyxy, dtype=np.float64).reshape(-1, 4)
    codes = np.full(len(boxes), "", dtype=object)
    high = np.asarray(size_hw, dtype=np.float64)[..., [1, 0, 1, 0]]
    finite = np.isfinite(boxes).all(1)
    empty = finite & ~((boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1]))
    with np.errstate(invalid="ignore"):
        cut = np.clip(boxes, 0.0, high)
        outside = finite & ~empty & ~((cut[:, 2] > cut[:, 0]) & (cut[:, 3] > cut[:, 1]))
        codes[finite & (np.abs(cut - boxes) >= 1.0).any(1)] = "box_clipped"
    codes[~finite], codes[empty], codes[outside] = "box_not_finite", "box_empty", "box_outside"
    cut[~finite | empty | outside] = 0.0
    return cut, codes


def repeated_boxes(
    boxes_xyxy: npt.NDArray[np.float64], label_ids: npt.NDArray[np.int64], image_index: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Find the boxes that repeat an earlier box of their image: its class, and each corner within half a pixel.

    Args:
        boxes_xyxy: (M, 4), usable ones.
        label_ids: (M,).
        image_index: (M,).

    Returns:
        (M,) int64: the place of the earlier box, which repeats none itself; -1 for the others.
    """
    order = np.lexsort((boxes_xyxy[:, 0], label_ids, image_index))
    pairs = [np.zeros((0, 2), dtype=np.int64)]
    for lag in range(1, len(order)):  # neighbours by their left edges, as long as any are near
        one, other = order[:-lag], order[lag:]
        near = (image_index[one] == image_index[other]) & (label_ids[one] == label_ids[other])
        near &= boxes_xyxy[other, 0] - boxes_xyxy[one, 0] <= _SAME_PX
        if not near.any():
            break
        same = near & (np.abs(boxes_xyxy[one] - boxes_xyxy[other]) <= _SAME_PX).all(1)
        pairs.append(np.sort(np.stack([one[same], other[same]], axis=1), axis=1))
    repeated = np.full(len(boxes_xyxy), -1, dtype=np.int64)
    for first, later in sorted(np.concatenate(pairs).tolist()):
        if repeated[first] < 0 and repeated[later] < 0:
            repeated[later] = first
    return repeated


def of_another_size(
    boxes_xyxy: npt.NDArray[np.float64], image_index: npt.NDArray[np.int64], sizes_hw: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """Find the images that are smaller than what their boxes were drawn on: no box fits, and some are larger than they.

    Args:
        boxes_xyxy: (M, 4), anything.
        image_index: (M,).
        sizes_hw: (N, 2); 0 where it is unknown.

    Returns:
        (N,): true if every finite box that is not empty is wider or higher than its image by a fifth, or begins
        beyond its right or lower edge, and at least one is that large.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        sides, limits = boxes_xyxy[:, 2:] - boxes_xyxy[:, :2], sizes_hw[image_index][:, ::-1]
        usable = np.isfinite(boxes_xyxy).all(1) & (sides > 0).all(1) & (limits > 0).all(1)
        larger = usable & (sides > _LARGER * limits).any(1)
        beyond = usable & (boxes_xyxy[:, :2] >= limits).any(1)
    n, n_larger, n_odd = (
        np.bincount(image_index[chosen], minlength=len(sizes_hw)) for chosen in (usable, larger, larger | beyond)
    )
    smaller: npt.NDArray[np.bool_] = (n_larger > 0) & (n_odd == n)
    return smaller


def box_iou(boxes_xyxy: npt.NDArray[Any], other_xyxy: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Intersection over union of every pair.

    Args:
        boxes_xyxy: (N, 4).
        other_xyxy: (M, 4).

    Returns:
        (N, M) float64 in 0..1; 0 where both boxes are empty.
    """
    a, b = np.asarray(boxes_xyxy, np.float64).reshape(-1, 1, 4), np.asarray(other_xyxy, np.float64).reshape(1, -1, 4)
    overlap = np.clip(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0.0, None).prod(-1)
    union = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - overlap
    iou: npt.NDArray[np.float64] = np.divide(overlap, union, out=np.zeros(overlap.shape), where=union > 0)
    return iou
