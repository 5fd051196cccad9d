"""Choice of the thresholds: the minimum scores at which detections count."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onlineml.evaluation.classification import inputs
from onlineml.evaluation.detection.inputs import checked_boxes, checked_sizes, usable_boxes
from onlineml.evaluation.detection.matching import overlaps, scene_of
from onlineml.evaluation.detection.ranking import rank_areas
from onlineml.evaluation.metrics import best_f1_threshold

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onlineml.data.manifest.box_arrays import Boxes
    from onlineml.evaluation.detection.detections import Detections
    from onlineml.evaluation.detection.ranking import Ranking
    from onlineml.evaluation.types import Array, Floats

__all__ = ["FALLBACK", "best_thresholds", "f1_thresholds"]

FALLBACK = 0.5  # used if no better value is known


def best_thresholds(
    truth: Boxes,
    found: Detections,
    class_names: Sequence[str],
    *,
    sizes_hw: Sequence[tuple[int, int]] | Array | None = None,
) -> dict[str, float]:
    """Choose the threshold of each class with the highest F1, at an IoU of 0.5; to be used on validation data.

    It is the midpoint between the lowest score that is kept and the next lower one, so that rounding has no effect. A
    class of which no object is found gets the threshold that is best for all classes together; 0.5 if none is found at
    all.

    Args:
        truth: objects of N annotated images.
        found: detections in the same images.
        class_names: C distinct names; `label_ids` of both are indices into them.
        sizes_hw: (N, 2) height and width of the upright images, for excluding objects outside them.

    Returns:
        A threshold for each class name.

    Raises:
        DataError: images are not annotated, the numbers of images differ, or detections are of no class.
    """
    names = inputs.checked_names(class_names)
    checked_boxes(truth, found, names, inputs.checked_ids(None, n_images=found.n_images))
    usable = usable_boxes(truth, checked_sizes(sizes_hw, n_images=found.n_images))
    scene = scene_of(truth, found, n_classes=len(names), usable=usable)
    rankings, _ = rank_areas(scene, overlaps(scene, min_iou=0.5))
    return dict(zip(names, f1_thresholds(rankings[""], scene.scores).tolist(), strict=True))


def f1_thresholds(ranked: Ranking, scores: Floats) -> Floats:
    """Return the threshold of the highest F1 of each class, at the first IoU of `ranked`.

    Args:
        ranked: detections by class and descending score.
        scores: (M,) of all detections.

    Returns:
        (C,) float64, the midpoint between the lowest score kept and the next lower one (0 below the last); of equal F1
        the highest. For a class without hits, that of all classes together, or 0.5.
    """
    counted = ~ranked.ignored[:, 0]
    labels = np.repeat(np.arange(ranked.n_classes), np.diff(ranked.starts))
    support = np.bincount(ranked.truth_label, minlength=ranked.n_classes)
    ordered, hit = scores[ranked.order], ranked.hit[:, 0]
    everything = np.argsort(-ordered[counted], kind="stable")
    pooled = best_f1_threshold(ordered[counted][everything], hit[counted][everything], int(support.sum()))
    thresholds = np.full(ranked.n_classes, FALLBACK if np.isnan(pooled) else pooled)
    for class_id in range(ranked.n_classes):
        rows = counted & (labels == class_id)
        own = best_f1_threshold(ordered[rows], hit[rows], int(support[class_id]))
        if not np.isnan(own):
            thresholds[class_id] = own
    return thresholds
