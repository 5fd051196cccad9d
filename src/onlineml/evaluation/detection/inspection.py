"""Inspection of a detector's scores by image: every box with its outcome, and the cells of the confusion matrix."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from onlineml.errors import DataError
from onlineml.evaluation.detection.errors import Cells, confusion_cells, match_scene
from onlineml.evaluation.detection.inputs import usable_boxes
from onlineml.evaluation.detection.matching import scene_of
from onlineml.evaluation.detection.worst import count_mistakes, seen_images

if TYPE_CHECKING:
    from onlineml.evaluation.detection.result import DetectionScores
    from onlineml.evaluation.detection.tables import WorstImage
    from onlineml.evaluation.types import Ints

__all__ = ["Inspection"]


class Inspection:
    """Detections of some scores, matched with the objects again, for inspection by image.

    Args:
        scores: scores including their detections.

    Raises:
        DataError: the scores were saved without detections.
    """

    def __init__(self, scores: DetectionScores) -> None:
        if scores.truth is None or scores.found is None:
            msg = (
                "these scores were saved without detections, which inspection needs; evaluate again, or save "
                "them with to_json(arrays=True)"
            )
            raise DataError(msg)
        self.scores = scores
        usable = usable_boxes(scores.truth, scores.sizes_hw)
        scene = scene_of(scores.truth, scores.found, n_classes=len(scores.class_names), usable=usable)
        thresholds = np.array([scores.thresholds[name] for name in scores.class_names], dtype=np.float64)
        self._case = match_scene(scene, thresholds)
        self._counts = count_mistakes(scene, self._case.shown)

    @cached_property
    def cells(self) -> Cells:
        """Return the cell of each object, and of each detection without an object, in `DetectionScores.confusion`."""
        return confusion_cells(self._case.scene, self._case.pairs, self._case.shown)

    def mistakes(self) -> Ints:
        """Return (N,) int64: missed objects and false boxes of each image."""
        return self._counts.missed + self._counts.false

    def worst_first(self) -> list[int]:
        """Return the indices of all images, those with the most missed objects and false boxes first."""
        order: list[int] = np.argsort(-self.mistakes(), kind="stable").tolist()
        return order

    def image(self, place: int) -> WorstImage:
        """Return an image with all its boxes, with or without mistakes."""
        scores = self.scores
        (seen,) = seen_images(
            self._case.scene,
            self._case.shown,
            [place],
            self._counts,
            names=scores.class_names,
            image_ids=scores.image_ids,
            uris=scores.uris,
            sizes_hw=scores.sizes_hw,
        )
        return seen
