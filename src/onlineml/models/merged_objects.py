"""Objects of one picture that were found in several views of it, such as overlapping tiles, without doubles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["merged_objects"]

_SAME = 0.5  # IoU of two boxes of one class from two views, from which they are one object, as in AP50
_WITHIN = 0.5  # share of a cut box within another one, from which it is a part of that object
_CUT_WEIGHT = 0.5  # a cut box gives way to a whole one of at least half its score
_CANDIDATES = 10  # boxes that are compared, for each one that may be returned


def merged_objects(
    boxes_xyxy: NDArray[np.float64],
    labels: NDArray[np.int64],
    scores: NDArray[np.float64],
    views: NDArray[np.int64],
    cut: NDArray[np.bool_],
    *,
    max_objects: int,
) -> NDArray[np.int64]:
    """Choose the boxes to keep: of the same object in several views the surest, whole ones before cut ones.

    Boxes of one view are never compared with each other, because its detector has done that. Two boxes of one class
    from two views are the same object if their IoU is above 0.5 or, where one is cut, if more than half of that lies
    within the other.

    Args:
        boxes_xyxy: (n, 4), in pixels of the picture.
        labels: (n,) class of each box.
        scores: (n,), 0..1.
        views: (n,) number of the view that it was found in.
        cut: (n,) whether it ends where its view does and the picture goes on.
        max_objects: largest number to return.

    Returns:
        Rows of the input by descending score; rows of equal score in their order.
    """
    rank = np.where(cut, _CUT_WEIGHT * scores, scores)
    first = np.argsort(-rank, kind="stable")[: max(1000, _CANDIDATES * max_objects)]
    kept = [rows[_unsuppressed(boxes_xyxy[rows], views[rows], cut[rows])] for rows in _by_class(first, labels)]
    chosen = np.sort(np.concatenate(kept)) if kept else np.zeros(0, np.int64)
    return chosen[np.argsort(-scores[chosen], kind="stable")][:max_objects]


def _by_class(rows: NDArray[np.int64], labels: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    return [rows[labels[rows] == label] for label in np.unique(labels[rows])]


def _unsuppressed(
    boxes_xyxy: NDArray[np.float64], views: NDArray[np.int64], cut: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """(n,) bool: boxes of one class, the ones to prefer first, that are in no better one of another view."""
    left = np.ones(len(boxes_xyxy), dtype=bool)
    areas = (boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]).clip(0).prod(1)
    for row in range(len(boxes_xyxy)):
        if not left[row]:
            continue
        rest = slice(row + 1, None)
        low = np.maximum(boxes_xyxy[row, :2], boxes_xyxy[rest, :2])
        shared = (np.minimum(boxes_xyxy[row, 2:], boxes_xyxy[rest, 2:]) - low).clip(0).prod(1)
        same = shared > _SAME * (areas[row] + areas[rest] - shared)
        parts = np.minimum(np.where(cut[row], areas[row], np.inf), np.where(cut[rest], areas[rest], np.inf))
        same |= shared > _WITHIN * parts
        left[rest] &= ~(same & (views[rest] != views[row]))
    return left
