"""Tables of the multi-label scores: classes, slices, the worst images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from onlineml.evaluation.classification.tables import ClassTable
from onlineml.evaluation.types import Floats  # noqa: TC001 - the types of fields are read with the scores

__all__ = ["LabelScore", "MultilabelSlice", "PerLabel", "WrongImage"]


@dataclass(frozen=True, eq=False, kw_only=True)
class PerLabel(ClassTable):
    """Scores of each class of a multi-label classifier; average precision is scikit-learn's.

    Attributes:
        threshold: (K,) the minimum probability at which it is predicted.
        ap_interval: (K, 2).
    """

    shown: ClassVar = {"F1": "f1", "precision": "precision", "recall": "recall", "AP": "ap", "threshold": "threshold"}
    lowest: ClassVar = {"F1": "f1", "precision": "precision", "recall": "recall", "AP": "ap"}

    threshold: Floats
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
