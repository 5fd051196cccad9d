"""Scores of a detector looked at image by image: every box with what became of it, and the cells of the confusion."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from onlineml.errors import DataError
from onlineml.evaluation.classification.worst import count_mistakes, seen_images
from onlineml.evaluation.detection.errors import Cells, confusion_cells
from onlineml.evaluation.detection.inputs import usable_boxes
from onlineml.evaluation.detection.matching import scene_of
from onlineml.evaluation.detection.score import match_scene

if TYPE_CHECKING:
    from onlineml.evaluation.detection.result import DetectionScores
    from onlineml.evaluation.detection.tables import WorstImage

__all__ = ["Inspection"]


class Inspection:
    """The detections of some scores matched with the objects once more, to be looked at.

    Args:
        scores: with their detections.

    Raises:
        DataError: they were saved without detections.
    """

    def __init__(self, scores: DetectionScores) -> None:
        if scores.truth is None or scores.found is None:
            msg = (
                "these scores were saved without detections, which looking at images needs; evaluate again, or save "
                "them with to_json(detections=True)"
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
        """The cell of each object, and of each detection of nothing, in `DetectionScores.confusion`."""
        return confusion_cells(self._case.scene, self._case.pairs, self._case.shown)

    def worst_first(self) -> list[int]:
        """Places of all images, those with most missed objects and false boxes first."""
        order: list[int] = np.argsort(-(self._counts.missed + self._counts.false), kind="stable").tolist()
        return order

    def image(self, place: int) -> WorstImage:
        """An image with all its boxes, whether it has mistakes or not."""
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
