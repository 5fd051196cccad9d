"""The tables inside a detector's scores: classes, error types, slices, the worst images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from onlineml.evaluation.classification.tables import ClassTable

if TYPE_CHECKING:
    from onlineml.evaluation.types import Floats, Ints

__all__ = ["ERRORS", "KINDS", "DetectionSlice", "ErrorType", "PerObjectClass", "SeenBox", "WorstImage"]

# what a detection can be: TIDE's types, or ignored (on a crowd, or beyond the 100 of a class and image that count)
KINDS = ("hit", "class", "localisation", "both", "duplicate", "background", "ignored")
ERRORS = (*KINDS[1:6], "missed")


@dataclass(frozen=True, eq=False)
class PerObjectClass(ClassTable):
    """Scores of each class of objects, one entry a class in the order of the class names.

    Attributes:
        names: class names.
        support: (C,) int64 objects of the class, without crowds.
        predicted: (C,) int64 boxes said to be of the class at its threshold, without those on crowds.
        threshold: (C,) score from which a box counts for precision, recall and F1; nan: none does.
        precision: (C,) right among those said, at an IoU of 0.5; nan if none.
        recall: (C,) found among those there are; nan without objects.
        f1: (C,) harmonic mean; nan if neither said nor there.
        ap: (C,) COCO's average precision, mean over IoU 0.50 to 0.95; nan without objects.
        ap_50: (C,) at an IoU of 0.50.
        ap_75: (C,) at an IoU of 0.75.
        precision_interval: (C, 2) 95 % interval; nan where it cannot be told.
        recall_interval: (C, 2).
        f1_interval: (C, 2).
        ap_interval: (C, 2).
        ap_50_interval: (C, 2).
    """

    names: tuple[str, ...]
    support: Ints
    predicted: Ints
    threshold: Floats
    precision: Floats
    recall: Floats
    f1: Floats
    ap: Floats
    ap_50: Floats
    ap_75: Floats
    precision_interval: Floats
    recall_interval: Floats
    f1_interval: Floats
    ap_interval: Floats
    ap_50_interval: Floats

    def _ranked_by(self) -> Floats:
        return self.ap


@dataclass(frozen=True)
class ErrorType:
    """One type of error of TIDE (Bolya et al., ECCV 2020).

    Attributes:
        name: class, localisation, both, duplicate, background or missed.
        n: how many there are at the thresholds: boxes, or objects for missed.
        n_all: how many there are among all detections, however low their score.
        ap_50_cost: how much the mean AP50 would rise were all of them (`n_all`) put right; the costs of several types
            do not add up. nan without objects.
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
        low: lower end of its 95 % interval; nan where it cannot be told.
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

    @property
    def score(self) -> float:
        """The one that is drawn: `map_50`."""
        return self.map_50


@dataclass(frozen=True)
class SeenBox:
    """A box to draw.

    Attributes:
        kind: ``"hit"``, ``"missed"`` (an object), or the error type of a detection.
        box_xyxy: absolute pixels of the upright image.
        label: the class that was said; of a missed object, its class.
        score: of the detection; nan for a missed object.
        truth: class of the object that it found or nearly found; "" if it is on nothing.
    """

    kind: str
    box_xyxy: tuple[float, float, float, float]
    label: str
    score: float
    truth: str

    @property
    def is_error(self) -> bool:
        """Whether it is anything but a hit."""
        return self.kind != "hit"


@dataclass(frozen=True)
class WorstImage:
    """An image with mistakes at the thresholds.

    Attributes:
        image_id: of the manifest.
        uri: where the image is; "" if that was not given.
        size_hw: of the upright image; (0, 0) if it was not given.
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
