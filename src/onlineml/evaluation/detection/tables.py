"""Tables of a detector's scores: classes, error types, slices, the worst images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from onlineml.evaluation.classification.tables import ClassTable
from onlineml.evaluation.types import Floats  # noqa: TC001 - the types of fields are read with the scores

__all__ = ["ERRORS", "KINDS", "DetectionSlice", "ErrorType", "PerObjectClass", "SeenBox", "WorstImage"]

# kinds of a detection: TIDE's types, or ignored (on a crowd, or beyond the 100 per class and image that count)
KINDS = ("hit", "class", "localisation", "both", "duplicate", "background", "ignored")
ERRORS = (*KINDS[1:6], "missed")


@dataclass(frozen=True, eq=False, kw_only=True)
class PerObjectClass(ClassTable):
    """Scores of each class of objects; precision, recall and F1 at an IoU of 0.5.

    Attributes:
        threshold: (C,) minimum score at which a box counts for precision, recall and F1; nan: none does.
        ap_50: (C,) average precision at an IoU of 0.50.
        ap_75: (C,) at an IoU of 0.75.
        ap_interval: (C, 2).
        ap_50_interval: (C, 2).
    """

    counted = "objects"
    shown: ClassVar = {"AP 50\u201395": "ap", "AP 50": "ap_50", "recall": "recall", "precision": "precision",
                       "F1": "f1", "threshold": "threshold"}  # fmt: skip
    lowest: ClassVar = {"AP": "ap", "AP 50": "ap_50", "precision": "precision", "recall": "recall"}

    threshold: Floats
    ap_50: Floats
    ap_75: Floats
    ap_interval: Floats
    ap_50_interval: Floats


@dataclass(frozen=True)
class ErrorType:
    """One error type of TIDE (Bolya et al., ECCV 2020).

    Attributes:
        name: class, localisation, both, duplicate, background or missed.
        n: number at the thresholds: boxes, or objects for missed.
        n_all: number among all detections, regardless of score.
        ap_50_cost: increase of the mean AP50 if all of them (`n_all`) were corrected; the costs of several types do not
            add up. nan without objects.
    """

    name: str
    n: int
    n_all: int
    ap_50_cost: float


@dataclass(frozen=True)
class DetectionSlice:
    """Scores on the images that share one value of one column.

    Attributes:
        column: the column's name.
        value: as in `onlineml.evaluation.slices.SliceScore`.
        n: number of images.
        n_objects: objects in them, without crowds.
        map_50: mean AP50 over the classes that have objects there.
        low: lower end of its 95 % interval; nan if undefined.
        high: upper end.
        map_50_95: COCO's mean average precision.
        precision: at the thresholds, of all classes together.
        recall: likewise.
    """

    column: str
    value: str
    n: int
    n_objects: int
    map_50: float
    low: float
    high: float
    map_50_95: float
    precision: float
    recall: float


@dataclass(frozen=True)
class SeenBox:
    """A box to draw.

    Attributes:
        kind: ``"hit"``, ``"missed"`` (an object), or the error type of a detection.
        box_xyxy: absolute pixels of the upright image.
        label: the predicted class; for a missed object, its class.
        score: score of the detection; nan for a missed object.
        truth: class of the object that it found or nearly found; "" if there is none.
    """

    kind: str
    box_xyxy: tuple[float, float, float, float]
    label: str
    score: float
    truth: str

    @property
    def is_error(self) -> bool:
        """True for anything but a hit."""
        return self.kind != "hit"


@dataclass(frozen=True)
class WorstImage:
    """An image with mistakes at the thresholds.

    Attributes:
        image_id: id in the manifest.
        uri: location of the image; "" if unknown.
        size_hw: size of the upright image; (0, 0) if unknown.
        n_objects: objects in it, without crowds.
        n_missed: objects that no box of their class found.
        n_false: boxes that found nothing.
        boxes: hits, false boxes and missed objects.
    """

    image_id: str
    uri: str
    size_hw: tuple[int, int]
    n_objects: int
    n_missed: int
    n_false: int
    boxes: tuple[SeenBox, ...]
