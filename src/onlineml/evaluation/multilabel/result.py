"""Result of a multi-label evaluation: an immutable object that can be printed, drawn and saved."""
# ruff: noqa: PLC0415 - what prints, draws and saves is loaded when it is asked for; it knows this module

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from onlineml.errors import DataError, UnknownClassError
from onlineml.evaluation.base import BaseScores
from onlineml.evaluation.metrics import PrecisionRecallCurve, precision_recall_curve
from onlineml.evaluation.multilabel import text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.figure import Figure

    from onlineml.evaluation.comparison.result import Comparison
    from onlineml.evaluation.multilabel.tables import MultilabelSlice, PerLabel, WrongImage
    from onlineml.evaluation.render.card import CardFacts
    from onlineml.evaluation.render.gallery import GalleryItems
    from onlineml.evaluation.types import Array, Floats, Interval, Ints

__all__ = ["MultilabelScores"]


@dataclass(frozen=True, eq=False, repr=False)
class MultilabelScores(BaseScores):
    """Scores of a classifier that assigns any number of labels to an image, with confidence intervals and mistakes.

    Undefined scores are nan. Created by `onlineml.evaluation.multilabel_scores`.

    Attributes:
        class_names: the model's classes, in the order of its outputs.
        model_ref: the model; "" if unknown.
        split: the split of the manifest.
        manifest_hash: the dataset version.
        image_ids: (N) ids, in the order of the arrays.
        uris: (N) locations of the images; "" if unknown.
        truth: (N, K) bool, the image shows the class.
        predictions: (N, K) bool, the label is predicted: its probability reaches the threshold.
        probabilities: (N, K) float32, or float64 if passed so; None if they were omitted from the JSON.
        groups: (N) the group of each image, or None: each image is its own.
        slices: columns (N) by which `by_slice` is computed.
        n_groups: number of independent groups.
        n_bootstrap: number of resamples for the intervals.
        seed: seed of the resamples.
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
        thumbnails: small PNG or JPEG bytes by image id, for reports.
    """

    headline = ("map", "micro_f1")
    words = text.WORDS
    own_figures = ("ap",)

    class_names: tuple[str, ...]
    model_ref: str
    split: str
    manifest_hash: str
    image_ids: tuple[str, ...]
    uris: tuple[str, ...]
    truth: Array
    predictions: Array
    probabilities: Floats | None
    groups: tuple[str | None, ...] | None
    slices: Mapping[str, tuple[Any, ...]]
    n_groups: int
    n_bootstrap: int
    seed: int
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
    intervals: Mapping[str, Interval]
    per_class: PerLabel
    by_slice: tuple[MultilabelSlice, ...]
    worst: tuple[WrongImage, ...]
    thumbnails: Mapping[str, bytes] = field(default_factory=dict)

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

    @property
    def precision(self) -> Floats:
        """Precision of each class (K,)."""
        return self.per_class.precision

    @property
    def recall(self) -> Floats:
        """Recall of each class (K,)."""
        return self.per_class.recall

    @property
    def f1(self) -> Floats:
        """F1 of each class (K,)."""
        return self.per_class.f1

    @property
    def ap(self) -> Floats:
        """Average precision of each class (K,)."""
        return self.per_class.ap

    def pr(self, class_name: str | int) -> PrecisionRecallCurve:
        """Return the precision-recall curve of a class, by name or id.

        Raises:
            DataError: the scores were saved without probabilities.
            UnknownClassError: the class does not exist.
        """
        if self.probabilities is None:
            msg = "these scores were saved without probabilities, which curves need; evaluate again, or save them with "
            raise DataError(msg + "to_json(probabilities=True)")
        if isinstance(class_name, str) and class_name not in self.class_names:
            msg = (
                f"{class_name!r} is not one of the {len(self.class_names)} classes: {', '.join(self.class_names[:20])}"
            )
            raise UnknownClassError(msg)
        class_id = self.class_names.index(class_name) if isinstance(class_name, str) else class_name
        return precision_recall_curve(self.truth[:, class_id], self.probabilities[:, class_id])

    def compare_with(self, other: MultilabelScores, *, n_resamples: int, seed: int) -> Comparison:
        """Compare with a second model's scores of the same images; call `onlineml.compare`, which checks."""
        from onlineml.evaluation.multilabel.compare import compare_multilabel

        return compare_multilabel(self, other, n_resamples=n_resamples, seed=seed)

    def report_sections(self, title: str) -> str:
        """Return the body of the report's page as HTML."""
        from onlineml.evaluation.multilabel.report import multilabel_sections

        return multilabel_sections(self, title)

    def gallery(self) -> GalleryItems:
        """Return the images with what was said of them, those with mistakes first."""
        from onlineml.evaluation.multilabel.items import gallery_items

        return gallery_items(self)

    def card_facts(self) -> CardFacts:
        """Return what a model card says of these scores."""
        return text.card_facts(self)

    def expectation(self) -> str:
        """Return in words what to expect of the next images."""
        return text.expectation(self)

    def explanation(self, name: str) -> str:
        """Return one clause on what a score means, by its name."""
        return text.explanation(name)

    def shown_scores(self) -> list[str]:
        """Return the names of the scores that are worth a row in tables."""
        return text.shown_scores(self)

    def __repr__(self) -> str:
        return f"<MultilabelScores: mAP {self.map:.3f}, F1 {self.micro_f1:.3f} on {self.n_images} images>"

    def __str__(self) -> str:
        return text.scores_text(self)

    def _repr_html_(self) -> str:
        from onlineml.evaluation.multilabel.html import summary_html

        return summary_html(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as plain JSON values, see `onlineml.evaluation.multilabel.serial.to_dict`."""
        from onlineml.evaluation.multilabel import serial

        return serial.to_dict(self)

    def to_json(self, *, probabilities: bool | None = None) -> str:
        """Encode as JSON text, see `onlineml.evaluation.multilabel.serial.to_json`."""
        from onlineml.evaluation.multilabel import serial

        return serial.to_json(self, probabilities=probabilities)

    @classmethod
    def from_json(cls, text: str | bytes) -> MultilabelScores:
        """Read the result of `to_json`."""
        from onlineml.evaluation.multilabel import serial

        return serial.from_json(text)

    def figure(self, name: str) -> Figure:
        """Draw one of the `figure_names`; "worst" shows the images of highest cross-entropy.

        Raises:
            ConfigError: the figure does not exist.
        """
        from onlineml.evaluation.multilabel.plots import figure

        return figure(self, name)


def _together(rows: Array, columns: Array) -> Ints:
    """Return (R, C) int64 numbers of images in which both are true, for (N, R) and (N, C) bool."""
    return (rows.astype(np.float64).T @ columns.astype(np.float64)).astype(np.int64)
