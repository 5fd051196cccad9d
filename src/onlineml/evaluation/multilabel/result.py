"""The result of a multi-label evaluation: a frozen value that prints, draws and saves itself."""
# ruff: noqa: PLC0415 - what prints, draws and saves is loaded when it is asked for; it knows this module

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from onlineml.errors import DataError, UnknownClassError
from onlineml.evaluation.base import BaseScores
from onlineml.evaluation.metrics import PrecisionRecallCurve, precision_recall_curve

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.figure import Figure

    from onlineml.evaluation.multilabel.tables import MultilabelSlice, PerLabel, WrongImage
    from onlineml.evaluation.types import Array, Floats, Interval, Ints

__all__ = ["MultilabelScores"]


@dataclass(frozen=True, eq=False, repr=False)
class MultilabelScores(BaseScores):
    """How good a classifier is that gives each image any number of labels, how sure that is, and where it fails.

    Undefined scores are nan. Made by `onlineml.evaluation.multilabel_scores`.

    Attributes:
        class_names: the model's classes, in the order of its outputs.
        model_ref: which model; "" if not given.
        split: which split of the manifest.
        manifest_hash: which dataset version.
        image_ids: (N) ids, in the order of the arrays.
        uris: (N) where the images are; "" where not given.
        truth: (N, K) bool, the image shows the class.
        predictions: (N, K) bool, the label is given: its probability reaches the threshold.
        probabilities: (N, K) float32, or float64 if given so; None if they were left out of the JSON.
        groups: (N) the group of each image, or None: each image is its own.
        slices: columns (N) by which `by_slice` cuts.
        n_groups: independent groups.
        n_bootstrap: resamples behind the intervals.
        seed: of the resamples.
        thresholds: the probability of each class from which its label is given.
        subset_accuracy: share of images whose labels are all right. hamming_loss: share of wrong decisions, one an
            image and class.
        map: mean over the classes that have images of the average precision; micro_ap: of all classes together.
        micro_precision: share of the given labels that are right; micro_recall: share of the labels there are that are
            given; micro_f1: their harmonic mean.
        macro_f1: mean F1 of the classes that are given or there, so of a class without images 0 as soon as it is given.
        samples_f1: mean F1 of the images that have a label, true or given.
        empty_recall: share of the images without any label for which none is given; empty_precision: share of the
            images without any given label that have none.
        log_loss: mean binary cross-entropy of a decision, in nats, probabilities clipped to 2.2e-16.
        intervals: 95 % percentile bootstrap interval (low, high) over groups, by score name. (nan, nan) where the
            resamples do not vary. Of very many images and classes, those of average precision come from fewer
            resamples, 100 at least. A share of exactly 0 or 1 has Clopper and Pearson's interval.
        per_class: scores of each class.
        by_slice: F1 and subset accuracy for each value of each column in `slices`.
        worst: the images with wrong labels, those with the largest cross-entropy first; the first `n_worst` of them.
        thumbnails: small PNG or JPEG bytes by image id, for reports.
    """

    headline = ("map", "micro_f1")
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

    def _class_table(self) -> PerLabel:
        return self.per_class

    def _confusion(self) -> Ints:
        return self.confusion

    @property
    def n_labels(self) -> int:
        """Number of labels of all images."""
        return int(self.truth.sum())

    @property
    def n_given(self) -> int:
        """Number of labels that the model gives."""
        return int(self.predictions.sum())

    @property
    def n_wrong(self) -> int:
        """Number of images with a wrong label, also those beyond the listed `worst`."""
        return int((self.truth != self.predictions).any(axis=1).sum())

    @property
    def n_empty(self) -> int:
        """Number of images without any label."""
        return int((~self.truth.any(axis=1)).sum())

    @property
    def n_given_empty(self) -> int:
        """Number of images to which the model gives no label."""
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
        """What is given in the place of what: (K + 1, K + 1) int64, truths are the rows.

        The diagonal counts hits. Cell (i, j) counts images in which class i was missed and class j was given falsely,
        so that an image with several of both is in several cells. In the last column an image has missed labels and no
        false ones, in the last row false ones and no missed ones.
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
        """Precision-recall curve of a class, by name or id.

        Raises:
            DataError: the scores were saved without probabilities.
            UnknownClassError: there is no such class.
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

    def __repr__(self) -> str:
        return f"<MultilabelScores: mAP {self.map:.3f}, F1 {self.micro_f1:.3f} on {self.n_images} images>"

    def __str__(self) -> str:
        from onlineml.evaluation.multilabel.text import scores_text

        return scores_text(self)

    def _repr_html_(self) -> str:
        from onlineml.evaluation.multilabel.html import summary_html

        return summary_html(self)

    def to_html(self) -> str:
        """The report as one self-contained page, which loads nothing and runs no script."""
        from onlineml.evaluation.multilabel.report import report_html

        return report_html(self)

    def to_dict(self) -> dict[str, Any]:
        """The numbers as plain JSON values; see `onlineml.evaluation.multilabel.serial.to_dict`."""
        from onlineml.evaluation.multilabel import serial

        return serial.to_dict(self)

    def to_json(self, *, probabilities: bool | None = None) -> str:
        """As JSON text; see `onlineml.evaluation.multilabel.serial.to_json`."""
        from onlineml.evaluation.multilabel import serial

        return serial.to_json(self, probabilities=probabilities)

    @classmethod
    def from_json(cls, text: str | bytes) -> MultilabelScores:
        """From what `to_json` wrote."""
        from onlineml.evaluation.multilabel import serial

        return serial.from_json(text)

    def figure(self, name: str) -> Figure:
        """A figure by one of the `figure_names`; "worst" shows the images that surprise the model most.

        Raises:
            ConfigError: there is no such figure.
        """
        from onlineml.evaluation.multilabel.plots import figure

        return figure(self, name)


def _together(rows: Array, columns: Array) -> Ints:
    """(R, C) int64 images in which both are; of (N, R) and (N, C) bool."""
    return (rows.astype(np.float64).T @ columns.astype(np.float64)).astype(np.int64)
