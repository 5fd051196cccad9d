"""Scores of a few images, as `tests/fixtures/scores_1` holds them in JSON that an earlier version wrote."""

from __future__ import annotations

import numpy as np

from onlineml.data.manifest.box_arrays import Boxes
from onlineml.evaluation import Detections, classification_scores, detection_scores, multilabel_scores

__all__ = ["classified", "detected", "labelled"]

NAMES = ["cat", "dog", "owl"]
_CUTS = {"camera": ["old", None, "new", "new"]}


def classified():
    probabilities = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.6, 0.3, 0.1], [0.3, 0.6, 0.1]], np.float32)
    return classification_scores(probabilities, [0, 1, 1, 0], NAMES, n_bootstrap=5, slices=_CUTS, top_k=(1, 2),
                                 thumbnails={"2": b"abc"}, groups=["a", None, "b", "b"])  # fmt: skip


def detected():
    truth = Boxes(
        np.array([[0, 0, 10, 10], [20, 20, 40, 40], [5, 5, 9, 9.0]]), np.array([0, 1, 1]),
        np.array([False, False, True]), np.array([100.0, np.nan, 16.0]), np.array([0, 2, 2, 3, 3]),
        np.array([True, True, True, True]),
    )  # fmt: skip
    found = Detections(
        np.array([0, 0, 1]), np.array([[0, 0, 9, 10], [21, 20, 41, 40], [3, 3, 8, 8.0]]), np.array([0, 0, 1]),
        np.array([0.9, 0.4, 0.7]), 4,
    )  # fmt: skip
    return detection_scores(truth, found, NAMES, n_bootstrap=5, slices=_CUTS, uris=["a", "b", "c", "d"])


def labelled():
    probabilities = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.6], [0.6, 0.3, 0.1], [0.3, 0.6, 0.1]])
    truth = np.array([[1, 0, 0], [0, 1, 1], [0, 1, 0], [0, 0, 0]], bool)
    return multilabel_scores(probabilities, truth, NAMES, n_bootstrap=5, slices=_CUTS)
