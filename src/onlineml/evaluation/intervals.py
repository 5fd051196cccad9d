"""Confidence intervals of scores: the bootstrap over groups.

Images of one group (frames of a video, crops of a photo) have correlated errors, so groups are drawn, not images. One
resample is a weight per group, the number of times it was drawn, which is multinomial. Scores of a resample are then
weighted sums.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onlineml.arguments.counted import count
from onlineml.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from onlineml.evaluation.types import Array, Floats, Interval, Ints

__all__ = [
    "LEVEL",
    "centred_interval",
    "exact_interval",
    "group_codes",
    "percentile_interval",
    "resample_weights",
    "sums_by_code",
    "widened",
    "with_exact",
]

LEVEL = 0.95
_CHUNK_VALUES = 2_000_000  # weights drawn at a time: 16 MB of float64


def group_codes(groups: Sequence[object] | Array | None, *, n_images: int) -> tuple[Ints, int]:
    """Number the groups.

    Args:
        groups: one value per image, or None. An image whose group is None, nan or "" is a group of its own, and so is
            every image if `groups` is None.
        n_images: N.

    Returns:
        (N,) int64 codes in order of first appearance, and the number of groups.

    Raises:
        ConfigError: the length of `groups` is not N.
    """
    if groups is None:
        return np.arange(n_images, dtype=np.int64), n_images
    if len(groups) != n_images:
        msg = f"groups has {count(len(groups), 'value')} for {count(n_images, 'image')}; pass one value per image"
        raise ConfigError(msg)
    numbers: dict[object, int] = {}
    codes = np.empty(n_images, np.int64)
    for i, group in enumerate(groups):
        alone = group is None or group == "" or group != group  # noqa: PLR0124 - nan alone differs from itself
        codes[i] = numbers.setdefault((i,) if alone else group, len(numbers))
    return codes, len(numbers)


def resample_weights(*, n_groups: int, n_bootstrap: int, seed: int, row_values: int = 1) -> Iterator[Floats]:
    """Yield how often each group is drawn in each resample, in chunks of resamples.

    Args:
        n_groups: G; as many groups are drawn, with replacement, in each resample.
        n_bootstrap: B, the total number of resamples.
        seed: seed of numpy's default generator. The same G, B, seed and `row_values` result in the same weights, so
            that two models on the same images can be compared resample by resample.
        row_values: number of values that the caller stores per resample, if more than G; the chunks become smaller.

    Yields:
        (b, G) float64 integers, each row summing to G.

    Raises:
        ConfigError: `n_bootstrap` is negative.
    """
    if n_bootstrap < 0:
        msg = f"n_bootstrap is {n_bootstrap}; expected 0 (no intervals) or more, such as 1000"
        raise ConfigError(msg)
    if not n_groups:
        return
    rng = np.random.default_rng(seed)
    step = max(1, _CHUNK_VALUES // max(n_groups, row_values))
    for start in range(0, n_bootstrap, step):
        rows = min(step, n_bootstrap - start)
        drawn = rng.integers(0, n_groups, size=(rows, n_groups))
        drawn += n_groups * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * n_groups).reshape(rows, n_groups).astype(np.float64)


def sums_by_code(weights: Floats, codes: Ints, *, n_codes: int) -> Floats:
    """Sum the weights of equal codes: (b, N) weights and (N,) codes in [0, K) result in (b, K) float64."""
    rows = len(weights)
    flat = codes[None, :] + n_codes * np.arange(rows)[:, None]
    sums: Floats = np.bincount(flat.ravel(), weights=weights.ravel(), minlength=rows * n_codes).astype(np.float64)
    return sums.reshape(rows, n_codes)


def percentile_interval(samples: Floats, *, level: float = LEVEL) -> Floats:
    """Return the central interval of each column, ignoring nan.

    Args:
        samples: (B, ...) float, one row per resample.
        level: fraction of the resamples inside.

    Returns:
        (..., 2) low and high, linearly interpolated like `numpy.nanpercentile`; nan if fewer than half of the resamples
        are defined (a class too rare to be drawn), or if all are equal: a score that no resample changes contains no
        information about its spread.
    """
    rising = np.sort(np.asarray(samples, np.float64), axis=0)  # nan is sorted last
    n_defined = np.sum(~np.isnan(rising), axis=0)
    bounds = np.full((*rising.shape[1:], 2), np.nan)
    if not len(rising):
        return bounds
    for side, share in enumerate(((1 - level) / 2, (1 + level) / 2)):
        bounds[..., side] = _quantile(rising, n_defined, share)
    last = np.take_along_axis(rising, np.maximum(n_defined - 1, 0)[None], axis=0)[0]
    bounds[(n_defined * 2 < len(rising)) | (rising[0] == last)] = np.nan
    return bounds


def _quantile(rising: Floats, n_defined: Ints, share: float) -> Floats:
    """Return a quantile of sorted columns, with nan last, linearly interpolated."""
    place = share * np.maximum(n_defined - 1, 0)
    lower = np.floor(place).astype(np.int64)
    upper = np.minimum(lower + 1, np.maximum(n_defined - 1, 0))
    low, high = (np.take_along_axis(rising, at[None], axis=0)[0] for at in (lower, upper))
    between: Floats = low + (high - low) * (place - lower)
    return between


def centred_interval(samples: Floats, values: Floats, *, level: float = LEVEL) -> Floats:
    """Return the percentile interval of a score in [0, 1] that resampling raises, shifted to be centred on the score.

    The interpolated average precision of few objects is such a score: it takes the upper hull of a jagged curve, and
    repeated images make it more jagged. In a simulation of four classes on 72 images, 94 % of the shifted intervals
    contained the mean of such test sets, and 91 % of the unshifted ones.

    Args:
        samples: (B, ...) float, one row per resample.
        values: (...) the scores.
        level: fraction of the resamples inside.

    Returns:
        (..., 2), nan as in `percentile_interval`.
    """
    bounds = percentile_interval(samples, level=level)
    if not len(samples):
        return bounds
    rising = np.sort(np.asarray(samples, np.float64), axis=0)
    middle = _quantile(rising, np.sum(~np.isnan(rising), axis=0), 0.5)
    return np.clip(bounds + (values - middle)[..., None], 0.0, 1.0)


def exact_interval(share: float, *, n_groups: int, level: float = LEVEL) -> Interval:
    """Return the interval of a proportion of 0 or 1, for which resampling shows no spread (Clopper and Pearson 1934).

    Args:
        share: 0 or 1: all images wrong, or all correct.
        n_groups: number of independent groups it was measured on.
        level: confidence level.

    Returns:
        Low and high: for 20 correct of 20, (0.83, 1.0). (nan, nan) for another proportion, or without groups.
    """
    if not n_groups or share not in {0.0, 1.0}:
        return float("nan"), float("nan")
    bound = ((1 - level) / 2) ** (1 / n_groups)
    return (bound, 1.0) if share == 1.0 else (0.0, 1.0 - bound)


def widened(value: float, bounds: Floats | None, *, n_groups: int = 0) -> Interval:
    """Return a score's interval from its resamples, widened to contain the score.

    A proportion of exactly 0 or 1 has no spread to resample and gets the exact interval. Others are widened if they do
    not contain the score: the calibration error of a resample is larger than that of its data on average.

    Args:
        value: the score.
        bounds: (2,) of its resamples; None if there are none.
        n_groups: number of independent groups of a proportion; 0 for any other score.
    """
    if bounds is None:
        return float("nan"), float("nan")
    low, high = float(bounds[0]), float(bounds[1])
    if n_groups and value in {0.0, 1.0}:
        low, high = exact_interval(value, n_groups=n_groups)
    return (min(low, value), max(high, value)) if low <= high else (low, high)


def with_exact(values: Floats, bounds: Floats | None, codes: Ints, groups: Ints) -> Floats:
    """Return (K, 2) intervals of proportions (K,): resampled, or exact if the proportion is 0 or 1.

    Args:
        values: the proportions.
        bounds: (K, 2) of the resamples; None if there are none: all nan.
        codes: (n,) int64 in [0, K), the proportion that each observation belongs to.
        groups: (n,) int64, the group of each observation.
    """
    if bounds is None:
        return np.full((len(values), 2), np.nan)
    filled = bounds.copy()
    pairs = np.unique(np.stack([codes, groups], axis=1), axis=0)[:, 0]
    n_groups = np.bincount(pairs, minlength=len(values))
    for i in np.flatnonzero((values == 0) | (values == 1)):
        filled[i] = exact_interval(float(values[i]), n_groups=int(n_groups[i]))
    return filled
