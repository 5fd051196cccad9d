"""Labels that are probably wrong: confident learning.

Northcutt, Jiang and Chuang, Confident Learning: Estimating Uncertainty in Dataset Labels, JAIR 2021. A model is
confident of a class if its probability reaches the mean probability of that class over the images with that label. A
label is suspect if the model is confident of another class; suspects are ranked by the difference of the two
probabilities.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from onlineml.arguments.counted import count
from onlineml.errors import DataError
from onlineml.evaluation.classification.inputs import refuse_bad_rows
from onlineml.improving.review.candidates import Candidates
from onlineml.improving.review.result import Why

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onlineml.evaluation.types import Array, Floats, Ints

__all__ = ["LabelErrors", "find_label_errors", "label_error_candidates", "label_margins"]

_DOUBT = 0.25  # margin from which a label is not doubtful
_TOLERANCE = 1e-6  # of a threshold: the mean of equal numbers may be rounded up


@dataclass(frozen=True, eq=False)
class LabelErrors:
    """Images whose label is suspect, by rising margin.

    Attributes:
        rows: (k,) int64 indices of the images.
        margins: (k,) float64, probability of the label minus that of the most likely other class: in [-1, 0), rising.
        suggested: (k,) int64 the more likely class.
        confidence: (k,) float64 its probability.
        doubtful: (m,) int64 indices of further images, whose label leads by less than 0.25, by rising margin. Of 1,438
            photos with 5 % of the labels flipped, half of them were wrong when no suspects were left.
        doubtful_margins: (m,) float64, as `margins`, rising, below 0.25.
        doubtful_suggested: (m,) int64 the most likely other class.
        doubtful_confidence: (m,) float64 its probability.
        thresholds: (C,) probability from which the model is confident of a class; nan for a class without labels.
        joint: (C, C) int64, number of images by label (rows) and class of which the model is confident (columns).
    """

    rows: Ints
    margins: Floats
    suggested: Ints
    confidence: Floats
    doubtful: Ints
    doubtful_margins: Floats
    doubtful_suggested: Ints
    doubtful_confidence: Floats
    thresholds: Floats
    joint: Ints

    def __len__(self) -> int:
        return len(self.rows)


def find_label_errors(labels: Array, probabilities: Array) -> LabelErrors:
    """Find labels that are probably wrong.

    Args:
        labels: (N,) class ids in [0, C); -1 for an image without label, which is ignored.
        probabilities: (N, C) in [0, 1], rows summing to 1, each row of a model that was *not* trained on that image
            (out of fold): a network memorizes its training labels, wrong ones too.

    Returns:
        The suspect labels; empty if C is 1.

    Raises:
        DataError: shapes do not match, labels are outside the classes, or rows are not probabilities.
    """
    given = np.asarray(labels)
    table = np.asarray(probabilities, np.float64)
    _refuse(given, table)
    rows = np.flatnonzero(given >= 0)
    own, table = given[rows].astype(np.int64), table[rows]
    n_classes = table.shape[1]
    thresholds = _thresholds(own, table)
    reached = table >= thresholds - _TOLERANCE  # nan is reached by nothing
    likeliest = np.where(reached, table, -1.0).argmax(axis=1) if len(rows) else own
    confident = reached.any(axis=1)
    cells = np.bincount(own[confident] * n_classes + likeliest[confident], minlength=n_classes**2)
    margins = _margins(own, table)
    suspect = np.flatnonzero(confident & (likeliest != own) & (margins < 0))
    order = suspect[np.argsort(margins[suspect], kind="stable")]
    doubtful = np.setdiff1d(np.flatnonzero(margins < _DOUBT), suspect)
    doubtful = doubtful[np.argsort(margins[doubtful], kind="stable")]
    others = _without_own(own[doubtful], table[doubtful])
    return LabelErrors(
        rows=rows[order],
        margins=margins[order],
        suggested=likeliest[order].astype(np.int64),
        confidence=table[order, likeliest[order]],
        doubtful=rows[doubtful],
        doubtful_margins=margins[doubtful],
        doubtful_suggested=others.argmax(axis=1).astype(np.int64) if len(doubtful) else doubtful,
        doubtful_confidence=others.max(axis=1, initial=0.0),
        thresholds=thresholds,
        joint=cells.reshape(n_classes, n_classes).astype(np.int64),
    )


def label_margins(labels: Array, probabilities: Array) -> Floats:
    """Return the margin of each label, suspect or not.

    Args:
        labels: as in `find_label_errors`.
        probabilities: as in `find_label_errors`.

    Returns:
        (N,) float64, probability of the label minus that of the most likely other class, in [-1, 1]; nan without label.

    Raises:
        DataError: as in `find_label_errors`.
    """
    given = np.asarray(labels)
    table = np.asarray(probabilities, np.float64)
    _refuse(given, table)
    margins = np.full(len(given), np.nan)
    rows = np.flatnonzero(given >= 0)
    margins[rows] = _margins(given[rows].astype(np.int64), table[rows])
    return margins


def _margins(labels: Ints, table: Floats) -> Floats:
    held = table[np.arange(len(labels)), labels]
    margins: Floats = held - _without_own(labels, table).max(axis=1, initial=0.0)
    return margins


def _without_own(labels: Ints, table: Floats) -> Floats:
    """The probabilities of the other classes."""
    others = table.copy()
    others[np.arange(len(labels)), labels] = 0.0
    return others


def _refuse(labels: Array, table: Floats) -> None:
    if table.ndim != 2 or labels.shape != (len(table),):
        msg = (
            f"labels has shape {labels.shape} and probabilities {table.shape}; expected (N,) and (N, C): one row per "
            "image, one column per class"
        )
        raise DataError(msg)
    if len(labels) and labels.dtype.kind not in "iu":
        msg = f"labels has dtype {labels.dtype}; expected class ids from 0 to {table.shape[1] - 1}, -1 for none"
        raise DataError(msg)
    bad = np.flatnonzero((labels < -1) | (labels >= table.shape[1]))
    if len(bad):
        msg = (
            f"{count(len(bad), 'label is')} not among the {table.shape[1]} classes, such as {labels[bad[0]]} in row "
            f"{bad[0]}; expected class ids in the order of the columns, and -1 for images without label"
        )
        raise DataError(msg)
    refuse_bad_rows(table, [str(i) for i in range(len(table))])


def _thresholds(labels: Ints, table: Floats) -> Floats:
    """(C,) mean probability of each class over the images with that label; nan without any."""
    n_classes = table.shape[1]
    sums = np.bincount(labels, weights=table[np.arange(len(labels)), labels], minlength=n_classes)
    counts = np.bincount(labels, minlength=n_classes)
    means: Floats = np.divide(sums, counts, out=np.full(n_classes, np.nan), where=counts > 0)
    return means


def label_error_candidates(errors: LabelErrors, class_names: Sequence[str], *, share: float = 1.0) -> Candidates:
    """Suspect labels by margin, with the more likely class; then doubtful ones.

    Args:
        errors: of `find_label_errors`, on all images of the pool.
        class_names: in the order of the class ids.
        share: as in `Candidates`.
    """
    lists = (
        ("label error", errors.rows, errors.margins, errors.suggested, errors.confidence),
        ("doubtful label", errors.doubtful, errors.doubtful_margins, errors.doubtful_suggested,
         errors.doubtful_confidence),
    )  # fmt: skip
    whys = [
        Why(reason, int(row), -float(margin), suggestion=class_names[k], confidence=float(sure))
        for reason, *columns in lists
        for row, margin, k, sure in zip(*columns, strict=True)
    ]
    return Candidates("label error", tuple(whys), share)
