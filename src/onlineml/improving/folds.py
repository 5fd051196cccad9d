"""Predictions for labelled images by heads that did not train on them, from features that were computed once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from onlineml.evaluation.intervals import group_codes
from onlineml.tasks.probe import PENALTIES, fit_linear_head

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["out_of_fold", "standardised"]

_FOLDS = 5
_FIT_IMAGES = 20_000  # more no longer change a linear head
_LEAST = 2  # images of a class that a head must have seen to say anything of the class


def standardised(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Features of mean 0 and deviation 1, for which the penalties of `onlineml.tasks.probe` were chosen."""
    if not len(features):
        return features
    return np.asarray((features - features.mean(axis=0)) / np.maximum(features.std(axis=0), 1e-6), np.float32)


def out_of_fold(
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    groups: Sequence[str | None],
    *,
    n_classes: int,
    seed: int = 0,
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Probabilities of every image, each by a linear head that saw neither the image nor any other of its group.

    Args:
        features: (N, F).
        labels: (N,) in [0, n_classes).
        groups: (N) names; None is a group of its own.
        n_classes: C.
        seed: of the folds.

    Returns:
        (N, C) probabilities, and (N,) whether the head knew the image's own class: of a class with few groups it may
        not, and then its word against the label says nothing.
    """
    n = len(labels)
    found = np.full((n, n_classes), 1.0 / max(n_classes, 1))
    told = np.zeros(n, bool)
    if not n:
        return found, told
    codes, n_groups = group_codes(list(groups), n_images=n)
    rng = np.random.default_rng([seed, n_groups])
    fold_of_group = rng.permutation(n_groups) % _FOLDS
    folds = fold_of_group[codes]
    table, truth = torch.from_numpy(standardised(features)), torch.tensor(labels)
    penalty = None
    for fold in range(_FOLDS):
        inside = np.flatnonzero(folds == fold)
        others = np.flatnonzero(folds != fold)
        if not len(inside) or not len(others):
            continue
        if len(others) > _FIT_IMAGES:
            others = np.sort(rng.choice(others, _FIT_IMAGES, replace=False))
        seen = np.bincount(labels[others], minlength=n_classes) >= _LEAST
        if penalty is None:
            penalty = _penalty(table, truth, others, inside, n_classes)
        weight, bias = fit_linear_head(table[others], truth[others], num_classes=n_classes, penalty=penalty)
        found[inside] = torch.softmax((table[inside] @ weight.T + bias).double(), dim=1).numpy()
        told[inside] = seen[labels[inside]]
    return found, told


def _penalty(
    table: torch.Tensor,
    labels: torch.Tensor,
    others: NDArray[np.int64],
    inside: NDArray[np.int64],
    n_classes: int,
) -> float:
    """The one with the lowest loss on images that were left out."""
    start, losses = None, []
    for penalty in PENALTIES:
        start = fit_linear_head(table[others], labels[others], num_classes=n_classes, penalty=penalty, start=start)
        losses.append(float(functional.cross_entropy(table[inside] @ start[0].T + start[1], labels[inside])))
    return PENALTIES[int(np.argmin(losses))]
