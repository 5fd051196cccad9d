"""Measures of a model's uncertainty about an image, and of the disagreement of two models on it.

No single measure reliably beats the entropy (Gashi, Deng and Elezi, Deep Active Learning: A Reality Check, arXiv
2403.14800, 2024), so the measures are simple, and the queue adds rare classes and a random share.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onlineml.arguments.counted import count
from onlineml.data.manifest.box_arrays import Boxes
from onlineml.errors import DataError
from onlineml.evaluation.detection.matching import match, overlaps, scene_of

if TYPE_CHECKING:
    from onlineml.evaluation.detection.detections import Detections
    from onlineml.evaluation.types import Array, Floats, Ints

__all__ = ["box_disagreement", "box_uncertainty", "entropy", "jensen_shannon", "rarity"]


def _table(probabilities: Array, name: str = "probabilities") -> Floats:
    table = np.asarray(probabilities, np.float64)
    if table.ndim != 2 or not np.isfinite(table).all() or (table < 0).any():
        msg = f"{name} has shape {table.shape}; expected (N, C) finite numbers that are not negative: the softmax"
        raise DataError(msg)
    return table


def _plogp(table: Floats) -> Floats:
    """``p log p``, 0 at 0."""
    logs = np.log(table, out=np.zeros_like(table), where=table > 0)
    logs *= table
    return logs


def entropy(probabilities: Array) -> Floats:
    """Entropy of each row of (N, C) probabilities, relative to a uniform row: (N,) in [0, 1]; 0 if C is 1.

    Raises:
        DataError: not (N, C) probabilities.
    """
    table = _table(probabilities)
    most = np.log(max(table.shape[1], 2))
    share: Floats = np.clip(-_plogp(table).sum(axis=1) / most, 0.0, 1.0)
    return share


def jensen_shannon(probabilities: Array, others: Array) -> Floats:
    """Jensen-Shannon divergence of two models' rows, base 2 (Lin 1991): (N,) in [0, 1]; 0 where they agree.

    Args:
        probabilities: (N, C) of the first model.
        others: (N, C) of the second, with the same columns.

    Raises:
        DataError: shapes differ, or rows are not probabilities.
    """
    p, q = _table(probabilities), _table(others, "others")
    if p.shape != q.shape:
        msg = f"the two models gave {p.shape} and {q.shape} probabilities; expected the same images and classes"
        raise DataError(msg)
    mean = _plogp((p + q) / 2).sum(axis=1)
    apart = ((_plogp(p) + _plogp(q)).sum(axis=1) / 2 - mean) / np.log(2)
    divergence: Floats = np.clip(apart, 0.0, 1.0)
    return divergence


def rarity(label_ids: Array, *, n_classes: int) -> Floats:
    """Return the rarity of the class of each image among all of them, (N,) in [0, 1).

    Args:
        label_ids: (N,) class ids, labelled or predicted; -1 for none, whose rarity is 0 (not rare).
        n_classes: C.

    Returns:
        One minus the number of images of the class divided by that of the most common class.
    """
    labels = np.asarray(label_ids, np.int64)
    known = labels >= 0
    counts = np.bincount(labels[known], minlength=n_classes)
    rare = np.zeros(len(labels))
    rare[known] = 1 - counts[labels[known]] / counts.max(initial=1)
    return rare


def box_uncertainty(found: Detections, *, min_score: float = 0.1) -> Floats:
    """Return the expected number of wrong boxes of each image by their scores, (N,) float64.

    A box of score s is wrongly accepted with probability 1 - s and wrongly rejected with probability s; the result is
    the sum of min(s, 1 - s) over all boxes.

    Args:
        found: detections; scores are probabilities.
        min_score: boxes below it are ignored: a detector returns a hundred of them for every image.
    """
    counted = found.scores >= min_score
    doubt = np.minimum(found.scores, 1 - found.scores)[counted]
    sums = np.bincount(found.image_index[counted], weights=np.maximum(doubt, 0.0), minlength=found.n_images)
    return sums.astype(np.float64)


def box_disagreement(found: Detections, others: Detections, *, n_classes: int, min_iou: float = 0.5) -> Floats:
    """Share of the boxes of two detectors without a match in the other: (N,) in [0, 1]; 0 if both have none.

    Args:
        found: of the first model, from its thresholds on.
        others: of the second, in the same images, from its thresholds on.
        n_classes: C; two boxes of different classes are not the same.
        min_iou: overlap from which two boxes are the same.

    Raises:
        DataError: another number of images.
    """
    if found.n_images != others.n_images:
        msg = f"the two models predicted {found.n_images} and {count(others.n_images, 'image')}; expected the same ones"
        raise DataError(msg)
    order = np.argsort(others.image_index, kind="stable")
    second = Boxes(
        boxes_xyxy=others.boxes_xyxy[order],
        label_ids=others.label_ids[order],
        crowd=np.zeros(len(order), bool),
        area=np.full(len(order), np.nan),
        offsets=_offsets(others.image_index, others.n_images),
        annotated=np.ones(others.n_images, bool),
    )
    scene = scene_of(second, found, n_classes=n_classes)
    pairs = overlaps(scene, min_iou=min_iou)
    taken = match(scene, pairs, ignored=scene.crowd, thresholds=np.array([min_iou]))[:, 0]
    shared = np.bincount(scene.found_image[taken >= 0], minlength=found.n_images)
    own, other = (np.bincount(boxes.image_index, minlength=boxes.n_images) for boxes in (found, others))
    total = own + other
    share: Floats = np.divide(total - 2 * shared, total, out=np.zeros(found.n_images), where=total > 0)
    return share


def _offsets(images: Ints, n_images: int) -> Ints:
    return np.concatenate([[0], np.cumsum(np.bincount(images, minlength=n_images))]).astype(np.int64)
