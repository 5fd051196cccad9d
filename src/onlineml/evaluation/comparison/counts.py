"""Confidence of a difference of two accuracies on the same images, from fixed and broken images counted by group.

Images on which two models agree contain no information about their difference. The relevant ones are the images that
the second model gets right and the first did not (fixed) and the reverse (broken). They are few, so that a percentile
bootstrap promotes too often; and the frames of one video are fixed or broken together, so that counting images does,
too.

The bounds here come from *random halves*: the mean difference over a random subset of the groups, each group included
with probability 1/2. Its quantiles bound the true difference at their nominal rates if the groups' differences are
symmetric about it, however few they are (Hartigan, Using subsample values as typical values, JASA 1969); it is the
sign-flip test converted to an interval. For single images and a difference of 0 it is McNemar's exact test; ties count
half, as in its mid-p form, which keeps the nominal rate where the exact test stays far below it (Fagerland, Lydersen
and Laake, The McNemar test for binary matched-pairs data: mid-p and asymptotic are better than exact conditional, BMC
Medical Research Methodology 2013).

No resample can show a broken image that the test set does not contain. For a drop by d, at least a fraction d of the
images are broken; if fewer were observed, their spread is computed from d itself, as in Tango's score interval
(Equivalence test and confidence interval for the difference in proportions for the paired-sample design, Statistics in
Medicine 1998), with counts divided by the number of images that change together (Rao and Scott, A simple method for the
analysis of clustered binary data, Biometrics 1992).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from onlineml.evaluation.comparison.tails import deep_bound, flipped, mid_quantiles

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from onlineml.evaluation.types import Array, Floats, Interval, Ints

__all__ = [
    "POWER",
    "McNemar",
    "PairedCounts",
    "half_weights",
    "mcnemar",
    "paired_counts",
    "sign_flip_p",
]

POWER = 0.8  # the usual power at which a test set is said to detect a difference (Cohen 1988)
_CHUNK_VALUES = 2_000_000
_MAX_TOSSES = 200_000_000  # at about 5 ns each
_MIN_RESAMPLES = 2_000
_BINOMIAL_COST = 5  # in coin tosses
_DEEP = 0.01  # below this level, too few of the halves lie beyond a quantile


@dataclass(frozen=True)
class McNemar:
    """McNemar's test of two models on the same images, treating images as independent; groups are ignored.

    Attributes:
        p_exact: two-sided, of the exact conditional test; 1.0 if no image changed.
        p_mid: two-sided mid-p value, in which the observed count counts half.
    """

    p_exact: float
    p_mid: float


def mcnemar(n_fixed: int, n_broken: int) -> McNemar:
    """Compute McNemar's test from counts of fixed and broken images (McNemar 1947; mid-p: Fagerland et al. 2013)."""
    n = n_fixed + n_broken
    if not n:
        return McNemar(1.0, 1.0)
    halves = flipped({1: n})
    tail = float(halves[: min(n_fixed, n_broken) * 2 + 1].sum())
    seen = float(halves[min(n_fixed, n_broken) * 2])
    return McNemar(min(1.0, 2 * tail), min(1.0, 2 * tail - seen))


def sign_flip_p(sums: Ints, *, n_groups: int, ties: float = 0.5) -> float:
    """Return the exact one-sided mid-p value of the sign-flip test: how rarely equal models differ by as much, upwards.

    Args:
        sums: (g,) int64 fixed minus broken images of each group; zeros have no effect.
        n_groups: number of all groups, including those without a difference.
        ties: share of the probability of exactly the observed sum that counts; 1 never exceeds its nominal rate.

    Returns:
        In (0, 1]; for single images, half of the two-sided mid-p of McNemar's test. Sums in four groups or fewer never
        result in a value below 0.05: chance alone favours one model in all four of them once in sixteen times.
    """
    own = sums[sums != 0]
    distinct, counts = np.unique(np.abs(own), return_counts=True)
    chances = flipped(dict(zip(distinct.tolist(), counts.tolist(), strict=True)))
    place = int(own.sum() + np.abs(own).sum())
    p = float(chances[place + 1 :].sum() + chances[place] * ties) + 0.5 ** (n_groups + 1)
    return min(1.0, p)


def half_weights(*, n_groups: int, n_resamples: int, seed: int, row_values: int = 1) -> Iterator[Floats]:
    """Yield random subsets of the groups, in chunks.

    Args:
        n_groups: G.
        n_resamples: total number of subsets.
        seed: seed of numpy's default generator.
        row_values: number of values that the caller stores per subset, if more than G; the chunks become smaller.

    Yields:
        (b, G) float64 zeros and ones.
    """
    rng = np.random.default_rng(seed)
    step = max(1, _CHUNK_VALUES // max(n_groups, row_values, 1))
    for start in range(0, n_resamples if n_groups else 0, step):
        rows = min(step, n_resamples - start)
        yield rng.integers(0, 2, size=(rows, n_groups), dtype=np.int8).astype(np.float64)


@dataclass(frozen=True, eq=False)
class PairedCounts:
    """Fixed and broken images of G groups.

    Attributes:
        fixed: (G,) int64 images that only the second model gets right.
        broken: (G,) int64 images that only the first model gets right.
        sizes: (G,) int64 images, at least 1 each.
        n_resamples: number of random halves; reduced, to 2,000 at least, for very many groups of different sizes.
        seed: seed of the halves.
    """

    fixed: Ints
    broken: Ints
    sizes: Ints
    n_resamples: int = 20_000
    seed: int = 0

    def to_record(self) -> dict[str, Any]:
        """The evidence as plain JSON values: rows of fixed, broken, images and the number of such groups."""
        rows, counts = np.unique(np.stack([self.fixed, self.broken, self.sizes], 1), axis=0, return_counts=True)
        groups = np.column_stack([rows, counts]).tolist()
        return {"kind": "counts", "groups": groups, "n_resamples": self.n_resamples, "seed": self.seed}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> PairedCounts:
        """Restore what `to_record` returned; the groups are in another order, which no bound depends on."""
        rows = np.array(record["groups"], np.int64).reshape(-1, 4)
        fixed, broken, sizes = np.repeat(rows[:, :3], rows[:, 3], axis=0).T
        return cls(fixed, broken, sizes, n_resamples=record["n_resamples"], seed=record["seed"])

    def joined(self, other: PairedCounts) -> PairedCounts:
        """Return the groups of both, which have no image in common."""
        pairs = ((self.fixed, other.fixed), (self.broken, other.broken), (self.sizes, other.sizes))
        fixed, broken, sizes = map(np.concatenate, pairs)
        return PairedCounts(fixed, broken, sizes, n_resamples=self.n_resamples, seed=self.seed)

    @property
    def n_groups(self) -> int:
        """G."""
        return len(self.sizes)

    @property
    def n_images(self) -> int:
        """All images."""
        return int(self.sizes.sum())

    @property
    def value(self) -> float:
        """Difference of the accuracies, second minus first; nan without images."""
        return float((self.fixed.sum() - self.broken.sum()) / self.n_images) if self.n_images else math.nan

    @property
    def p_drop(self) -> float:
        """One-sided p value of a drop, see `sign_flip_p`."""
        return sign_flip_p(self.broken - self.fixed, n_groups=self.n_groups)

    def bounds(self, tail: float) -> Interval:
        """Return low and high bounds of the true difference, each of which is wrong with a probability of about `tail`.

        Args:
            tail: 0.05 for a one-sided 95 % bound; 0.025 for both ends of a 95 % interval.

        Returns:
            In [-1, 1]; (nan, nan) without images.
        """
        if not self.n_images:
            return math.nan, math.nan
        nothing = 0.5**self.n_groups  # the probability of an empty subset, which contains no information
        if nothing >= tail:
            return -1.0, 1.0
        share = (tail - nothing) / (1 - nothing)
        low, high = self._deep(tail) if tail < _DEEP else mid_quantiles(self._half_means(), (share, 1 - share))
        if low <= 0:
            low = min(low, self._score_bound(self.broken, self.fixed, tail))
        if high >= 0:
            high = max(high, -self._score_bound(self.fixed, self.broken, tail))
        return max(low, -1.0), min(high, 1.0)

    def minimum_detectable_effect(self, *, tail: float = 0.05) -> float:
        """Return the smallest true difference that these images detect with a power of 0.8.

        The spread is that of the observed changes; for a difference of d, at least a fraction d of the images changes.
        nan without images.
        """
        if not self.n_images:
            return math.nan
        steps = NormalDist().inv_cdf(1 - tail) + NormalDist().inv_cdf(POWER)
        return min(1.0, max(steps * math.sqrt(self._squares()), steps**2 * self._clump()) / self.n_images)

    def _squares(self) -> float:
        """Variance of the sum of the differences: squared deviations of the groups from the mean difference."""
        residuals = self.fixed - self.broken - self.value * self.sizes
        return float(np.square(residuals).sum())

    def _deep(self, tail: float) -> Interval:
        """Bounds at a small level; the sign of each is that of the exact test, whose nominal rate holds."""
        sums = self.fixed - self.broken
        low, high = deep_bound(sums, self.sizes, tail), -deep_bound(-sums, self.sizes, tail)
        if low > 0 and sign_flip_p(sums, n_groups=self.n_groups, ties=1) > tail:
            low = 0.0
        if high < 0 and sign_flip_p(-sums, n_groups=self.n_groups, ties=1) > tail:
            high = 0.0
        return low, high

    def _half_means(self) -> Floats:
        """Mean differences over random subsets of the groups, without empty subsets."""
        differences = self.fixed - self.broken
        codes = differences * (int(self.sizes.max()) + 1) + self.sizes
        _, first, counts = np.unique(codes, return_index=True, return_counts=True)
        if _BINOMIAL_COST * len(counts) < self.n_groups:  # groups with equal values are drawn together
            rng = np.random.default_rng(self.seed)
            taken = rng.binomial(counts, 0.5, size=(self.n_resamples, len(counts)))
            sums, sizes = taken @ differences[first], taken @ self.sizes[first]
        else:
            drawn = int(np.clip(_MAX_TOSSES // self.n_groups, _MIN_RESAMPLES, self.n_resamples))
            order = np.argsort(codes, kind="stable")  # the groups' own order has no effect
            columns = np.stack([differences, self.sizes], axis=1)[order].astype(np.float64)
            halves = half_weights(n_groups=self.n_groups, n_resamples=drawn, seed=self.seed)
            sums, sizes = np.concatenate([weights @ columns for weights in halves]).T
        means: Floats = sums[sizes > 0] / sizes[sizes > 0]
        return means

    def _clump(self) -> float:
        """Number of images that change together: the variance relative to that of independent changes; at least 1.

        One more changing group is assumed, which changes like those observed; the fewer those are, the more of it
        changes, because an event that was not observed must not be assumed impossible.
        """
        changes = np.abs(self.fixed - self.broken).astype(np.float64)
        whole = float(np.square(self.sizes.astype(np.float64)).sum() / self.n_images)  # mean size of an image's group
        doubt = 1 / (1 + np.count_nonzero(changes))
        imagined = float((np.square(changes).sum() + doubt * whole**2) / (changes.sum() + doubt * whole))
        alone = float((self.fixed + self.broken).sum()) - self.value**2 * self.n_images
        return max(1.0, (self._squares() + imagined**2) / (alone + imagined))

    def _score_bound(self, lost: Ints, won: Ints, tail: float) -> float:
        """Return Tango's lower bound of (won - lost) / n, at most 0; counts are divided by the clump size."""
        clump = self._clump()
        b, c, n = (float(x.sum()) / clump for x in (lost, won, self.sizes))
        if not b and not c:  # Clopper and Pearson's: Tango's is wrong up to 6.7 % of the time here
            return float(tail ** (1 / n) - 1)
        critical = NormalDist().inv_cdf(1 - tail)
        low, high = -1.0, min(0.0, (c - b) / n)
        for _ in range(50):  # bisection to 1e-15
            middle = (low + high) / 2
            low, high = (middle, high) if _tango(b, c, n, middle) >= critical else (low, middle)
        return low


def _tango(b: float, c: float, n: float, difference: float) -> float:
    """Return Tango's score statistic of c won and b lost in n pairs, for a true difference of `difference`."""
    slope = -b - c + (2 * n - c + b) * difference
    share = (math.sqrt(slope**2 + 8 * n * b * difference * (1 - difference)) - slope) / (4 * n)
    return (c - b - n * difference) / math.sqrt(max(n * (2 * share + difference * (1 - difference)), 1e-300))


def paired_counts(right_a: Array, right_b: Array, codes: Ints) -> PairedCounts:
    """Count fixed and broken images by group.

    Args:
        right_a: (n,) bool, images that the first model gets right.
        right_b: (n,) bool, images that the second model gets right.
        codes: (n,) int64, the group of each image; any numbers.
    """
    _, places = np.unique(codes, return_inverse=True)
    n_groups = int(places.max(initial=-1)) + 1
    kinds = (right_b & ~right_a, right_a & ~right_b, np.ones(len(codes), bool))
    fixed, broken, sizes = (np.bincount(places[k], minlength=n_groups).astype(np.int64) for k in kinds)
    return PairedCounts(fixed, broken, sizes)
