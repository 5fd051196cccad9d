"""Predictions for labelled images by heads that were not trained on them, from cached features.

The heads are linear discriminants: each class has a mean, and all share one covariance, shrunk towards a sphere
(Friedman, Regularized Discriminant Analysis, JASA 1989). Wrong labels move a mean only a little, whereas logistic
regression fits its boundary to each of them (Lee et al., Robust Inference via Generative Classifiers for Handling Noisy
Labels, ICML 2019). They are fitted in closed form from sums over all images minus those of a fold.
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

__all__ = ["Folds", "out_of_fold", "standardised"]

_FOLDS = 5
_FIT_IMAGES = 20_000  # more do not change a linear head
_LEAST = 2  # images of a class needed to fit it
_SHRINKAGES = (0.1, 0.3, 0.6, 0.9)  # shares of the sphere in the covariance
_TEMPERATURES = tuple(2.0 ** (k / 2) for k in range(-2, 15))  # 0.5 to 128


def standardised(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Features with mean 0 and standard deviation 1."""
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
    """Probabilities of every image, each by a linear head that was trained neither on the image nor on its group.

    The shrinkage of the covariance and the temperature of the softmax minimize the loss on held-out images.

    Args:
        features: (N, F).
        labels: (N,) in [0, n_classes).
        groups: (N) names; None is a group of its own.
        n_classes: C.
        seed: of the folds.

    Returns:
        (N, C) probabilities, and (N,) whether the head was fitted to the image's own class; if not, because the class
        has few groups, its probabilities say nothing about the label.
    """
    return Folds(features, groups, seed=seed).judge(labels, n_classes=n_classes)


class Folds:
    """Features in folds of whole groups, for heads of any labels; the arguments are those of `out_of_fold`."""

    def __init__(self, features: NDArray[np.float32], groups: Sequence[str | None], *, seed: int = 0) -> None:
        n = len(features)
        codes, n_groups = group_codes(list(groups), n_images=n)
        rng = np.random.default_rng([seed, n_groups])
        self.folds = (rng.permutation(n_groups) % _FOLDS)[codes]
        self.table = standardised(features)
        fitted = np.arange(n) if n <= _FIT_IMAGES else np.sort(rng.choice(n, _FIT_IMAGES, replace=False))
        self.fitted = [fitted[self.folds[fitted] == fold] for fold in range(_FOLDS)]
        self.products = [(self.table[rows].T @ self.table[rows]).astype(np.float64) for rows in self.fitted]

    def judge(self, labels: NDArray[np.int64], *, n_classes: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """See `out_of_fold`."""
        n, table = len(labels), self.table
        found = np.full((n, n_classes), 1.0 / max(n_classes, 1))
        if not n:
            return found, np.zeros(n, bool)
        pairs = zip(self.fitted, self.products, strict=True)
        parts = [_sums(table[rows], labels[rows], products, n_classes) for rows, products in pairs]
        everything = _Sums(*(sum(column) for column in zip(*parts, strict=True)))
        distances = np.zeros((n, n_classes))
        counts = np.zeros((n, n_classes))
        shrinkage = 0.0
        for fold, part in enumerate(parts):
            inside = np.flatnonzero(self.folds == fold)
            others = _Sums(*(whole - own for whole, own in zip(everything, part, strict=True)))
            if not len(inside) or not others.counts.any():
                continue
            if not shrinkage:
                shrinkage = _shrinkage(others, table[inside], labels[inside])
            distances[inside] = _discriminants(others, table[inside], shrinkage)
            counts[inside] = others.counts
        fitted_class = counts[np.arange(n), labels] >= _LEAST
        covered = counts.any(axis=1)
        if covered.any():
            found[covered] = _probabilities(distances[covered], counts[covered], labels[covered])
        return found, fitted_class


class _Sums(NamedTuple):
    """Sufficient statistics of a head: counts and sums of features by class, and products of features."""

    counts: Floats
    """(C,)"""
    sums: Floats
    """(C, F)"""
    products: Floats
    """(F, F)"""


def _sums(table: NDArray[np.float32], labels: Ints, products: Floats, n_classes: int) -> _Sums:
    one_hot = np.eye(n_classes, dtype=np.float32)[labels]
    return _Sums(one_hot.sum(axis=0, dtype=np.float64), (one_hot.T @ table).astype(np.float64), products)


def _discriminants(sums: _Sums, table: NDArray[np.float32], shrinkage: float) -> Floats:
    """(n, C) log densities of images, up to a constant per image; classes without images have that of the centre."""
    means = sums.sums / np.maximum(sums.counts, 1)[:, None]
    within = (sums.products - (means * sums.counts[:, None]).T @ means) / sums.counts.sum()
    sphere = max(float(np.trace(within)) / len(within), 1e-9)
    within *= 1 - shrinkage
    within.flat[:: len(within) + 1] += shrinkage * sphere
    weights = np.linalg.solve(within, means.T)
    found: Floats = table @ weights - (means.T * weights).sum(axis=0) / 2
    return found


def _softmax(discriminants: Floats, counts: Floats, temperature: float) -> Floats:
    """(n, C) probabilities; 0 for classes without images."""
    logits = discriminants / temperature + np.log(counts, out=np.full_like(counts, -np.inf), where=counts > 0)
    logits -= logits.max(axis=1, keepdims=True)
    odds = np.exp(logits)
    shares: Floats = odds / odds.sum(axis=1, keepdims=True)
    return shares


def _loss(probabilities: Floats, labels: Ints) -> float:
    """Mean cross-entropy, with probabilities of at least 1e-12."""
    held = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(held, 1e-12)).mean())


def _probabilities(discriminants: Floats, counts: Floats, labels: Ints) -> Floats:
    """Probabilities at the temperature of the lowest loss: a density over a thousand features is overconfident."""
    tables = (_softmax(discriminants, counts, temperature) for temperature in _TEMPERATURES)
    return min(tables, key=lambda table: _loss(table, labels))


def _shrinkage(sums: _Sums, table: NDArray[np.float32], labels: Ints) -> float:
    """The shrinkage with the lowest loss on held-out images."""
    counts = np.broadcast_to(sums.counts, (len(table), len(sums.counts)))
    losses = [
        _loss(_probabilities(_discriminants(sums, table, shrinkage), counts, labels), labels)
        for shrinkage in _SHRINKAGES
    ]
    return _SHRINKAGES[int(np.argmin(losses))]
