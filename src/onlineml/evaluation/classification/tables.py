"""The tables inside the scores: classes, calibration, mistakes."""
# ruff: noqa: PLC0415 - pandas takes half a second to import

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from onlineml.errors import UnknownClassError
from onlineml.evaluation import metrics

if TYPE_CHECKING:
    import pandas as pd

    from onlineml.evaluation.types import Floats, Ints

__all__ = ["ClassTable", "ConfusedPair", "Mistake", "PerClass", "Reliability"]


@dataclass(frozen=True)
class Mistake:
    """One wrongly classified image.

    Attributes:
        image_id: of the manifest.
        uri: where the image is; "" if that was not given.
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
    """How often images of one class were taken for another: `n` times, `share` of the images of `truth`."""

    truth: str
    predicted: str
    n: int
    share: float


@dataclass(frozen=True, eq=False)
class Reliability:
    """Confidence against accuracy in 15 equal bins of the predicted class's probability.

    Attributes:
        lower: (15,) exclusive lower bound of each bin (0 belongs to the first).
        upper: (15,) inclusive upper bound.
        n: (15,) int64 images in the bin.
        confidence: (15,) mean probability; nan for an empty bin.
        accuracy: (15,) share that is right; nan for an empty bin.
    """

    lower: Floats
    upper: Floats
    n: Ints
    confidence: Floats
    accuracy: Floats

    @property
    def ece(self) -> float:
        """Expected calibration error: mean distance of accuracy from confidence, weighted by images; nan without."""
        gaps = np.nan_to_num(np.abs(self.accuracy - self.confidence))
        return float(metrics.ratio((gaps * self.n).sum(), self.n.sum()))


class ClassTable:
    """What tables of classes share: each is a dataclass of columns with one entry a class."""

    names: tuple[str, ...]
    support: Ints
    f1: Floats

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, name: str) -> dict[str, Any]:
        """Scores of one class by its name.

        Raises:
            UnknownClassError: there is no such class.
        """
        if name not in self.names:
            msg = f"{name!r} is not one of the {len(self.names)} classes: {', '.join(self.names[:20])}"
            raise UnknownClassError(msg)
        place = self.names.index(name)
        return {name: column[place] for name, column in self._columns().items()}

    def _columns(self) -> dict[str, Any]:
        fields = dataclasses.fields(self)  # type: ignore[arg-type]  # each table of classes is a dataclass
        return {f.name: getattr(self, f.name) for f in fields if f.name != "names"}

    def worst_first(self) -> Ints:
        """Class ids (C,) by F1 (of objects: by AP), rising; of equal ones the larger class first; empty ones last."""
        return np.lexsort((-self.support, np.where(self.support > 0, self._ranked_by(), np.inf))).astype(np.int64)

    def _ranked_by(self) -> Floats:
        return self.f1

    def to_frame(self) -> pd.DataFrame:
        """One row a class; intervals as two columns, ``recall_low`` and ``recall_high``."""
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


@dataclass(frozen=True, eq=False)
class PerClass(ClassTable):
    """Scores of each class, one entry a class in the order of the class names.

    Attributes:
        names: class names.
        support: (C,) int64 images of the class.
        predicted: (C,) int64 images predicted as the class.
        precision: (C,) right among those predicted; nan if never predicted.
        recall: (C,) found among those that there are; nan without images.
        f1: (C,) harmonic mean; nan if neither predicted nor present.
        ap: (C,) average precision, one against the rest; nan without images.
        auroc: (C,) area under the ROC curve, one against the rest; nan without images or without others.
        precision_interval: (C, 2) 95 % interval; nan where it cannot be told.
        recall_interval: (C, 2).
        f1_interval: (C, 2).
    """

    names: tuple[str, ...]
    support: Ints
    predicted: Ints
    precision: Floats
    recall: Floats
    f1: Floats
    ap: Floats
    auroc: Floats
    precision_interval: Floats
    recall_interval: Floats
    f1_interval: Floats
