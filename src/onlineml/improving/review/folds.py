"""Predictions for labelled images by heads that did not train on them, from features that were computed once.

The heads are Gaussian: each class has a mean, and all share one covariance, shrunk towards a sphere (linear
discriminant analysis; Friedman, Regularized Discriminant Analysis, JASA 1989). Wrong labels move a mean a little, where
logistic regression bends its boundary round each of them (Lee et al., Robust Inference via Generative Classifiers for
Handling Noisy Labels, ICML 2019). They are fitted in one step from sums, which those of a fold are taken off.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from onlineml.evaluation.intervals import group_codes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

__all__ = ["out_of_fold", "standardised"]

_FOLDS = 5
_FIT_IMAGES = 20_000  # more no longer change a linear head
_LEAST = 2  # images of a class that a head must have seen to say anything of the class
_SHRINKAGES = (0.1, 0.3, 0.6, 0.9)  # shares of the sphere in the covariance
_TEMPERATURES = tuple(2.0 ** (k / 2) for k in range(-2, 15))  # 0.5 to 128


def standardised(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Features of mean 0 and deviation 1, so that no feature counts for more because of its unit."""
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

    How far the covariance is shrunk, and the temperature of the softmax, are those of the lowest loss on images that
    were left out.

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
    told = np.zeros(n, bool)
    found = np.full((n, n_classes), 1.0 / max(n_classes, 1))
    if not n:
        return found, told
    codes, n_groups = group_codes(list(groups), n_images=n)
    rng = np.random.default_rng([seed, n_groups])
    folds = (rng.permutation(n_groups) % _FOLDS)[codes]
    table = standardised(features)
    fitted = np.arange(n) if n <= _FIT_IMAGES else np.sort(rng.choice(n, _FIT_IMAGES, replace=False))
    parts = [_sums(table, labels, fitted[folds[fitted] == fold], n_classes) for fold in range(_FOLDS)]
    everything = _Sums(*(sum(column) for column in zip(*parts, strict=True)))
    distances = np.zeros((n, n_classes))
    counts = np.zeros((n, n_classes))
    shrinkage = 0.0
    for fold, part in enumerate(parts):
        inside = np.flatnonzero(folds == fold)
        others = _Sums(*(whole - own for whole, own in zip(everything, part, strict=True)))
        if not len(inside) or not others.counts.any():
            continue
        if not shrinkage:
            shrinkage = _shrinkage(others, table[inside], labels[inside])
        distances[inside] = _discriminants(others, table[inside], shrinkage)
        counts[inside] = others.counts
    told = counts[np.arange(n), labels] >= _LEAST
    covered = counts.any(axis=1)
    if covered.any():
        found[covered] = _probabilities(distances[covered], counts[covered], labels[covered])
    return found, told


class _Sums(NamedTuple):
    """All that a head is fitted to: images, features and products of features, the former two by class."""

    counts: Floats
    """(C,)"""
    sums: Floats
    """(C, F)"""
    products: Floats
    """(F, F)"""


def _sums(table: NDArray[np.float32], labels: Ints, rows: Ints, n_classes: int) -> _Sums:
    one_hot = np.eye(n_classes, dtype=np.float32)[labels[rows]]
    chosen = table[rows]
    return _Sums(
        one_hot.sum(axis=0, dtype=np.float64),
        (one_hot.T @ chosen).astype(np.float64),
        (chosen.T @ chosen).astype(np.float64),
    )


def _discriminants(sums: _Sums, table: NDArray[np.float32], shrinkage: float) -> Floats:
    """(n, C) log densities of images, up to a number for each image; classes without images have that of the centre."""
    means = sums.sums / np.maximum(sums.counts, 1)[:, None]
    within = (sums.products - (means * sums.counts[:, None]).T @ means) / sums.counts.sum()
    sphere = max(float(np.trace(within)) / len(within), 1e-9)
    within *= 1 - shrinkage
    within.flat[:: len(within) + 1] += shrinkage * sphere
    weights = np.linalg.solve(within, means.T)
    found: Floats = table @ weights - (means.T * weights).sum(axis=0) / 2
    return found


def _softmax(discriminants: Floats, counts: Floats, temperature: float) -> Floats:
    """(n, C) probabilities; 0 of classes without images."""
    logits = discriminants / temperature + np.log(counts, out=np.full_like(counts, -np.inf), where=counts > 0)
    logits -= logits.max(axis=1, keepdims=True)
    odds = np.exp(logits)
    shares: Floats = odds / odds.sum(axis=1, keepdims=True)
    return shares


def _loss(probabilities: Floats, labels: Ints) -> float:
    """Mean cross-entropy; a class that the head did not know costs as much as the rarest chance."""
    held = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(held, 1e-12)).mean())


def _probabilities(discriminants: Floats, counts: Floats, labels: Ints) -> Floats:
    """At the temperature of the lowest loss: a density over a thousand features is far too sure of itself."""
    tables = (_softmax(discriminants, counts, temperature) for temperature in _TEMPERATURES)
    return min(tables, key=lambda table: _loss(table, labels))


def _shrinkage(sums: _Sums, table: NDArray[np.float32], labels: Ints) -> float:
    """The one with the lowest loss on images that were left out."""
    counts = np.broadcast_to(sums.counts, (len(table), len(sums.counts)))
    losses = [
        _loss(_probabilities(_discriminants(sums, table, shrinkage), counts, labels), labels)
        for shrinkage in _SHRINKAGES
    ]
    return _SHRINKAGES[int(np.argmin(losses))]
