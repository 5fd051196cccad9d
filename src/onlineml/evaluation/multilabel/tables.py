"""Tables of the multi-label scores: classes, slices, the worst images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from onlineml.evaluation.classification.tables import ClassTable
from onlineml.evaluation.types import Floats, Ints  # noqa: TC001 - the types of fields are read with the scores

__all__ = ["LabelScore", "MultilabelSlice", "PerLabel", "WrongImage"]


@dataclass(frozen=True, eq=False)
class PerLabel(ClassTable):
    """Scores of each class, one entry per class in the order of the class names.

    Attributes:
        names: class names.
        support: (K,) int64 images that show the class.
        predicted: (K,) int64 images for which the class is predicted.
        threshold: (K,) the minimum probability at which it is predicted.
        precision: (K,) fraction of the predicted images that are correct; nan if never predicted.
        recall: (K,) fraction of the class's images that are found; nan without images.
        f1: (K,) harmonic mean; nan if neither predicted nor present.
        ap: (K,) average precision, as scikit-learn's `average_precision_score`; nan without images.
        precision_interval: (K, 2) 95 % interval; nan if undefined.
        recall_interval: (K, 2).
        f1_interval: (K, 2).
        ap_interval: (K, 2).
    """

    shown: ClassVar = {"F1": "f1", "precision": "precision", "recall": "recall", "AP": "ap", "threshold": "threshold"}
    lowest: ClassVar = {"F1": "f1", "precision": "precision", "recall": "recall", "AP": "ap"}

    names: tuple[str, ...]
    support: Ints
    predicted: Ints
    threshold: Floats
    precision: Floats
    recall: Floats
    f1: Floats
    ap: Floats
    precision_interval: Floats
    recall_interval: Floats
    f1_interval: Floats
    ap_interval: Floats


@dataclass(frozen=True)
class MultilabelSlice:
    """Scores on the images that share one value of one column.

    Attributes:
        column: the column's name.
        value: as in `onlineml.evaluation.slices.SliceScore`.
        n: number of images.
        micro_f1: F1 of all classes together; nan if there are no labels, true or predicted.
        low: lower end of its 95 % interval; nan if undefined.
        high: upper end.
        subset_accuracy: fraction of the images whose labels are all right.
    """

    column: str
    value: str
    n: int
    micro_f1: float
    low: float
    high: float
    subset_accuracy: float

    @property
    def score(self) -> float:
        """Score to draw: `micro_f1`."""
        return self.micro_f1


class LabelScore(NamedTuple):
    """A class and its probability in one image."""

    name: str
    score: float


@dataclass(frozen=True)
class WrongImage:
    """An image with wrong labels.

    Attributes:
        image_id: id in the manifest.
        uri: location of the image; "" if unknown.
        loss: cross-entropy of all classes together, in nats.
        truth: the classes that it shows.
        missed: those of them that were not predicted, the least probable first.
        false: classes that were predicted and are not present, the most probable first.
    """

    image_id: str
    uri: str
    loss: float
    truth: tuple[str, ...]
    missed: tuple[LabelScore, ...]
    false: tuple[LabelScore, ...]
