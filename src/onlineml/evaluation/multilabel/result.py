"""Result of a multi-label evaluation: an immutable object that can be printed, drawn and saved."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - the types of fields are read with them
from dataclasses import dataclass

import numpy as np

from onlineml.arguments.counted import count
from onlineml.evaluation.base import BaseScores
from onlineml.evaluation.metrics import PrecisionRecallCurve, precision_recall_curve
from onlineml.evaluation.multilabel import plots, text
from onlineml.evaluation.multilabel.compare import compare_multilabel
from onlineml.evaluation.multilabel.items import gallery_items
from onlineml.evaluation.multilabel.pooled import pooled_multilabel
from onlineml.evaluation.multilabel.report import report_parts, summary_html
from onlineml.evaluation.multilabel.tables import MultilabelSlice, PerLabel, WrongImage  # noqa: TC001
from onlineml.evaluation.serial import Layout
from onlineml.evaluation.types import Array, Floats, Ints  # noqa: TC001

__all__ = ["MultilabelScores"]


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class MultilabelScores(BaseScores):
    """Scores of a classifier that assigns any number of labels to an image, with confidence intervals and mistakes.

    Undefined scores are nan. Created by `onlineml.evaluation.multilabel_scores`.

    Attributes:
        truth: (N, K) bool, the image shows the class.
        predictions: (N, K) bool, the label is predicted: its probability reaches the threshold.
        probabilities: (N, K) float32, or float64 if passed so; None if they were omitted from the JSON.
        thresholds: the minimum probability of each class at which its label is predicted.
        subset_accuracy: fraction of images whose labels are all right. hamming_loss: fraction of wrong decisions, one
            per image and class.
        map: mean over the classes that have images of the average precision; micro_ap: of all classes together.
        micro_precision: fraction of the predicted labels that are right; micro_recall: fraction of the true labels that
            are predicted; micro_f1: their harmonic mean.
        macro_f1: mean F1 of the classes that are predicted or present; a class without images has an F1 of 0 as soon as
            it is predicted.
        samples_f1: mean F1 of the images that have a label, true or predicted.
        empty_recall: fraction of the images without any label for which none is predicted; empty_precision: fraction of
            the images without any predicted label that have none.
        log_loss: mean binary cross-entropy of a decision, in nats, probabilities clipped to 2.2e-16.
        intervals: 95 % percentile bootstrap interval (low, high) over groups, by score name. (nan, nan) if the
            resamples do not vary. For very many images and classes, those of average precision are computed from fewer
            resamples, at least 100. A fraction of exactly 0 or 1 has Clopper and Pearson's interval.
        per_class: scores of each class.
        by_slice: F1 and subset accuracy for each value of each column in `slices`.
        worst: the images with wrong labels, those with the largest cross-entropy first; the first `n_worst` of them.
    """

    headline = ("map", "micro_f1")
    words = text.WORDS
    explanations = text.EXPLANATIONS
    drawers = plots.DRAWERS
    slice_score = "micro_f1"
    layout = Layout("onlineml.multilabel_scores", {"truth": "truth", "predictions": "predictions"}, ("probabilities",))

    truth: Array
    predictions: Array
    probabilities: Floats | None
    thresholds: Mapping[str, float]
    map: float
    micro_ap: float
    micro_precision: float
    micro_recall: float
    micro_f1: float
    macro_f1: float
    samples_f1: float
    subset_accuracy: float
    hamming_loss: float
    empty_recall: float
    empty_precision: float
    log_loss: float
    per_class: PerLabel
    by_slice: tuple[MultilabelSlice, ...]
    worst: tuple[WrongImage, ...]

    def without_knowledge(self) -> tuple[str, float] | None:
        """Return the mean average precision of a random order: the share of the images that show a class."""
        shown = self.truth.mean(axis=0)
        return "map", float(shown[shown > 0].mean()) if shown.any() else float("nan")

    @property
    def n_labels(self) -> int:
        """Number of labels of all images."""
        return int(self.truth.sum())

    @property
    def n_given(self) -> int:
        """Number of labels that the model predicts."""
        return int(self.predictions.sum())

    @property
    def n_wrong(self) -> int:
        """Number of images with a wrong label, including those beyond the listed `worst`."""
        return int((self.truth != self.predictions).any(axis=1).sum())

    @property
    def n_empty(self) -> int:
        """Number of images without any label."""
        return int((~self.truth.any(axis=1)).sum())

    @property
    def n_given_empty(self) -> int:
        """Number of images for which the model predicts no label."""
        return int((~self.predictions.any(axis=1)).sum())

    @property
    def class_counts(self) -> Ints:
        """(K, 2, 2) int64 [[true negatives, false positives], [missed, hits]] of each class, as scikit-learn's."""
        truth, given = self.truth, self.predictions
        cells = [[~truth & ~given, ~truth & given], [truth & ~given, truth & given]]
        counts = np.array([[cell.sum(axis=0) for cell in row] for row in cells], np.int64)
        return np.moveaxis(counts, -1, 0)

    @property
    def cooccurrence(self) -> Ints:
        """(K, K) int64 images that show both classes; the diagonal counts the images of each."""
        return _together(self.truth, self.truth)

    @property
    def confusion(self) -> Ints:
        """Confusion matrix of labels, (K + 1, K + 1) int64 with truths as rows.

        The diagonal counts hits. Cell (i, j) counts images in which class i was missed and class j was falsely
        predicted, so that an image with several of both is in several cells. The last column counts images with missed
        but no false labels, the last row those with false but no missed labels.
        """
        missed, false = self.truth & ~self.predictions, self.predictions & ~self.truth
        nothing_false, nothing_missed = (~marked.any(axis=1, keepdims=True) for marked in (false, missed))
        counts = _together(np.hstack([missed, nothing_missed]), np.hstack([false, nothing_false]))
        counts[np.arange(len(counts) - 1), np.arange(len(counts) - 1)] = (self.truth & self.predictions).sum(axis=0)
        counts[-1, -1] = 0
        return counts

    def pr(self, class_name: str | int) -> PrecisionRecallCurve:
        """Return the precision-recall curve of a class, by name or id.

        Raises:
            DataError: the scores were saved without probabilities.
            UnknownClassError: the class does not exist.
        """
        class_id = self._curve_class(class_name)
        return precision_recall_curve(self.truth[:, class_id], self.probabilities[:, class_id])  # type: ignore[index]  # it has them

    compare_with = compare_multilabel
    pooled_with = pooled_multilabel
    report_parts = report_parts
    gallery = gallery_items
    card_facts = text.card_facts
    expectation = text.expectation
    shown_scores = text.shown_scores
    __str__ = text.scores_text
    _repr_html_ = summary_html

    def __repr__(self) -> str:
        return f"<MultilabelScores: mAP {self.map:.3f}, F1 {self.micro_f1:.3f} on {count(self.n_images, 'image')}>"


def _together(rows: Array, columns: Array) -> Ints:
    """Return (R, C) int64 numbers of images in which both are true, for (N, R) and (N, C) bool."""
    return (rows.astype(np.float64).T @ columns.astype(np.float64)).astype(np.int64)
