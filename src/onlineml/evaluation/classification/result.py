"""Result of evaluating a classifier: an immutable object that can be printed, drawn and saved."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - the types of fields are read with them
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from onlineml.arguments.counted import count
from onlineml.evaluation import metrics
from onlineml.evaluation.base import BaseScores
from onlineml.evaluation.classification import text
from onlineml.evaluation.classification.compare import compare_classifiers
from onlineml.evaluation.classification.gallery import mistakes_figure
from onlineml.evaluation.classification.items import gallery_items
from onlineml.evaluation.classification.pooled import pooled_classification
from onlineml.evaluation.classification.report import report_parts, summary_html
from onlineml.evaluation.classification.tables import Mistake, PerClass, Reliability  # noqa: TC001
from onlineml.evaluation.render import plots
from onlineml.evaluation.serial import Layout
from onlineml.evaluation.slices import SliceScore  # noqa: TC001
from onlineml.evaluation.types import Floats, Ints  # noqa: TC001

__all__ = ["ClassificationScores"]


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ClassificationScores(BaseScores):
    """Scores of a classifier on labelled images, with confidence intervals and mistakes.

    Undefined scores are nan. Created by `onlineml.evaluate` or `onlineml.evaluation.classification_scores`.

    Attributes:
        labels: (N,) int64 true class ids.
        predictions: (N,) int64 predicted class ids; of equal probabilities, the lowest.
        confidences: (N,) float64 probability of the prediction.
        probabilities: (N, C) float32, or float64 if passed so; None if they were omitted from the JSON.
        accuracy: fraction of correct predictions; balanced_accuracy: mean recall of the classes that have images.
        macro_precision: mean over the classes that have images, with 0 for one never predicted; macro_recall and
            macro_f1 likewise. micro_precision, micro_recall and micro_f1 pool all classes, which is the accuracy.
            weighted_precision, weighted_recall and weighted_f1 are means by number of images.
        top_k: fraction with the true class among the first k, by k; lower class ids win ties. `top_5` is ``top_k[5]``.
        map: mean average precision over the classes that have images.
        auroc_macro: mean AUROC, one against the rest, over the classes for which it is defined.
        log_loss: mean cross-entropy in nats, probabilities clipped to 2.2e-16.
        brier: mean squared distance from the one-hot truth, in [0, 2].
        ece: expected calibration error in 15 equal-width bins, in [0, 1].
        intervals: 95 % percentile bootstrap interval (low, high) over groups, by score name (``"accuracy"``,
            ``"top_5"``, …). (nan, nan) if the resamples do not vary, and for ``map`` and ``auroc_macro`` if images x
            classes x resamples exceed 5e8. An accuracy of exactly 0 or 1 has Clopper and Pearson's interval.
        per_class: scores of each class.
        reliability: the calibration curve.
        by_slice: accuracy for each value of each column in `slices`.
        mistakes: the misclassified images, most confident first; the first `n_mistakes` of them.
    """

    headline = ("accuracy", "macro_f1")
    words = text.WORDS
    explanations = text.EXPLANATIONS
    drawers: ClassVar = {
        **plots.DRAWERS,
        "worst": mistakes_figure,
        "reliability": plots.reliability_figure,
        "roc": plots.roc_figure,
    }
    slice_score = "accuracy"
    layout = Layout(
        "onlineml.classification_scores",
        {"labels": "label", "predictions": "prediction", "confidences": "confidence"},
        ("probabilities",),
    )

    labels: Ints
    predictions: Ints
    confidences: Floats
    probabilities: Floats | None
    accuracy: float
    balanced_accuracy: float
    macro_precision: float
    macro_recall: float
    macro_f1: float
    micro_precision: float
    micro_recall: float
    micro_f1: float
    weighted_precision: float
    weighted_recall: float
    weighted_f1: float
    map: float
    auroc_macro: float
    log_loss: float
    brier: float
    ece: float
    top_k: Mapping[int, float]
    per_class: PerClass
    reliability: Reliability
    by_slice: tuple[SliceScore, ...]
    mistakes: tuple[Mistake, ...]

    def without_knowledge(self) -> tuple[str, float] | None:
        """Return the balanced accuracy of the same answer to every image; None if they are all of one class."""
        n_present = len(np.unique(self.labels))
        return ("balanced_accuracy", 1 / n_present) if n_present > 1 else None

    @property
    def n_mistakes(self) -> int:
        """Number of misclassified images, including those beyond the listed `mistakes`."""
        return int(np.sum(self.labels != self.predictions))

    @property
    def confusion(self) -> Ints:
        """(C, C) int64 counts of each prediction for each truth; truths are the rows."""
        return metrics.confusion_matrix(self.labels, self.predictions, n_classes=len(self.class_names))

    @property
    def top_1(self) -> float:
        """The accuracy."""
        return self.accuracy

    @property
    def top_5(self) -> float:
        """Fraction of images with the true class among the first five; nan if 5 was not requested."""
        return self.top_k.get(5, float("nan"))

    @property
    def auroc(self) -> Floats:
        """AUROC of each class (C,)."""
        return self.per_class.auroc

    def score_names(self) -> list[str]:
        """Return the names of the single-number scores, as in `intervals` and `to_frame`."""
        plain = super().score_names()
        return [plain[0], *(f"top_{k}" for k in self.top_k if k > 1), *plain[1:]]

    def score(self, name: str) -> float:
        """Return a score by its name, see `score_names`."""
        return self.top_k[int(name[4:])] if name.startswith("top_") else super().score(name)

    def roc(self, class_name: str | int) -> metrics.RocCurve:
        """Return the ROC curve of a class (name or id) against the rest."""
        class_id = self._curve_class(class_name)
        return metrics.roc_curve(self.labels == class_id, self.probabilities[:, class_id])  # type: ignore[index]  # it has them

    def pr(self, class_name: str | int) -> metrics.PrecisionRecallCurve:
        """Return the precision-recall curve of a class (name or id) against the rest."""
        class_id = self._curve_class(class_name)
        return metrics.precision_recall_curve(self.labels == class_id, self.probabilities[:, class_id])  # type: ignore[index]

    compare_with = compare_classifiers
    pooled_with = pooled_classification
    report_parts = report_parts
    gallery = gallery_items
    card_facts = text.card_facts
    expectation = text.expectation
    shown_scores = text.shown_scores
    __str__ = text.scores_text
    _repr_html_ = summary_html

    def __repr__(self) -> str:
        return f"<ClassificationScores: accuracy {self.accuracy:.3f} on {count(self.n_images, 'image')}>"
