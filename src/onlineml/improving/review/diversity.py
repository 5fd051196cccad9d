"""Photos that stand for others: each is asked for because many resemble it and none of those that are known does."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from onlineml.improving.review.folds import standardised

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Ints = NDArray[np.int64]

__all__ = ["Representatives", "representatives"]

_REFERENCES = 2_500  # photos that are to be represented, and
_CANDIDATES = 5_000  # those to choose from: 50 MB of similarities; more photos than these are sampled
_SHARPNESS = 2.0  # power of the cosine: a photo stands for its like, and hardly for what is half like it

_NOTHING = 1e-6  # of the whole value: a copy's gain, but for rounding
_MEAN = 1e-2  # standard deviations; photos nearer to the mean are it


class Representatives(NamedTuple):
    """Chosen photos.

    Attributes:
        rows: (k,) of the features, the most representative first.
        gains: (k,) share, 0..1, of what was not represented yet that each represents, by weight.
    """

    rows: list[int]
    gains: list[float]


def representatives(
    features: Floats,
    weights: NDArray[np.float64],
    *,
    n: int,
    known: NDArray[np.bool_],
    groups: Sequence[str | None] = (),
    seed: int = 0,
) -> Representatives:
    """Choose photos that represent the others best, given those that are known: greedy facility location.

    The greedy choice has at least 63 % of the best possible value (Nemhauser, Wolsey and Fisher 1978), every beginning
    of it, too. A copy of a known or chosen photo represents nothing new; an odd photo represents itself alone. Unlike
    the centres of k-means, a photo is chosen, and unlike farthest points (k-center), not the oddest.

    Args:
        features: (N, F).
        weights: (N,) at least 0, how much it matters that a photo is represented, such as a model's doubt about it;
            0 is not chosen either.
        n: at most so many; fewer if there are no more, or if the rest are copies of those.
        known: (N,) photos that need not be chosen, and represent others.
        groups: N names, such as of a photo's video; one photo of each, until there are no others. Empty: none.
        seed: of the sample, if there are many photos.
    """
    draws = np.random.default_rng(seed)
    value = np.where(known, 0.0, weights)
    if not (value > 0).any():
        return Representatives([], [])
    references = _sample(draws, value, _REFERENCES)
    candidates = _sample(draws, value, _CANDIDATES)
    units = _directions(features)
    like = np.maximum(units[candidates] @ units[references].T, 0.0) ** _SHARPNESS
    covered = np.zeros(len(references), np.float32)
    for start in range(0, int(known.sum()), _REFERENCES):
        some = units[np.flatnonzero(known)[start : start + _REFERENCES]] @ units[references].T
        covered = np.maximum(covered, some.max(axis=0, initial=0.0) ** _SHARPNESS)
    codes = np.unique([str(groups[row]) for row in candidates], return_inverse=True)[1] if len(groups) else None
    return _greedy(like, covered, value[references].astype(np.float32), candidates, codes, n=n)


def _greedy(
    like: Floats, covered: Floats, value: Floats, candidates: Ints, codes: Ints | None, *, n: int
) -> Representatives:
    rows: list[int] = []
    gains: list[float] = []
    total = float(value.sum())
    fresh = np.ones(len(candidates), bool)  # not of the group of a chosen one
    while len(rows) < n:
        gain = np.maximum(like - covered, 0.0) @ value / total
        best = int(np.where(fresh, gain, -1.0).argmax())
        if not (fresh[best] and gain[best] > _NOTHING):
            if fresh.all() or not (gain > _NOTHING).any():
                break
            fresh[:] = True  # every group has one
            continue
        rows.append(int(candidates[best]))
        gains.append(float(gain[best]))
        covered = np.maximum(covered, like[best])
        if codes is not None:
            fresh &= codes != codes[best]
    return Representatives(rows, gains)


def _sample(draws: np.random.Generator, value: NDArray[np.float64], most: int) -> Ints:
    """Rows with a value, at most so many, drawn in proportion to it."""
    rows = np.flatnonzero(value > 0)
    if len(rows) <= most:
        return rows
    chosen = draws.choice(rows, most, replace=False, p=value[rows] / value[rows].sum())
    return np.sort(chosen)


def _directions(features: Floats) -> Floats:
    """Unit vectors from the mean photo; all photos that are just like it have one direction of their own."""
    table = standardised(features)
    lengths = np.linalg.norm(table, axis=1, keepdims=True)
    units = np.divide(table, lengths, out=np.zeros_like(table), where=lengths > _MEAN)
    return np.concatenate([units, (lengths <= _MEAN).astype(np.float32)], axis=1)
