"""Tables of a classifier's scores: classes, calibration, mistakes."""
# ruff: noqa: PLC0415 - pandas takes half a second to import

from __future__ import annotations

import dataclasses
from collections.abc import Mapping  # noqa: TC003 - the types of fields are read with the scores
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from onlineml.arguments.similar import valid_names
from onlineml.errors import UnknownClassError
from onlineml.evaluation import metrics
from onlineml.evaluation.types import Floats, Ints  # noqa: TC001

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ClassTable", "ConfusedPair", "Mistake", "PerClass", "Reliability"]


@dataclass(frozen=True)
class Mistake:
    """One misclassified image.

    Attributes:
        image_id: id in the manifest.
        uri: location of the image; "" if unknown.
        truth: name of the labelled class.
        predicted: name of the predicted class.
        score: probability of the predicted class, in [0, 1].
        truth_score: probability of the labelled class.
    """

    image_id: str
    uri: str
    truth: str
    predicted: str
    score: float
    truth_score: float


@dataclass(frozen=True)
class ConfusedPair:
    """Confusion of one class with another: `n` times, which is the fraction `share` of the images of `truth`."""

    truth: str
    predicted: str
    n: int
    share: float


@dataclass(frozen=True, eq=False)
class Reliability:
    """Accuracy by confidence in 15 equal bins of the predicted class's probability.

    Attributes:
        lower: (15,) exclusive lower bound of each bin (0 belongs to the first).
        upper: (15,) inclusive upper bound.
        n: (15,) int64 images in the bin.
        confidence: (15,) mean probability; nan for an empty bin.
        accuracy: (15,) fraction of correct predictions; nan for an empty bin.
    """

    lower: Floats
    upper: Floats
    n: Ints
    confidence: Floats
    accuracy: Floats

    @property
    def ece(self) -> float:
        """Expected calibration error: mean distance of accuracy and confidence, weighted by images; nan without."""
        gaps = np.nan_to_num(np.abs(self.accuracy - self.confidence))
        return float(metrics.ratio((gaps * self.n).sum(), self.n.sum()))


@dataclass(frozen=True, eq=False, kw_only=True)
class ClassTable:
    """Scores of each class, one entry per class in the order of the class names: columns that all tasks have.

    The first of the `lowest` columns sorts `worst_first`.

    Attributes:
        counted: what `support` counts.
        shown: columns of reports, by their headers.
        lowest: columns of the short tables of the lowest classes.
        names: class names.
        support: (C,) int64 images (objects) of the class.
        predicted: (C,) int64 images (boxes) predicted as the class, at its threshold.
        precision: (C,) fraction of the predicted ones that are correct; nan if never predicted.
        recall: (C,) fraction of the class's images (objects) that are found; nan without any.
        f1: (C,) harmonic mean; nan if neither predicted nor present.
        ap: (C,) average precision, one against the rest; of objects COCO's, mean over IoU 0.50 to 0.95; nan without
            images (objects).
        precision_interval: (C, 2) 95 % interval; nan if undefined; recall_interval and f1_interval likewise.
    """

    counted: ClassVar[str] = "images"
    shown: ClassVar[Mapping[str, str]] = {"recall": "recall", "precision": "precision", "F1": "f1", "AP": "ap"}
    lowest: ClassVar[Mapping[str, str]] = {"F1": "f1", "precision": "precision", "recall": "recall"}

    names: tuple[str, ...]
    support: Ints
    predicted: Ints
    precision: Floats
    recall: Floats
    f1: Floats
    ap: Floats
    precision_interval: Floats
    recall_interval: Floats
    f1_interval: Floats

    @property
    def ranking(self) -> str:
        """Name of the score by which `worst_first` sorts."""
        return next(iter(self.lowest))

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, name: str) -> dict[str, Any]:
        """Return the scores of one class by its name.

        Raises:
            UnknownClassError: the class does not exist.
        """
        if name not in self.names:
            msg = f"{name!r} is not one of the {len(self.names)} classes: {valid_names(name, self.names)}"
            raise UnknownClassError(msg)
        place = self.names.index(name)
        return {name: column[place] for name, column in self._columns().items()}

    def _columns(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "names"}

    def worst_first(self) -> Ints:
        """Return class ids (C,) by ascending F1 (of objects: AP); ties: larger class first; empty classes last."""
        ranked = getattr(self, self.lowest[self.ranking])
        return np.lexsort((-self.support, np.where(self.support > 0, ranked, np.inf))).astype(np.int64)

    def to_frame(self) -> pd.DataFrame:
        """Return one row per class; intervals are two columns, ``recall_low`` and ``recall_high``."""
        import pandas as pd

        columns: dict[str, Any] = {}
        for field_name, value in self._columns().items():
            name = field_name.removesuffix("_interval")
            if value.ndim == 2:
                columns[f"{name}_low"], columns[f"{name}_high"] = value[:, 0], value[:, 1]
            else:
                columns[name] = value
        return pd.DataFrame(columns, index=pd.Index(self.names, name="class", dtype="object"))

    def _repr_html_(self) -> str:
        return str(self.to_frame().to_html(float_format="{:.3f}".format, na_rep="\u2013"))


@dataclass(frozen=True, eq=False, kw_only=True)
class PerClass(ClassTable):
    """Scores of each class of a classifier.

    Attributes:
        auroc: (C,) area under the ROC curve, one against the rest; nan without images or without others.
    """

    auroc: Floats
