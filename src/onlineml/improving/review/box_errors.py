"""Annotated boxes that are probably wrong: missed objects, swapped classes, badly placed boxes.

As in Tkachenko, Thyagarajan and Mueller, ObjectLab: Automated Diagnosis of Mislabeled Images in Object Detection Data,
2023, with TIDE's overlaps: a detection that matches no annotation is a mistake of the detector or the annotator. The
higher its score, the more likely the annotator's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from onlineml.arguments.counted import count
from onlineml.errors import UnknownClassError
from onlineml.evaluation.detection.errors import BACKGROUND_IOU, FOREGROUND_IOU
from onlineml.evaluation.detection.inputs import checked_boxes, checked_thresholds
from onlineml.evaluation.detection.matching import match, overlaps, scene_of
from onlineml.evaluation.detection.ranking import ranking
from onlineml.evaluation.detection.thresholds import f1_thresholds
from onlineml.improving.review.candidates import Candidates
from onlineml.improving.review.result import Why

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onlineml.data.manifest.box_arrays import Boxes
    from onlineml.evaluation.detection.detections import Detections
    from onlineml.evaluation.detection.matching import Pairs, Scene
    from onlineml.evaluation.types import Array, Floats, Ints

__all__ = ["BOX_ERRORS", "BoxErrors", "box_error_candidates", "find_box_errors"]

BOX_ERRORS = ("missed", "swapped", "badly placed")
_MISSED, _SWAPPED, _PLACED = range(3)
_TOLD = 0.5  # probability from which a less sure detection counts against an annotation that nothing confirms
_LEAST = 0.01  # probabilities stay so far from 0 and 1
_PRIOR = 50  # detections that the scores themselves count for


@dataclass(frozen=True, eq=False)
class BoxErrors:
    """Detections that contradict the annotations, by falling severity.

    Attributes:
        kinds: (k,) int64 indices in `BOX_ERRORS`: an object that was not annotated, one with the wrong class, or one
            whose box is in the wrong place.
        images: (k,) int64 indices of the images.
        detections: (k,) int64 indices of the detections, with the probable box and class.
        objects: (k,) int64 indices of the suspect annotated boxes; -1 for a missed one.
        severity: (k,) float64 in [0, 1], falling.
    """

    kinds: Ints
    images: Ints
    detections: Ints
    objects: Ints
    severity: Floats

    def __len__(self) -> int:
        return len(self.kinds)


def find_box_errors(
    truth: Boxes, found: Detections, class_names: Sequence[str], *, thresholds: Mapping[str, float] | None = None
) -> BoxErrors:
    """Find annotations that are probably wrong.

    A detection at or above its class's threshold that matches no object of its class (at an IoU of 0.5 or more) means

    - *swapped*, if it overlaps an object of another class by 0.5 or more that no other detection confirms;
    - *badly placed*, if it overlaps an object of its class by 0.1 to 0.5 that no other detection confirms;
    - *missed* otherwise, unless it duplicates a confirmed object.

    The latter two may also have a lower score, where no detection of an object's own class says what the annotation
    says: it then has two witnesses against it, the detection and the silence. Each annotated object is reported once,
    by the most severe detection.

    The severity is the probability that the annotation is wrong. A detection's own is the share of objects among
    detections of its class and score, by an isotonic regression, or where these are few its score. Against an
    annotated object it is weighed by Bayes' rule with the probability that the object is there although it was not
    found: what detections of its class tell, at least the share of its class's objects that are not found at all.

    Args:
        truth: annotations of N images, by people; detections in crowds are ignored.
        found: all detections in the same images, with probabilities as scores, each by a model that was *not* trained
            on that image (out of fold).
        class_names: C distinct names, indexed by `label_ids` of both.
        thresholds: score of each class from which a detection counts; None: that of the highest F1 on these images.

    Raises:
        DataError: the number of images differs, images are not annotated, or detections have no class.
        UnknownClassError: a threshold of an unknown class.
        ConfigError: a class without threshold.
    """
    names = tuple(class_names)
    checked_boxes(truth, found, names, tuple(map(str, range(found.n_images))))
    if len(truth.label_ids) and truth.label_ids.min() < 0:
        msg = f"{count((truth.label_ids < 0).sum(), 'annotated box has')} no class; label or remove"
        raise UnknownClassError(msg)
    scene = scene_of(truth, found, n_classes=len(names))
    pairs = overlaps(scene, min_iou=BACKGROUND_IOU)
    matched = match(scene, pairs, ignored=scene.crowd, thresholds=np.array([FOREGROUND_IOU]))
    if thresholds is None:
        outside = np.zeros(len(scene.scores), bool)
        cutoffs = f1_thresholds(ranking(scene, matched, ignored_truth=scene.crowd, outside=outside), scene.scores)
    else:
        cutoffs = checked_thresholds(thresholds, names)
    return _judge(scene, pairs, matched[:, 0], sure=scene.scores >= cutoffs[scene.found_label])


def _judge(scene: Scene, pairs: Pairs, taken: Array, *, sure: Array) -> BoxErrors:
    real = _calibrated(scene, taken)
    confirmed, support = _supported(scene, taken, real, sure=sure)
    in_crowd = np.zeros(len(sure), bool)
    in_crowd[pairs.found[scene.crowd[pairs.truth] & (pairs.iou >= FOREGROUND_IOU)]] = True
    open_ = scene.ranked & (taken < 0) & ~in_crowd
    near = pairs.take(~scene.crowd[pairs.truth] & open_[pairs.found])
    same, close = scene.found_label[near.found] == scene.truth_label[near.truth], near.iou >= FOREGROUND_IOU
    against = real[near.found] / (real[near.found] + (1 - real[near.found]) * support[near.truth])
    told = ~confirmed[near.truth] & (sure[near.found] | (against >= _TOLD))
    swapped, placed = told & ~same & close, told & same & ~close
    reported, rows = np.zeros(len(sure), bool), []
    for kind, mask in ((_SWAPPED, swapped), (_PLACED, placed)):
        group = near.take(mask)
        rows.append(_strongest(kind, group.found, group.truth, against[mask], reported))
        reported[group.found] = True  # also less severe ones on the same object
    doubles, explained = np.zeros(len(sure), bool), np.zeros(len(sure))
    doubles[near.found[confirmed[near.truth] & close]] = True
    np.maximum.at(explained, near.found, near.iou)
    lonely = np.flatnonzero(open_ & sure & ~reported & ~doubles)
    severity = real[lonely] * (1 - explained[lonely])
    rows.append((np.full(len(lonely), _MISSED), lonely, np.full(len(lonely), -1), severity))
    kinds, detections, objects, severities = (np.concatenate(column) for column in zip(*rows, strict=True))
    order = np.lexsort((-scene.scores[detections.astype(np.int64)], -severities))  # of equal ones the higher score
    places = np.append(scene.truth_rows, -1)[objects[order]]
    chosen = detections[order].astype(np.int64)
    return BoxErrors(
        kinds[order].astype(np.int64), scene.found_image[chosen], chosen, places.astype(np.int64), severities[order]
    )


def _calibrated(scene: Scene, taken: Array) -> Floats:
    """(M,) the probability that a detection is an object: the share of its class and score, or, of few, its score."""
    from scipy.optimize import isotonic_regression  # noqa: PLC0415 (half a second)

    real = scene.scores.astype(np.float64)
    for label in np.unique(scene.found_label):
        own = np.flatnonzero(scene.ranked & (scene.found_label == label))
        own = own[np.argsort(scene.scores[own], kind="stable")]
        told = isotonic_regression((taken[own] >= 0).astype(np.float64)).x if len(own) else np.zeros(0)
        real[own] = (len(own) * told + _PRIOR * scene.scores[own]) / (len(own) + _PRIOR)
    return np.clip(real, _LEAST, 1 - _LEAST)


def _supported(scene: Scene, taken: Array, real: Floats, *, sure: Array) -> tuple[Array, Floats]:
    """(G,) whether a sure detection confirms each object, and the probability that it is there although none does."""
    confirmed, support = np.zeros(len(scene.crowd), bool), np.zeros(len(scene.crowd))
    hits = np.flatnonzero(scene.ranked & (taken >= 0))
    np.maximum.at(support, taken[hits], real[hits])
    confirmed[taken[hits[sure[hits]]]] = True
    found, all_ = (
        np.bincount(scene.truth_label[mask], minlength=scene.n_classes) for mask in (confirmed, ~scene.crowd)
    )
    overlooked = 1 - (found + 1) / (all_ + 2)
    return confirmed, np.maximum(support, overlooked[scene.truth_label])


def _strongest(
    kind: int, found: Ints, truth: Ints, severity: Floats, reported: Array
) -> tuple[Array, Ints, Ints, Floats]:
    """The most severe pair (detection, object) of each detection and object; reported detections are left out."""
    order = np.argsort(-severity, kind="stable")
    order = order[~reported[found[order]]]
    _, first = np.unique(found[order], return_index=True)
    order = order[np.sort(first)]
    _, first = np.unique(truth[order], return_index=True)
    kept = order[np.sort(first)]
    return np.full(len(kept), kind), found[kept], truth[kept], severity[kept]


def box_error_candidates(
    errors: BoxErrors, found: Detections, class_names: Sequence[str], *, share: float = 1.0
) -> tuple[Candidates, ...]:
    """Suspect annotations, one list for missed, for swapped and for badly placed boxes.

    Args:
        errors: of `find_box_errors`, on all images of the pool.
        found: the same detections.
        class_names: in the order of the class ids.
        share: as in `Candidates`, for all three lists together.
    """
    lists = []
    for kind, name in enumerate(BOX_ERRORS):
        whys = []
        for place in np.flatnonzero(errors.kinds == kind):
            row = errors.detections[place]
            x1, y1, x2, y2 = found.boxes_xyxy[row].tolist()
            whys.append(
                Why(
                    f"{name} box",
                    int(errors.images[place]),
                    float(errors.severity[place]),
                    suggestion=class_names[found.label_ids[row]],
                    box_xyxy=(x1, y1, x2, y2),
                    object_row=int(errors.objects[place]),
                    confidence=float(found.scores[row]),
                )
            )
        lists.append(Candidates(f"{name} box", tuple(whys), share / len(BOX_ERRORS)))
    return tuple(lists)
