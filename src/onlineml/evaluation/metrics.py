"""Scores of a single-label classifier as pure functions of arrays.

Definitions are scikit-learn's, except for undefined values: a ratio with a denominator of 0 is nan here, not 0 or 1.
Sizes in the shapes: N images, C classes, B resamples; ``...`` is any number of leading dimensions, so that one function
serves the data (no leading dimension) and its resamples (B).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike

    from onlineml.evaluation.types import Array, Floats, Ints

__all__ = [
    "N_CALIBRATION_BINS",
    "PrecisionRecallCurve",
    "RocCurve",
    "best_f1_threshold",
    "brier_per_image",
    "calibration_bins",
    "confusion_matrix",
    "log_loss_per_image",
    "mean_defined",
    "precision_recall_curve",
    "ranking_scores",
    "ratio",
    "roc_curve",
    "scores_from_counts",
    "truth_ranks",
]

N_CALIBRATION_BINS = 15  # Guo et al., On Calibration of Modern Neural Networks, ICML 2017
_CHUNK_VALUES = 4_000_000  # 32 MB of float64 at a time


@dataclass(frozen=True, eq=False)
class RocCurve:
    """Receiver operating characteristic of one class against the rest, starting from the strictest threshold.

    Attributes:
        false_positive_rate: (T,) float64; nan if every image is of the class.
        true_positive_rate: (T,) float64; nan if no image is of the class.
        thresholds: (T,) float64, descending; the first is inf (nothing is predicted positive).
    """

    false_positive_rate: Floats
    true_positive_rate: Floats
    thresholds: Floats


@dataclass(frozen=True, eq=False)
class PrecisionRecallCurve:
    """Precision-recall curve of one class against the rest, starting from the lowest threshold.

    Attributes:
        precision: (T + 1,) float64; the last is 1, by convention.
        recall: (T + 1,) float64, descending to 0; nan if no image is of the class.
        thresholds: (T,) float64, ascending.
    """

    precision: Floats
    recall: Floats
    thresholds: Floats


def ratio(above: ArrayLike, below: ArrayLike) -> Floats:
    """Return ``above / below`` in float64, nan where ``below`` is 0; the two shapes broadcast."""
    above, below = np.broadcast_arrays(np.asarray(above, np.float64), np.asarray(below, np.float64))
    quotient: Floats = np.divide(above, below, out=np.full(above.shape, np.nan), where=below != 0)
    return quotient


def mean_defined(values: Floats) -> Floats:
    """Return the mean over the first axis, ignoring nan; nan if all are nan."""
    defined = ~np.isnan(values)
    return ratio(np.where(defined, values, 0.0).sum(axis=0), defined.sum(axis=0))


def confusion_matrix(labels: Ints, predictions: Ints, *, n_classes: int) -> Ints:
    """Count pairs of (truth, prediction), both (N,) ints in [0, C): (C, C) int64, truths are the rows."""
    cells = np.bincount(labels * n_classes + predictions, minlength=n_classes * n_classes)
    return cells.reshape(n_classes, n_classes).astype(np.int64, copy=False)


def scores_from_counts(hits: Array, predicted: Array, support: Array) -> dict[str, Floats]:
    """Return every score that can be computed from three counts per class.

    Args:
        hits: (..., C) images of the class that were predicted as such.
        predicted: (..., C) images predicted as the class.
        support: (..., C) images of the class.

    Returns:
        ``precision``, ``recall``, ``f1``: (..., C), nan if undefined (precision of a class never predicted, recall of a
        class without images, F1 of a class with neither).
        ``accuracy``, ``balanced_accuracy`` and ``{micro,macro,weighted}_{precision,recall,f1}``: (...), nan without
        images. Macro is the plain mean over the classes that have images; such a class that is never predicted counts
        with precision 0, so that a model gains nothing by ignoring a class. Weighted is the mean by number of images.
        Micro pools all classes, which makes all three equal to the accuracy.
    """
    precision, recall = ratio(hits, predicted), ratio(hits, support)
    f1 = ratio(2 * np.asarray(hits), np.asarray(predicted) + np.asarray(support))
    present = np.asarray(support) > 0
    accuracy = ratio(np.sum(hits, axis=-1), np.sum(support, axis=-1))
    scores = {"precision": precision, "recall": recall, "f1": f1, "accuracy": accuracy}
    for name, values in (("precision", precision), ("recall", recall), ("f1", f1)):
        counted = np.where(present & ~np.isnan(values), values, 0.0)
        scores[f"micro_{name}"] = accuracy
        scores[f"macro_{name}"] = ratio(counted.sum(axis=-1), present.sum(axis=-1))
        scores[f"weighted_{name}"] = ratio((counted * support).sum(axis=-1), np.sum(support, axis=-1))
    scores["balanced_accuracy"] = scores["macro_recall"]
    return scores


def _row_chunks(probabilities: Floats) -> Iterator[slice]:
    n_images, n_classes = probabilities.shape
    step = max(1, _CHUNK_VALUES // max(1, n_classes))
    for start in range(0, n_images, step):
        yield slice(start, min(n_images, start + step))


def _of_truth(probabilities: Floats, labels: Ints) -> Floats:
    return probabilities[np.arange(len(labels)), labels].astype(np.float64)


def truth_ranks(probabilities: Floats, labels: Ints) -> Ints:
    """Return the number of classes ranked before the true one: (N,) int64, 0 if the prediction is correct.

    Of equal probabilities the lower class id comes first, as in ``argmax``; so ``rank < k`` is top-k, and top-1 is
    exactly the accuracy. (scikit-learn's ``top_k_accuracy_score`` puts the higher id first.)
    """
    ranks = np.zeros(len(labels), np.int64)
    ids = np.arange(probabilities.shape[1])
    for rows in _row_chunks(probabilities):
        chunk, truth = probabilities[rows], labels[rows, None]
        own = np.take_along_axis(chunk, truth, axis=1)
        ranks[rows] = ((chunk > own) | ((chunk == own) & (ids < truth))).sum(axis=1)
    return ranks


def log_loss_per_image(probabilities: Floats, labels: Ints) -> Floats:
    """Return the negative natural logarithm of the true class's probability: (N,) float64.

    Probabilities are clipped to float64's machine epsilon (2.2e-16), as in scikit-learn for float64.
    """
    tiny = np.finfo(np.float64).eps
    return -np.log(np.clip(_of_truth(probabilities, labels), tiny, 1 - tiny))


def brier_per_image(probabilities: Floats, labels: Ints) -> Floats:
    """Return the squared distance of the probabilities from the one-hot truth: (N,) float64 in [0, 2] (Brier 1950).

    Twice scikit-learn's default for two classes, equal to it with ``scale_by_half=False``.
    """
    squares = np.zeros(len(labels))
    for rows in _row_chunks(probabilities):
        away = probabilities[rows].astype(np.float64)
        away[np.arange(len(away)), labels[rows]] -= 1
        squares[rows] = np.einsum("nc,nc->n", away, away)
    return squares


def calibration_bins(confidences: Floats) -> Ints:
    """Return the bin of each confidence: (N,) int64 in [0, 15); bin i is (i / 15, (i + 1) / 15], the first has 0."""
    edges = np.linspace(0, 1, N_CALIBRATION_BINS + 1)
    return np.searchsorted(edges[1:-1], confidences, side="left").astype(np.int64, copy=False)


def ranking_scores(probabilities: Floats, labels: Ints) -> tuple[Floats, Floats]:
    """Return average precision and area under the ROC curve of each class against the rest.

    Both are computed from the positions of a class's own images in the sorted scores, so that each class costs one
    sort.

    Args:
        probabilities: (N, C) without nan.
        labels: (N,) int64 in [0, C).

    Returns:
        Average precision (C,), the mean of the precision at each image of the class, nan without any; and AUROC (C,),
        the fraction of (image of the class, other image) pairs in the correct order, ties half, nan without a pair.
    """
    n_images, n_classes = probabilities.shape
    precision, auroc = np.full(n_classes, np.nan), np.full(n_classes, np.nan)
    step = max(1, _CHUNK_VALUES // max(1, n_images))
    for start in range(0, n_classes, step):
        columns = np.array(probabilities[:, start : start + step].T, order="C")  # a copy, which is sorted in place
        own = [columns[i, labels == start + i] for i in range(len(columns))]
        columns.sort(axis=1)
        for i, positives in enumerate(own):
            if len(positives):
                precision[start + i], auroc[start + i] = _rank_class(columns[i], np.sort(positives))
    return precision, auroc


def _rank_class(rising: Floats, positives: Floats) -> tuple[float, float]:
    below, own_below = (np.searchsorted(scores, positives, side="left") for scores in (rising, positives))
    not_above, own_not_above = (np.searchsorted(scores, positives, side="right") for scores in (rising, positives))
    average = float(np.mean((len(positives) - own_below) / (len(rising) - below)))
    others_below, others_equal = below - own_below, (not_above - below) - (own_not_above - own_below)
    pairs = len(positives) * (len(rising) - len(positives))
    return average, float(np.sum(others_below + 0.5 * others_equal) / pairs) if pairs else float("nan")


def _cumulative(positive: Array, scores: Floats) -> tuple[Ints, Ints, Floats]:
    """Count positives and negatives at or above each distinct score, in descending order."""
    order = np.argsort(-scores.astype(np.float64), kind="stable")
    falling = scores.astype(np.float64)[order]
    last = np.flatnonzero(np.append(np.diff(falling) != 0, True)) if len(falling) else np.zeros(0, np.int64)
    hits = np.cumsum(positive[order], dtype=np.int64)[last]
    return hits, last + 1 - hits, falling[last]


def roc_curve(positive: Array, scores: Floats) -> RocCurve:
    """Return the ROC curve of ``scores`` (N,) for ``positive`` (N,) bool, at every distinct score."""
    hits, false, thresholds = _cumulative(positive, scores)
    hits, false = np.append(0, hits), np.append(0, false)
    return RocCurve(ratio(false, false[-1]), ratio(hits, hits[-1]), np.append(np.inf, thresholds))


def precision_recall_curve(positive: Array, scores: Floats, *, n_positive: int | None = None) -> PrecisionRecallCurve:
    """Return the precision-recall curve of ``scores`` (N,) for ``positive`` (N,) bool, at every distinct score.

    For a detector, `n_positive` is the number of objects, some of which have no score: recall then ends below 1.
    """
    hits, false, thresholds = _cumulative(positive, scores)
    if n_positive is None:
        n_positive = int(hits[-1]) if len(hits) else 0
    precision = np.append(ratio(hits, hits + false)[::-1], 1.0)
    recall = ratio(np.append(hits[::-1], 0), n_positive)
    return PrecisionRecallCurve(precision, recall, thresholds[::-1].copy())


def best_f1_threshold(falling: Floats, hit: Array, n_positive: int) -> float:
    """Return the threshold of a ranking with the highest F1; of equal ones, the highest.

    Args:
        falling: (n,) scores, descending.
        hit: (n,) bool, correct ones.
        n_positive: number of positives, including those without a score.

    Returns:
        The midpoint between the lowest score that is kept and the next lower one (0 below the last), so that rounding
        has no effect; nan without a hit.
    """
    if not hit.any():
        return float("nan")
    f1 = 2 * np.cumsum(hit) / (np.arange(1, len(hit) + 1) + n_positive)
    f1[:-1][falling[1:] == falling[:-1]] = -1.0  # tied scores are not separated
    last = int(f1.argmax())
    below = falling[last + 1] if last + 1 < len(falling) else min(0.0, float(falling[last]))
    middle = (float(falling[last]) + float(below)) / 2
    return middle if below < middle else float(falling[last])
