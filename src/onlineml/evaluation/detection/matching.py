"""COCO's greedy matching of detections to objects, of all images, classes and IoU thresholds at once.

The rules are those of pycocotools' ``COCOeval.evaluateImg`` (the reference of the COCO challenge), so that scores agree
with it to the last bits: of each image and class the 100 surest detections are taken, in falling order of their score,
and each takes the free object of its class that it overlaps most; an object that is ignored (a crowd, or one outside
the range of areas that is scored) only where no other is left; a crowd is never used up. Of equal overlaps the later
object is taken. A detection that took an ignored object, or none and has an area outside the range, is ignored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from onlineml.data.manifest.box_arrays import clean_boxes

if TYPE_CHECKING:
    from onlineml.data.manifest.box_arrays import Boxes
    from onlineml.evaluation.detection.detections import Found
    from onlineml.evaluation.types import Array, Floats, Ints

__all__ = ["AREAS", "IOU_THRESHOLDS", "MAX_DETECTIONS", "Pairs", "Scene", "match", "overlaps", "scene_of"]

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
AREAS = {"": (0.0, 1e10), "small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}
MAX_DETECTIONS = 100  # of one image and class
_CHUNK_PAIRS = 1_000_000  # some 100 MB


@dataclass(frozen=True, eq=False)
class Scene:
    """Objects and detections of N images, flat: G objects, M detections.

    Attributes:
        truth_rows: (G,) int64, the places of the objects among all boxes that were given.
        truth_xywh: (G, 4) float64, upper left corner, width, height.
        truth_image: (G,) int64, rising.
        truth_label: (G,) int64.
        crowd: (G,) bool.
        truth_area: (G,) float64, of the box where none was given.
        found_xywh: (M, 4) float64.
        found_image: (M,) int64.
        found_label: (M,) int64.
        scores: (M,) float64.
        rank: (M,) int64, 0 for the surest detection of its class in its image; of equal ones the first given.
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
        """(M,) bool: among the 100 surest of its class in its image."""
        return self.rank < MAX_DETECTIONS

    @property
    def found_area(self) -> Floats:
        """(M,) float64 square pixels."""
        area: Floats = self.found_xywh[:, 2] * self.found_xywh[:, 3]
        return area


@dataclass(frozen=True, eq=False)
class Pairs:
    """Detections and objects of one image that overlap, of the same class or not.

    Attributes:
        found: (P,) int64, rising.
        truth: (P,) int64, rising for each detection.
        iou: (P,) float64; for a crowd, the share of the detection that lies in it.
    """

    found: Ints
    truth: Ints
    iou: Floats

    def take(self, which: Array) -> Pairs:
        """Some of the pairs, by a mask or by places."""
        return Pairs(self.found[which], self.truth[which], self.iou[which])


def _xywh(boxes_xyxy: Floats) -> Floats:
    return np.concatenate([boxes_xyxy[:, :2], boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]], axis=1)


def scene_of(truth: Boxes, found: Found, *, n_classes: int, usable: Array | None = None) -> Scene:
    """Objects and detections, ready to be matched.

    Boxes stay as they are given, also where they reach beyond the image: cut boxes would be scored differently from
    COCO's own evaluation of the same file.

    Args:
        truth: what there is. Boxes that are no boxes (not finite, empty) or of no class are left out.
        found: what was found.
        n_classes: C.
        usable: (all boxes,) bool, false for further boxes to leave out.
    """
    _, codes = clean_boxes(truth.boxes_xyxy, (2**53, 2**53))  # as good as no edges: it finds what is no box at all
    bad = (codes == "box_not_finite") | (codes == "box_empty") | (truth.label_ids < 0)
    kept = np.flatnonzero(~bad if usable is None else ~bad & usable)
    truth_xywh = _xywh(truth.boxes_xyxy[kept])
    given = truth.area[kept]
    return Scene(
        truth_rows=kept,
        truth_xywh=truth_xywh,
        truth_image=truth.image_index[kept],
        truth_label=truth.label_ids[kept],
        crowd=truth.crowd[kept],
        truth_area=np.where(np.isnan(given), truth_xywh[:, 2] * truth_xywh[:, 3], given),
        found_xywh=_xywh(found.boxes_xyxy),
        found_image=found.image_index,
        found_label=found.label_ids,
        scores=found.scores,
        rank=_ranks(found, n_classes=n_classes),
        n_images=found.n_images,
        n_classes=n_classes,
    )


def _ranks(found: Found, *, n_classes: int) -> Ints:
    cell = found.image_index * n_classes + found.label_ids
    order = np.lexsort((-found.scores, cell))
    ordered = cell[order]
    first = np.flatnonzero(np.diff(ordered, prepend=-1))
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order)) - np.repeat(first, np.diff(first, append=len(order)))
    return ranks


def overlaps(scene: Scene, *, min_iou: float) -> Pairs:
    """Every pair in one image of a detection, of the 100 that count, and an object with an IoU of `min_iou` or more."""
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
        iou = _pair_iou(scene.found_xywh[found], scene.truth_xywh[truth], scene.crowd[truth])
        near = iou >= min_iou
        parts.append((found[near], truth[near], iou[near]))
    found, truth, iou = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return Pairs(found, truth, iou)


def _pair_iou(found_xywh: Floats, truth_xywh: Floats, crowd: Array) -> Floats:
    """(P,) in the order of operations of pycocotools' ``bbIou``, so that no overlap is rounded to another side."""
    corners = np.minimum(found_xywh[:, 2:] + found_xywh[:, :2], truth_xywh[:, 2:] + truth_xywh[:, :2])
    sides = np.maximum(corners - np.maximum(found_xywh[:, :2], truth_xywh[:, :2]), 0.0)
    shared = sides[:, 0] * sides[:, 1]
    found_area, truth_area = (xywh[:, 2] * xywh[:, 3] for xywh in (found_xywh, truth_xywh))
    union = np.where(crowd, found_area, found_area + truth_area - shared)
    iou: Floats = np.divide(shared, union, out=np.zeros(len(shared)), where=(shared > 0) & (union > 0))
    return iou


def match(scene: Scene, pairs: Pairs, *, ignored: Array, thresholds: Floats = IOU_THRESHOLDS) -> Array:
    """The object that each detection takes.

    Detections of different images or classes do not compete, so that the surest of all are matched in one step, then
    the second ones, and so on.

    Args:
        scene: objects and detections.
        pairs: what overlaps, down to the lowest threshold.
        ignored: (G,) bool; crowds must be among them.
        thresholds: (T,) IoU in (0, 1).

    Returns:
        (M, T) int32 places of objects; -1: none.
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
    """At most one detection of each image and class; its pairs in rising order of overlap."""
    n_pairs = len(pairs.found)
    heads = np.flatnonzero(np.diff(pairs.found, prepend=-1))
    preference = np.arange(1, n_pairs + 1, dtype=np.int64) + np.where(ignored[pairs.truth], 0, n_pairs)
    free = (pairs.iou[:, None] >= thresholds) & ~taken[pairs.truth]
    best = np.maximum.reduceat(np.where(free, preference[:, None], 0), heads, axis=0)
    rows, columns = np.nonzero(best)
    truth = pairs.truth[(best[rows, columns] - 1) % n_pairs]
    matched[pairs.found[heads[rows]], columns] = truth
    taken[truth, columns] |= ~crowd[truth]
