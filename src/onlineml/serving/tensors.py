"""Rows of predictions as arrays by name: the outputs of the KServe protocol, for each task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Arrays = dict[str, NDArray[Any]]

__all__ = ["class_tensors", "label_tensors", "object_tensors"]


def class_tensors(rows: Sequence[Any], class_names: Sequence[str]) -> Arrays:
    """Return the answers of a classifier.

    Args:
        rows: n `onlineml.inference.predictions.Prediction` with all classes.
        class_names: C, in the order of the columns.

    Returns:
        ``probabilities`` (n, C) float32, ``label`` (n,) str and ``error`` (n,) str; zeros and ``""`` for none.
    """
    label = np.array([row.label or "" for row in rows], dtype=object)
    return {"probabilities": _probabilities(rows, class_names), "label": label, "error": _errors(rows)}


def label_tensors(rows: Sequence[Any], class_names: Sequence[str]) -> Arrays:
    """Return the answers of a multi-label classifier.

    Args:
        rows: n `onlineml.inference.label_rows.ImageLabels` with all classes.
        class_names: C, in the order of the columns.

    Returns:
        ``probabilities`` (n, C) float32, ``predicted`` (n, C) bool, true from a class's threshold on, and ``error``
        (n,) str.
    """
    predicted = np.array([[name in row.labels for name in class_names] for row in rows], dtype=bool)
    predicted = predicted.reshape(len(rows), len(class_names))
    return {"probabilities": _probabilities(rows, class_names), "predicted": predicted, "error": _errors(rows)}


def object_tensors(rows: Sequence[Any], class_names: Sequence[str]) -> Arrays:
    """Return the answers of a detector, as an export has them but in pixels of the upright photos.

    Args:
        rows: n `onlineml.inference.detections.ImageDetections`.
        class_names: not used: `label_ids` has their indices.

    Returns:
        ``boxes`` (n, m, 4) float32 left, top, right and bottom, ``labels`` (n, m) int64, ``scores`` (n, m) float32,
        ``count`` (n,) int64 and ``error`` (n,) str; m is the largest count. Beyond an image's count, labels are -1,
        scores and boxes 0.
    """
    del class_names
    count = np.array([len(row) for row in rows], dtype=np.int64)
    shape = (len(rows), int(count.max(initial=0)))
    boxes, scores = np.zeros((*shape, 4), np.float32), np.zeros(shape, np.float32)
    labels = np.full(shape, -1, np.int64)
    for i, row in enumerate(rows):
        boxes[i, : len(row)], scores[i, : len(row)], labels[i, : len(row)] = row.boxes_xyxy, row.scores, row.label_ids
    return {"boxes": boxes, "labels": labels, "scores": scores, "count": count, "error": _errors(rows)}


def _probabilities(rows: Sequence[Any], class_names: Sequence[str]) -> NDArray[np.float32]:
    column = {name: i for i, name in enumerate(class_names)}
    found = np.zeros((len(rows), len(class_names)), np.float32)
    for i, row in enumerate(rows):
        for name, score in row.top:
            found[i, column[name]] = score
    return found


def _errors(rows: Sequence[Any]) -> NDArray[Any]:
    return np.array([row.error or "" for row in rows], dtype=object)
