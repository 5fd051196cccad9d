"""Computation of precision and recall from COCO's matches, with sparse counts.

Precision rises only at detections that find an object, so its envelope is computed from those few positions only; the
number of wrong detections before a position comes from one running count per size of object.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from onlineml.evaluation.coco.arrays import AREA_RANGES, MAX_DETECTIONS, CocoArrays, Curves
from onlineml.evaluation.coco.match import match, outside_areas, rank
from onlineml.evaluation.detection.matching import IOU_THRESHOLDS
from onlineml.evaluation.detection.ranking import RECALLS
from onlineml.evaluation.metrics import ratio

if TYPE_CHECKING:
    import numpy.typing as npt

    from onlineml.evaluation.coco.match import Matches, Ranked
    from onlineml.evaluation.types import Floats, Ints

__all__ = ["coco_curves"]

_MOST_PARTS = 8
_WORTH_A_THREAD = 50_000  # detections
_N_SIZES, _N_IOUS = len(AREA_RANGES), len(IOU_THRESHOLDS)


def coco_curves(arrays: CocoArrays) -> Curves:
    """Return precision and recall of every class, threshold and size of object, as defined by pycocotools.

    Classes are independent, so each processor computes some of them; numpy releases the interpreter lock meanwhile.
    """
    n_parts = min(os.cpu_count() or 1, _MOST_PARTS, 1 + len(arrays.found_class) // _WORTH_A_THREAD)
    if n_parts == 1:
        return _curves(arrays)
    busy = np.cumsum(np.bincount(arrays.found_class, minlength=arrays.n_classes))
    ends = np.searchsorted(busy, busy[-1] * np.arange(1, n_parts) / n_parts)
    cuts = np.unique([0, *ends.tolist(), arrays.n_classes])
    with ThreadPoolExecutor(n_parts, thread_name_prefix="onlineml-coco") as pool:
        parts = list(pool.map(lambda first, end: _curves(_of_classes(arrays, first, end)), cuts[:-1], cuts[1:]))
    return Curves(
        np.concatenate([part.precision for part in parts], axis=2),
        np.concatenate([part.recall for part in parts], axis=1),
        np.concatenate([part.recall_few for part in parts], axis=1),
    )


def _of_classes(arrays: CocoArrays, first: int, end: int) -> CocoArrays:
    """Return the same images with only the classes from ``first`` up to, but excluding, ``end``."""
    true = np.flatnonzero((arrays.truth_class >= first) & (arrays.truth_class < end))
    found = np.flatnonzero((arrays.found_class >= first) & (arrays.found_class < end))
    return CocoArrays(
        n_images=arrays.n_images,
        n_classes=int(end - first),
        truth_image=arrays.truth_image[true],
        truth_class=arrays.truth_class[true] - first,
        truth_xywh=arrays.truth_xywh[true],
        truth_area=arrays.truth_area[true],
        truth_crowd=arrays.truth_crowd[true],
        found_image=arrays.found_image[found],
        found_class=arrays.found_class[found] - first,
        found_xywh=arrays.found_xywh[found],
        found_scores=arrays.found_scores[found],
    )


def _curves(arrays: CocoArrays) -> Curves:
    ranked = rank(arrays)
    matches = match(arrays, ranked)
    counted = ~(outside_areas(arrays.truth_area) | arrays.truth_crowd[:, None])
    n_objects = np.stack(
        [np.bincount(arrays.truth_class[kept], minlength=arrays.n_classes) for kept in counted.T], axis=1
    )
    found = matches.outcome == 1
    precision = _precision(arrays, ranked, matches, found, n_objects)
    class_id = arrays.found_class[ranked.rows[matches.at]]
    place = ranked.place[matches.at]
    recall = _recall(found, class_id, n_objects)
    few = [_recall(found[place < most, :1], class_id[place < most], n_objects[:, :1]) for most in MAX_DETECTIONS[:-1]]
    return Curves(precision, recall, np.concatenate(few, axis=2))


def _recall(found: npt.NDArray[np.bool_], class_id: Ints, n_objects: Ints) -> Floats:
    """Return (10, C, sizes): fraction of the objects that were found."""
    _, n_sizes, n_ious = found.shape
    which, column = np.divmod(np.flatnonzero(found), n_sizes * n_ious)  # a sum over bools takes ten times as long
    cells = class_id[which] * (n_sizes * n_ious) + column
    hits = np.bincount(cells, minlength=len(n_objects) * n_sizes * n_ious).reshape(-1, n_sizes, n_ious)
    return ratio(hits.transpose(2, 0, 1), n_objects)


def _precision(
    arrays: CocoArrays, ranked: Ranked, matches: Matches, found: npt.NDArray[np.bool_], n_objects: Ints
) -> Floats:
    precision = np.full((_N_IOUS, len(RECALLS), arrays.n_classes, _N_SIZES), np.nan)
    area = arrays.found_xywh[ranked.rows, 2] * arrays.found_xywh[ranked.rows, 3]
    class_of_match = np.searchsorted(matches.at, ranked.class_starts)
    for size in range(_N_SIZES):
        inside = (area >= AREA_RANGES[size, 0]) & (area <= AREA_RANGES[size, 1])
        before = np.append(0, np.cumsum(inside))  # detections that would be wrong if they matched nothing
        for class_id in np.flatnonzero(n_objects[:, size]):
            part = slice(class_of_match[class_id], class_of_match[class_id + 1])
            at = matches.at[part]
            excused = np.cumsum((matches.outcome[part, size].T > 0) & inside[at], axis=1)
            wrong = before[at + 1] - before[ranked.class_starts[class_id]] - excused
            precision[:, :, class_id, size] = _envelope(found[part, size].T, wrong, int(n_objects[class_id, size]))
    return precision


def _envelope(found: npt.NDArray[np.bool_], wrong: Ints, n_objects: int) -> Floats:
    """Return the highest precision at or beyond each of the 101 recalls; 0 for recalls that are never reached.

    Args:
        found: (10, m) bool, the detection found an object.
        wrong: (10, m) running count of the wrong detections.
        n_objects: number of objects to find.

    Returns:
        (10, 101) float64.
    """
    right = np.cumsum(found, axis=1, dtype=np.float64)
    # pycocotools adds 2e-16 to the denominator
    precision = np.where(found, right / np.maximum(wrong + right, 1.0), 0.0)
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    n_hits = found.sum(1)
    # index of the hit at which a recall is reached: the first whose fraction of the objects is not below it
    needed = np.searchsorted(np.arange(1, n_objects + 1) / n_objects, RECALLS)
    reached = needed < n_hits[:, None]
    at_hits = np.append(best[found], 0.0)  # by threshold, then by hit
    place = (np.cumsum(n_hits) - n_hits)[:, None] + needed
    return np.where(reached, at_hits[np.where(reached, place, -1)], 0.0)
