"""Quantiles of random halves; at levels too small to draw enough of them, by the saddlepoint approximation.

The probability that a sum of numbers with random signs is as large as observed has a closed approximation with an error
of about 1 % far out in the tail (Lugannani and Rice, Saddle point approximation for the distribution of the sum of
independent random variables, Advances in Applied Probability 1980), where halves would have to be drawn by the million.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onlineml.evaluation.types import Floats, Ints

__all__ = ["deep_bound", "flip_tail", "flipped", "mid_quantiles"]

_NORMAL = NormalDist()
_NEAR = 1e-4  # of the centre, where the two terms of the approximation cancel
_NEWTON = 60  # steps at most; seven are usual


def deep_bound(differences: Ints, sizes: Ints, tail: float) -> float:
    """Return the lower bound of the true mean difference, wrong with a probability of about `tail`.

    The limit of the quantile of random halves (see `onlineml.evaluation.comparison.counts`) for infinitely many.

    Args:
        differences: (G,) fixed minus broken images of each group.
        sizes: (G,) images of each group, at least 1 each.
        tail: in (0, 0.5).

    Returns:
        In [-1, 1].
    """
    rows, counts = np.unique(np.stack([differences, sizes], axis=1), axis=0, return_counts=True)
    low, high = -1.0, float(differences.sum() / sizes.sum())
    if flip_tail(rows[:, 0] - low * rows[:, 1], counts) >= tail:
        return low
    for _ in range(40):
        middle = (low + high) / 2
        beyond = flip_tail(rows[:, 0] - middle * rows[:, 1], counts) >= tail
        low, high = (low, middle) if beyond else (middle, high)
    return low


def flip_tail(values: Floats, counts: Ints) -> float:
    """Return the probability that numbers with random signs have a sum of at least that of the numbers themselves.

    Args:
        values: (K,) distinct numbers, with a sum of 0 or more.
        counts: (K,) how often each occurs.

    Returns:
        In (0, 1).
    """
    values, counts = values[values != 0].astype(np.float64), counts[values != 0]
    total = float(counts @ values)
    least = math.pow(0.5, float(counts.sum()))
    if not len(values) or total <= 0:
        return 0.5
    if (values > 0).all():
        return least
    values = values / np.abs(values).max()
    total = float(counts @ values)
    s = 0.0
    for _ in range(_NEWTON):  # from below: the derivative is concave
        slopes = np.tanh(s * values)
        curvature = float(counts @ (values**2 * (1 - slopes**2)))
        step = (total - float(counts @ (values * slopes))) / max(curvature, 1e-300)
        s += step
        if step <= 1e-10 * s or curvature < 1e-12:
            break
    steep = np.abs(s * values)
    logs = steep + np.log1p(np.exp(-2 * steep)) - math.log(2)  # of the hyperbolic cosine
    root = math.sqrt(max(2 * (s * total - float(counts @ logs)), 0.0))
    spread = s * math.sqrt(float(counts @ (values**2 * (1 - np.tanh(s * values) ** 2))))
    if root < _NEAR or spread < _NEAR:
        return max(least, 0.5 if root < _NEAR else math.exp(-(root**2) / 2))
    tail = 1 - _NORMAL.cdf(root) + _NORMAL.pdf(root) * (1 / spread - 1 / root)
    return float(min(max(tail, least), math.exp(-(root**2) / 2)))


def mid_quantiles(values: Floats, shares: Sequence[float]) -> list[float]:
    """Return quantiles of a sample with ties, interpolated between midpoints of its steps (Ma, Genton & Parzen 2011).

    Args:
        values: (n,) float, n > 0.
        shares: in (0, 1).
    """
    distinct, counts = np.unique(values, return_counts=True)
    middles = (np.cumsum(counts) - counts / 2) / len(values)
    return [float(value) for value in np.interp(shares, middles, distinct)]


def flipped(sizes: dict[int, int]) -> Floats:
    """Return the probabilities of every sum of numbers with random signs: from ``-total`` on, in steps of 1.

    Args:
        sizes: count of numbers of each positive size.
    """
    chances = np.ones(1)
    for size, n in sorted(sizes.items(), key=lambda item: -item[1]):
        wide = np.zeros(len(chances) + 2 * size * n)
        for heads, weight in enumerate(_binomial_halves(n)):
            start = 2 * size * heads
            wide[start : start + len(chances)] += weight * chances
        chances = wide
    return chances


def _binomial_halves(n: int) -> Floats:
    """Return (n + 1,) probabilities of each number of heads in n tosses."""
    heads = np.arange(1, n + 1)
    logs = np.concatenate([[0.0], np.cumsum(np.log((n - heads + 1) / heads))]) - n * math.log(2)
    chances = np.exp(logs)
    chances /= chances.sum()
    return chances
