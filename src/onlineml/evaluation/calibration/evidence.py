"""Scores of what photos show, and of what a model answers: all that thresholds are computed from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from onlineml.evaluation.calibration.curves import curve_of
from onlineml.evaluation.detection.matching import match, overlaps, scene_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from onlineml.data.manifest.box_arrays import Boxes
    from onlineml.evaluation.calibration.curves import Curve
    from onlineml.evaluation.calibration.temperature import Temperature
    from onlineml.evaluation.detection.detections import Detections
    from onlineml.evaluation.types import Array, Floats, Ints

__all__ = ["Evidence", "of_detections", "of_probabilities"]

_SAME_OBJECT = np.array([0.5])  # IoU, as for the thresholds of the highest F1


@dataclass(frozen=True, eq=False)
class Evidence:
    """Scores of what N photos show, and of what a model answers.

    Attributes:
        label_ids: (n,) int64 class of each photo, label or object that is shown.
        scores: (n,) float64 score of each, 0..1; -1 for an object that no answer found.
        photos: (n,) int64 photo of each.
        units: (N,) int64, the group of each photo.
        answers: scores and photos of all answers of a class, whatever their score.
        exclusive: whether a photo shows exactly one class.
        temperature: that was fitted to these photos, if any.
    """

    label_ids: Ints
    scores: Floats
    photos: Ints
    units: Ints
    answers: Callable[[int], tuple[Floats, Ints]]
    exclusive: bool
    temperature: Temperature | None = None

    @property
    def n_photos(self) -> int:
        """N."""
        return len(self.units)

    def curve(self, class_id: int | None) -> Curve:
        """Compute the curve of a class, or of all together."""
        own = slice(None) if class_id is None else self.label_ids == class_id
        given = self.scores if class_id is None else self.answers(class_id)[0]
        return curve_of(self.scores[own], self.units[self.photos[own]], given, n_photos=self.n_photos)

    def counts(self, thresholds: Sequence[float]) -> tuple[Ints, list[int]]:
        """Count the answers at or above thresholds.

        Args:
            thresholds: C, of the classes.

        Returns:
            (N,) int64, the answers in each photo, and the number of answers of each class.
        """
        in_photo, of_class = np.zeros(self.n_photos, np.int64), []
        for class_id, least in enumerate(thresholds):
            scores, photos = self.answers(class_id)
            counted = photos[scores >= least]
            in_photo += np.bincount(counted, minlength=self.n_photos)
            of_class.append(len(counted))
        return in_photo, of_class


def of_probabilities(
    probabilities: Floats, shown: Array, units: Ints, *, temperature: Temperature | None = None
) -> Evidence:
    """Return the evidence of a classifier's answers.

    Args:
        probabilities: (N, C).
        shown: (N,) int64, the class of each photo; or (N, C) bool, its labels.
        units: (N,) int64.
        temperature: that they were computed with, if it was fitted to these photos.
    """
    exclusive = shown.ndim == 1
    photos, label_ids = (np.arange(len(shown)), shown) if exclusive else np.nonzero(shown)

    def answers(class_id: int) -> tuple[Floats, Ints]:
        return probabilities[:, class_id], np.arange(len(shown))

    scores = probabilities[photos, label_ids].astype(np.float64)
    return Evidence(label_ids, scores, photos, units, answers, exclusive, temperature)


def of_detections(truth: Boxes, found: Detections, units: Ints, *, n_classes: int) -> Evidence:
    """Return the evidence of a detector's answers.

    An object has the score of the detection that takes it at an IoU of 0.5, by COCO's rules; a detection in a crowd is
    neither right nor false.

    Args:
        truth: objects of N annotated images.
        found: all detections in them, whatever their score.
        units: (N,) int64.
        n_classes: C.
    """
    scene = scene_of(truth, found, n_classes=n_classes)
    pairs = overlaps(scene, min_iou=float(_SAME_OBJECT[0]))
    taken = match(scene, pairs, ignored=scene.crowd, thresholds=_SAME_OBJECT)[:, 0]
    right = taken >= 0
    scores = np.full(len(scene.truth_label), -1.0)
    scores[taken[right]] = scene.scores[right]
    counts = ~right
    counts[right] = ~scene.crowd[taken[right]]

    def answers(class_id: int) -> tuple[Floats, Ints]:
        own = counts & (scene.found_label == class_id)
        return scene.scores[own], scene.found_image[own]

    objects = ~scene.crowd
    return Evidence(
        scene.truth_label[objects], scores[objects], scene.truth_image[objects], units, answers, exclusive=False
    )
