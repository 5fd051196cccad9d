"""Choice of the thresholds: the minimum probabilities at which labels are predicted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onlineml.evaluation.classification import inputs
from onlineml.evaluation.metrics import best_f1_threshold
from onlineml.evaluation.multilabel.inputs import DEFAULT_THRESHOLD, checked_truth

if TYPE_CHECKING:
    from onlineml.evaluation.types import Array, Floats

__all__ = ["best_multilabel_thresholds"]


def best_multilabel_thresholds(probabilities: Array, truth: Array) -> Floats:
    """Choose the threshold of each class with the highest F1; use validation data, not the test set.

    Every threshold between two distinct probabilities is tried; of equal F1, the highest is used. It is the midpoint
    between the lowest probability that is kept and the next lower one (0 below the last), so that rounding has no
    effect. It is fitted to the validation images, so F1 on them is biased upwards.

    Args:
        probabilities: (N, K) in [0, 1].
        truth: (N, K) bool, or numbers that are 0 or 1.

    Returns:
        (K,) float64 in [0, 1], in the order of the columns, for `multilabel_scores`; 0.5 for a class without images.

    Raises:
        DataError: shapes do not match; rows contain nan or values outside [0, 1], or truths other than 0 and 1; by row.
    """
    given = np.asarray(probabilities)
    array = inputs.checked_probabilities(given, n_classes=given.shape[1] if given.ndim == 2 else 0)
    ids = inputs.checked_ids(None, n_images=len(array))
    marked = checked_truth(truth, ids, n_classes=array.shape[1])
    inputs.refuse_bad_rows(array, ids, sum_to_one=False)
    thresholds = np.full(array.shape[1], DEFAULT_THRESHOLD)
    for place, (scores, positive) in enumerate(zip(array.T, marked.T, strict=True)):
        if positive.any():
            order = np.argsort(-scores.astype(np.float64), kind="stable")
            falling = scores.astype(np.float64)[order]
            thresholds[place] = best_f1_threshold(falling, positive[order], int(positive.sum()))
    bounded: Floats = np.clip(thresholds, 0.0, 1.0)
    return bounded
