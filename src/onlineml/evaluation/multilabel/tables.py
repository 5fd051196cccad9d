"""The tables inside the multi-label scores: classes, slices, the worst images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from onlineml.evaluation.classification.tables import ClassTable

if TYPE_CHECKING:
    from onlineml.evaluation.types import Floats, Ints

__all__ = ["LabelScore", "MultilabelSlice", "PerLabel", "WrongImage"]


@dataclass(frozen=True, eq=False)
class PerLabel(ClassTable):
    """Scores of each class, one entry a class in the order of the class names.

    Attributes:
        names: class names.
        support: (K,) int64 images that show the class.
        predicted: (K,) int64 images that are given it.
        threshold: (K,) the probability from which it is given.
        precision: (K,) right among those given; nan if never given.
        recall: (K,) found among those that there are; nan without images.
        f1: (K,) harmonic mean; nan if neither given nor there.
        ap: (K,) average precision, as scikit-learn's `average_precision_score`; nan without images.
        precision_interval: (K, 2) 95 % interval; nan where it cannot be told.
        recall_interval: (K, 2).
        f1_interval: (K, 2).
        ap_interval: (K, 2).
    """

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
        micro_f1: F1 of all classes together; nan where there are no labels, true or given.
        low: lower end of its 95 % interval; nan where it cannot be told.
        high: upper end.
        subset_accuracy: share of the images whose labels are all right.
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
        """The one that is drawn: `micro_f1`."""
        return self.micro_f1


class LabelScore(NamedTuple):
    """A class and its probability in one image."""

    name: str
    score: float


@dataclass(frozen=True)
class WrongImage:
    """An image with wrong labels.

    Attributes:
        image_id: of the manifest.
        uri: where the image is; "" if that was not given.
        loss: cross-entropy of all classes together, in nats: how surprised the model is by the truth.
        truth: the classes that it shows.
        missed: those of them that were not given, the least probable first.
        false: classes that were given and are not there, the most probable first.
    """

    image_id: str
    uri: str
    loss: float
    truth: tuple[str, ...]
    missed: tuple[LabelScore, ...]
    false: tuple[LabelScore, ...]
