"""COCO's greedy matching of detections to objects, for all images, classes and IoU thresholds at once.

The rules are those of pycocotools' ``COCOeval.evaluateImg`` (the reference of the COCO challenge), so that scores agree
with it to the last bits: the 100 detections of highest score per image and class are processed in descending order of
score, and each takes the free object of its class that it overlaps most; an ignored object (a crowd, or one outside the
scored range of areas) only if no other is left; a crowd can be taken any number of times. Of equal overlaps the later
object is taken. A detection that took an ignored object, or none and has an area outside the range, is ignored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from onlineml.data.manifest.box_arrays import clean_boxes

if TYPE_CHECKING:
    from onlineml.data.manifest.box_arrays import Boxes
    from onlineml.evaluation.detection.detections import Detections
    from onlineml.evaluation.types import Array, Floats, Ints

__all__ = ["AREAS", "IOU_THRESHOLDS", "MAX_DETECTIONS", "Pairs", "Scene", "match", "overlaps", "pair_iou", "scene_of"]
__all__ += ["xywh_of"]

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
AREAS = {"": (0.0, 1e10), "small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}
MAX_DETECTIONS = 100  # per image and class
_CHUNK_PAIRS = 1_000_000  # about 100 MB


@dataclass(frozen=True, eq=False)
class Scene:
    """Objects and detections of N images in flat arrays: G objects, M detections.

    Attributes:
        truth_rows: (G,) int64, indices of the objects among all given boxes.
        truth_xywh: (G, 4) float64, upper left corner, width, height.
        truth_image: (G,) int64, ascending.
        truth_label: (G,) int64.
        crowd: (G,) bool.
        truth_area: (G,) float64, of the box if none was given.
        found_xywh: (M, 4) float64.
        found_image: (M,) int64.
        found_label: (M,) int64.
        scores: (M,) float64.
        rank: (M,) int64, 0 for the highest score of its class in its image; ties in the given order.
        n_images: N.
        n_classes: C.
    """

    truth_rows: Ints
    truth_xywh: Floats
    truth_image: Ints
    truth_label: Ints
    crowd: Array
    truth_area: Floats
    found_xywh: Floats
    found_image: Ints
    found_label: Ints
    scores: Floats
    rank: Ints
    n_images: int
    n_classes: int

    @property
    def ranked(self) -> Array:
        """(M,) bool: among the 100 highest scores of its class in its image."""
        return self.rank < MAX_DETECTIONS

    @property
    def found_area(self) -> Floats:
        """(M,) float64 square pixels."""
        area: Floats = self.found_xywh[:, 2] * self.found_xywh[:, 3]
        return area


@dataclass(frozen=True, eq=False)
class Pairs:
    """Overlapping pairs of detection and object in one image, of the same class or not.

    Attributes:
        found: (P,) int64, ascending.
        truth: (P,) int64, ascending for each detection.
        iou: (P,) float64; for a crowd, the fraction of the detection inside it.
    """

    found: Ints
    truth: Ints
    iou: Floats

    def take(self, which: Array) -> Pairs:
        """Return some of the pairs, given by a mask or by indices."""
        return Pairs(self.found[which], self.truth[which], self.iou[which])


def xywh_of(boxes_xyxy: Floats) -> Floats:
    """Convert corners to corner, width and height, as COCO's files have them."""
    return np.concatenate([boxes_xyxy[:, :2], boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]], axis=1)


def scene_of(truth: Boxes, found: Detections, *, n_classes: int, usable: Array | None = None) -> Scene:
    """Prepare objects and detections for matching.

    Boxes are not clipped, even if they reach beyond the image: clipped boxes would be scored differently from COCO's
    own evaluation of the same file.

    Args:
        truth: the annotations. Invalid boxes (not finite, empty) and those of no class are excluded.
        found: the detections.
        n_classes: C.
        usable: (all boxes,) bool, false for further boxes to exclude.
    """
    _, codes = clean_boxes(truth.boxes_xyxy, (2**53, 2**53))  # effectively without edges: only detects invalid boxes
    bad = (codes == "box_not_finite") | (codes == "box_empty") | (truth.label_ids < 0)
    kept = np.flatnonzero(~bad if usable is None else ~bad & usable)
    truth_xywh = xywh_of(truth.boxes_xyxy[kept])
    given = truth.area[kept]
    return Scene(
        truth_rows=kept,
        truth_xywh=truth_xywh,
        truth_image=truth.image_index[kept],
        truth_label=truth.label_ids[kept],
        crowd=truth.crowd[kept],
        truth_area=np.where(np.isnan(given), truth_xywh[:, 2] * truth_xywh[:, 3], given),
        found_xywh=xywh_of(found.boxes_xyxy),
        found_image=found.image_index,
        found_label=found.label_ids,
        scores=found.scores,
        rank=_ranks(found, n_classes=n_classes),
        n_images=found.n_images,
        n_classes=n_classes,
    )


def _ranks(found: Detections, *, n_classes: int) -> Ints:
    cell = found.image_index * n_classes + found.label_ids
    order = np.lexsort((-found.scores, cell))
    ordered = cell[order]
    first = np.flatnonzero(np.diff(ordered, prepend=-1))
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order)) - np.repeat(first, np.diff(first, append=len(order)))
    return ranks


def overlaps(scene: Scene, *, min_iou: float) -> Pairs:
    """Return every pair in one image of a detection, of the 100 that count, and an object with IoU >= `min_iou`."""
    sizes = np.bincount(scene.truth_image, minlength=scene.n_images)
    starts = np.cumsum(sizes) - sizes
    counts = np.where(scene.ranked, sizes[scene.found_image], 0)
    ends = np.cumsum(counts)
    cuts = np.searchsorted(ends, np.arange(_CHUNK_PAIRS, ends[-1] if len(ends) else 0, _CHUNK_PAIRS))
    parts = []
    for rows in np.split(np.arange(len(counts)), cuts):
        found = np.repeat(rows, counts[rows])
        within = np.arange(len(found)) - np.repeat(np.cumsum(counts[rows]) - counts[rows], counts[rows])
        truth = starts[scene.found_image[found]] + within
        iou = pair_iou(scene.found_xywh[found], scene.truth_xywh[truth], scene.crowd[truth])
        near = iou >= min_iou
        parts.append((found[near], truth[near], iou[near]))
    found, truth, iou = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return Pairs(found, truth, iou)


def pair_iou(found_xywh: Floats, truth_xywh: Floats, crowd: Array) -> Floats:
    """Return (P,) overlaps in the order of operations of pycocotools' ``bbIou``, so that rounding is identical."""
    corners = np.minimum(found_xywh[:, 2:] + found_xywh[:, :2], truth_xywh[:, 2:] + truth_xywh[:, :2])
    sides = np.maximum(corners - np.maximum(found_xywh[:, :2], truth_xywh[:, :2]), 0.0)
    shared = sides[:, 0] * sides[:, 1]
    found_area, truth_area = (xywh[:, 2] * xywh[:, 3] for xywh in (found_xywh, truth_xywh))
    union = np.where(crowd, found_area, found_area + truth_area - shared)
    iou: Floats = np.divide(shared, union, out=np.zeros(len(shared)), where=(shared > 0) & (union > 0))
    return iou


def match(scene: Scene, pairs: Pairs, *, ignored: Array, thresholds: Floats = IOU_THRESHOLDS) -> Array:
    """Return the object that each detection takes.

    Detections of different images or classes do not compete, so all detections of rank 0 are matched in one step, then
    those of rank 1, and so on.

    Args:
        scene: objects and detections.
        pairs: overlapping pairs, down to the lowest threshold.
        ignored: (G,) bool, including crowds.
        thresholds: (T,) IoU in (0, 1).

    Returns:
        (M, T) int32 indices of objects; -1: none.
    """
    matched = np.full((len(scene.scores), len(thresholds)), -1, np.int32)
    taken = np.zeros((len(scene.truth_label), len(thresholds)), bool)
    same = scene.found_label[pairs.found] == scene.truth_label[pairs.truth]
    own = pairs.take(same & (pairs.iou >= thresholds.min()))
    ranks = scene.rank[own.found]
    own = own.take(np.lexsort((own.truth, own.iou, own.found, ranks)))
    for step in np.split(np.arange(len(ranks)), np.flatnonzero(np.diff(np.sort(ranks))) + 1):
        if len(step):
            _match_step(own.take(step), thresholds, ignored=ignored, crowd=scene.crowd, taken=taken, matched=matched)
    return matched


def _match_step(
    pairs: Pairs, thresholds: Floats, *, ignored: Array, crowd: Array, taken: Array, matched: Array
) -> None:
    """Match at most one detection per image and class; its pairs are sorted by ascending overlap."""
    n_pairs = len(pairs.found)
    heads = np.flatnonzero(np.diff(pairs.found, prepend=-1))
    preference = np.arange(1, n_pairs + 1, dtype=np.int64) + np.where(ignored[pairs.truth], 0, n_pairs)
    free = (pairs.iou[:, None] >= thresholds) & ~taken[pairs.truth]
    best = np.maximum.reduceat(np.where(free, preference[:, None], 0), heads, axis=0)
    rows, columns = np.nonzero(best)
    truth = pairs.truth[(best[rows, columns] - 1) % n_pairs]
    matched[pairs.found[heads[rows]], columns] = truth
    taken[truth, columns] |= ~crowd[truth]
