"""Input arrays of the COCO scores, and the resulting curves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from onlineml.evaluation.types import Floats, Ints

__all__ = ["AREA_RANGES", "MAX_DETECTIONS", "CocoArrays", "Curves"]

# Parameters of the COCO challenge (cocodataset.org/#detection-eval), computed as in pycocotools, bit for bit.
# all, small, medium, large
AREA_RANGES = np.array([[0, 1e5**2], [0, 32**2], [32**2, 96**2], [96**2, 1e5**2]])
MAX_DETECTIONS = (1, 10, 100)  # per class and image


@dataclass(frozen=True, eq=False)
class CocoArrays:
    """Checked truth and detections of N images and C classes.

    Boxes are (x, y, width, height), as in COCO's files: corners would round differently in the last digit.

    Attributes:
        n_images: N.
        n_classes: C.
        truth_image: (G,) int64 in [0, N); truth_class: (G,) int64 in [0, C).
        truth_xywh: (G, 4) float64, finite, sizes not negative.
        truth_area: (G,) float64, of the object's mask if known.
        truth_crowd: (G,) bool.
        found_image: (D,) int64; found_class: (D,) int64; found_xywh: (D, 4) float64; found_scores: (D,) float64,
            finite. In any order; equal scores within an image are ranked in this order.
    """

    n_images: int
    n_classes: int
    truth_image: Ints
    truth_class: Ints
    truth_xywh: Floats
    truth_area: Floats
    truth_crowd: npt.NDArray[np.bool_]
    found_image: Ints
    found_class: Ints
    found_xywh: Floats
    found_scores: Floats


@dataclass(frozen=True, eq=False)
class Curves:
    """Data of the summary; nan for a class without an object (of that size).

    Attributes:
        precision: (10, 101, C, 4) float64 by IoU threshold, recall, class and size of object, at 100 detections.
        recall: (10, C, 4) float64, the highest recall at 100 detections.
        recall_few: (10, C, 2) float64, at 1 and at 10 detections per image, objects of all sizes.
    """

    precision: Floats
    recall: Floats
    recall_few: Floats
