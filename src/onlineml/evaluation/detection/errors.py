"""Error analysis of detections: the error types of TIDE, and the confusion of classes.

Bolya, Foley, Hays and Hoffman, TIDE: A General Toolbox for Identifying Object Detection Errors, ECCV 2020. A detection
that found nothing is, in this order and with foreground and background thresholds of 0.5 and 0.1 IoU: localisation
(overlaps an object of its class, too little), class (overlaps one of another class, enough), duplicate (its object was
taken by a detection of higher score), background (overlaps nothing), both (the rest: another class, too little). An
object is missed if no detection found it, nor would find it with corrected class or location.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from onlineml.evaluation.detection.matching import Pairs, match, overlaps
from onlineml.evaluation.detection.ranking import Ranking, class_ap, rank_areas
from onlineml.evaluation.detection.tables import ERRORS, KINDS
from onlineml.evaluation.detection.thresholds import f1_thresholds
from onlineml.evaluation.metrics import mean_defined

if TYPE_CHECKING:
    from onlineml.evaluation.detection.matching import Scene
    from onlineml.evaluation.types import Array, Floats, Ints

__all__ = ["BACKGROUND_IOU", "Cells", "Diagnosis", "MatchedScene", "confusion", "confusion_cells", "costs_50"]
__all__ += ["diagnose", "match_scene"]

BACKGROUND_IOU = 0.1
FOREGROUND_IOU = 0.5
HIT, CLASS, LOCALISATION, BOTH, DUPLICATE, BACKGROUND, IGNORED = range(len(KINDS))


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """Diagnosis of each detection and each object.

    Attributes:
        kind: (M,) int8 indices into `KINDS`; ignored: below the requested score, beyond the 100 that count, or on a
            crowd.
        truth: (M,) int64 the object that a detection found, would find with corrected class or location, or duplicates;
            -1: none.
        found: (G,) bool, objects that were found.
        missed: (G,) bool, objects that were neither found nor nearly found.
    """

    kind: Array
    truth: Ints
    found: Array
    missed: Array


def diagnose(scene: Scene, pairs: Pairs, matched: Array, *, kept: Array) -> Diagnosis:
    """Determine the kind of each detection.

    Args:
        scene: objects and detections.
        pairs: overlapping pairs, down to `BACKGROUND_IOU`.
        matched: (M,) objects taken at an IoU of 0.5, of all detections.
        kept: (M,) bool, the detections of highest score of each image and class, which are to be judged.
    """
    kept = kept & scene.ranked
    truth = np.where(kept, matched, -1).astype(np.int64)
    on_crowd = np.zeros(len(truth), bool)
    on_crowd[truth >= 0] = scene.crowd[truth[truth >= 0]]
    found = np.zeros(len(scene.crowd), bool)
    found[truth[(truth >= 0) & ~on_crowd]] = True
    near = pairs.take(~scene.crowd[pairs.truth])
    same = scene.found_label[near.found] == scene.truth_label[near.truth]
    own_iou, own = _closest(near.take(same), len(truth))
    other_iou, other = _closest(near.take(~same), len(truth))
    tests = (
        (~kept | on_crowd, IGNORED, np.full_like(truth, -1)),
        (truth >= 0, HIT, truth),
        ((own_iou >= BACKGROUND_IOU) & (own_iou < FOREGROUND_IOU), LOCALISATION, own),
        (other_iou >= FOREGROUND_IOU, CLASS, other),
        (own_iou >= FOREGROUND_IOU, DUPLICATE, own),
        (other_iou < BACKGROUND_IOU, BACKGROUND, np.full_like(truth, -1)),
    )
    conditions, kinds, objects = zip(*tests, strict=True)
    kind = np.select(conditions, kinds, default=BOTH).astype(np.int8)
    concerned = np.select(conditions, objects, default=other).astype(np.int64)
    nearly = np.zeros(len(found), bool)
    nearly[concerned[(kind == CLASS) | (kind == LOCALISATION)]] = True
    return Diagnosis(kind=kind, truth=concerned, found=found, missed=~found & ~nearly & ~scene.crowd)


def _closest(pairs: Pairs, n_found: int) -> tuple[Array, Ints]:
    """Return the largest overlap of each detection, and its object (the first of equal ones); 0 and -1 if none."""
    iou, truth = np.zeros(n_found), np.full(n_found, -1, np.int64)
    rising = pairs.take(np.lexsort((-pairs.truth, pairs.iou, pairs.found)))
    iou[rising.found], truth[rising.found] = rising.iou, rising.truth  # the last assignment wins
    return iou, truth


def costs_50(scene: Scene, diagnosis: Diagnosis) -> dict[str, float]:
    """Return the increase of the mean AP50 if all errors of one type were corrected, as defined by TIDE.

    Of several class errors on one unfound object, the one of highest score becomes a hit of its class, and the others
    are removed; the same applies to localisation, each type separately (the authors' program lets the two compete for
    an object, which the paper does not mention). Duplicates, background and both are removed. Missed objects are no
    longer counted; a class without remaining objects then drops out of the mean if nothing was predicted as it, and
    stays at 0 otherwise.

    Returns:
        By type, in 0..1 (correcting class errors can also reduce the mean slightly: below 0); nan without objects.
    """
    now = _map_50(scene, diagnosis.kind == HIT, counted=diagnosis.kind != IGNORED)
    costs = {}
    for place, name in enumerate(ERRORS[:-1], start=CLASS):
        wrong = diagnosis.kind == place
        hit, label, better = diagnosis.kind == HIT, scene.found_label, np.zeros(0, np.int64)
        if place in {CLASS, LOCALISATION}:
            better = _surest_of_unfound(scene, diagnosis, wrong)
            hit, label = hit.copy(), label.copy()
            hit[better], label[better] = True, scene.truth_label[diagnosis.truth[better]]
        gone = wrong.copy()
        gone[better] = False
        counted = (diagnosis.kind != IGNORED) & ~gone
        costs[name] = _map_50(scene, hit, counted=counted, label=label) - now
    left = _map_50(scene, diagnosis.kind == HIT, counted=diagnosis.kind != IGNORED, missed=diagnosis.missed)
    return costs | {"missed": left - now}


def _surest_of_unfound(scene: Scene, diagnosis: Diagnosis, wrong: Array) -> Ints:
    rows = np.flatnonzero(wrong)
    rows = rows[~diagnosis.found[diagnosis.truth[rows]]]
    rows = rows[np.lexsort((rows, -scene.scores[rows]))]
    _, first = np.unique(diagnosis.truth[rows], return_index=True)
    return rows[first]


def _map_50(
    scene: Scene, hit: Array, *, counted: Array, label: Ints | None = None, missed: Array | None = None
) -> float:
    label = scene.found_label if label is None else label
    order = np.lexsort((scene.found_image, -scene.scores, label))
    order = order[counted[order]]
    starts = np.searchsorted(label[order], np.arange(scene.n_classes + 1)).astype(np.int64)
    real = ~scene.crowd if missed is None else ~scene.crowd & ~missed
    ranked = Ranking(
        order=order,
        starts=starts,
        image=scene.found_image[order],
        rank=scene.rank[order],
        hit=hit[order, None],
        ignored=np.zeros((len(order), 1), bool),
        truth_image=scene.truth_image[real],
        truth_label=scene.truth_label[real],
    )
    scores = class_ap(ranked, np.ones((1, scene.n_images)))[0, :, 0]
    had = np.bincount(scene.truth_label[~scene.crowd], minlength=scene.n_classes) > 0
    scores[np.isnan(scores) & had & (np.diff(starts) > 0)] = 0.0
    return float(mean_defined(scores))


class Cells(NamedTuple):
    """Every object, and every detection without an object, as a cell of the confusion matrix; (K,) int64 each.

    Attributes:
        image: index of its image.
        truth: the object's class; C for a detection without an object.
        predicted: the class it was taken for; C for an object without a detection.
    """

    image: Ints
    truth: Ints
    predicted: Ints


def confusion(cells: Cells, *, n_classes: int) -> Ints:
    """Count the cells of the confusion matrix.

    Returns:
        (C + 1, C + 1) int64, truths are the rows; the last row counts detections without an object, the last column
        objects without a detection.
    """
    side = n_classes + 1
    counts = np.bincount(cells.truth * side + cells.predicted, minlength=side**2)
    return counts.reshape(side, side).astype(np.int64, copy=False)


def confusion_cells(scene: Scene, pairs: Pairs, diagnosis: Diagnosis) -> Cells:
    """Return the cells of the confusion matrix, one per object or detection.

    Hits are on the diagonal, so that its fractions of the columns and rows are the precision and the recall. Of the
    remaining ones, a detection that overlaps an object of another class by an IoU of 0.5 or more is taken for it, the
    highest score first, each object once.
    """
    n = scene.n_classes
    said, real = diagnosis.kind != IGNORED, ~scene.crowd
    predicted, truth = np.full(len(said), -1, np.int64), np.full(len(real), n, np.int64)
    predicted[diagnosis.kind == HIT] = scene.truth_label[diagnosis.truth[diagnosis.kind == HIT]]
    truth[diagnosis.found] = scene.truth_label[diagnosis.found]
    left = said & (predicted < 0)
    near = (pairs.iou >= FOREGROUND_IOU) & left[pairs.found] & (real & ~diagnosis.found)[pairs.truth]
    taken = _match_any_class(scene, pairs.take(near))
    rows = np.flatnonzero(taken >= 0)
    predicted[rows] = scene.truth_label[taken[rows]]
    truth[taken[rows]] = scene.found_label[rows]
    unmatched = said & (predicted < 0)
    nothing = np.full(int(unmatched.sum()), n, np.int64)
    return Cells(
        np.concatenate([scene.truth_image[real], scene.found_image[unmatched]]),
        np.concatenate([scene.truth_label[real], nothing]),
        np.concatenate([truth[real], scene.found_label[unmatched]]),
    )


def _match_any_class(scene: Scene, pairs: Pairs) -> Array:
    """Return (M,) the object that each detection of `pairs` takes, regardless of class."""
    rows = np.unique(pairs.found)
    order = rows[np.lexsort((rows, -scene.scores[rows], scene.found_image[rows]))]
    first = np.flatnonzero(np.diff(scene.found_image[order], prepend=-1))
    rank = np.zeros_like(scene.rank)
    rank[order] = np.arange(len(order)) - np.repeat(first, np.diff(first, append=len(order)))
    one_class = dataclasses.replace(
        scene, rank=rank, found_label=np.zeros_like(scene.found_label), truth_label=np.zeros_like(scene.truth_label)
    )
    return match(one_class, pairs, ignored=scene.crowd, thresholds=np.array([FOREGROUND_IOU]))[:, 0]


@dataclass(frozen=True, eq=False)
class MatchedScene:
    """Matching results: `overall` judges all detections, `shown` those at the thresholds."""

    scene: Scene
    pairs: Pairs
    rankings: dict[str, Ranking]
    thresholds: Floats
    overall: Diagnosis
    shown: Diagnosis


def match_scene(scene: Scene, thresholds: Floats | None) -> MatchedScene:
    """Match detections with objects, and determine the outcome of each."""
    pairs = overlaps(scene, min_iou=BACKGROUND_IOU)
    rankings, matched = rank_areas(scene, pairs)
    if thresholds is None:
        thresholds = f1_thresholds(rankings[""], scene.scores)
    everything = np.ones(len(scene.scores), bool)
    return MatchedScene(
        scene=scene,
        pairs=pairs,
        rankings=rankings,
        thresholds=thresholds,
        overall=diagnose(scene, pairs, matched[:, 0], kept=everything),
        shown=diagnose(scene, pairs, matched[:, 0], kept=scene.scores >= thresholds[scene.found_label]),
    )
