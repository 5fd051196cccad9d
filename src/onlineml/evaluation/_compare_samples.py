"""How sure a difference of two average precisions on the same images is.

Detections are matched once; both models are scored on the same random halves of the groups, each group in a half or not
by the toss of a coin. The spread of the differences is that of the difference itself (of sums exactly), and halves of
a set that is scored without repetition do not make its curve more jagged, as a bootstrap's repetitions do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from onlineml.evaluation._compare_counts import POWER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onlineml.evaluation._types import Floats, Interval

__all__ = ["MIN_GROUPS", "PairedSamples", "half_weights"]

MIN_GROUPS = 5  # chance alone favours one of two equal models in all of four groups once in sixteen times
_CHUNK_VALUES = 2_000_000


def half_weights(*, n_groups: int, n_resamples: int, seed: int, row_values: int = 1) -> Iterator[Floats]:
    """Random subsets of the groups, some at a time.

    Args:
        n_groups: G.
        n_resamples: how many subsets in all.
        seed: of numpy's default generator.
        row_values: how many values the caller holds a subset, where more than G; the chunks become smaller.

    Yields:
        (b, G) float64 zeros and ones.
    """
    rng = np.random.default_rng(seed)
    step = max(1, _CHUNK_VALUES // max(n_groups, row_values, 1))
    for start in range(0, n_resamples if n_groups else 0, step):
        yield rng.integers(0, 2, size=(min(step, n_resamples - start), n_groups)).astype(np.float64)


@dataclass(frozen=True, eq=False)
class PairedSamples:
    """A difference of two scores, and what it is on random halves of the groups.

    Attributes:
        value: second minus first; nan if either is not defined.
        samples: (B,) float64 the same on the halves; nan where not defined there.
        n_groups: groups that the scores are made of: those with an object of the class.
    """

    value: float
    samples: Floats
    n_groups: int

    @property
    def spread(self) -> float:
        """Standard error of the difference; nan where it cannot be told: fewer than half of the halves have one."""
        defined = self.samples[~np.isnan(self.samples)]
        if math.isnan(self.value) or 2 * len(defined) <= len(self.samples) or self.n_groups < MIN_GROUPS:
            return math.nan
        return float(np.sqrt(np.square(defined - self.value).mean()))

    def bounds(self, tail: float) -> Interval:
        """Low and high bound of the true difference, each wrong with a chance of about `tail`, by Student's t.

        Where no half differs from the whole, nothing has changed in G groups, and a bound is Clopper and Pearson's: how
        large a share of changing groups could have stayed unseen.

        Returns:
            In [-1, 1]; (nan, nan) where the spread cannot be told.
        """
        from scipy.special import stdtrit  # noqa: PLC0415 - a tenth of a second, for detection alone

        spread = self.spread
        if math.isnan(spread):
            return math.nan, math.nan
        reach = float(stdtrit(self.n_groups - 1, 1 - tail)) * spread if spread else 1 - tail ** (1 / self.n_groups)
        return max(self.value - reach, -1.0), min(self.value + reach, 1.0)

    @property
    def p_drop(self) -> float:
        """One-sided p value of a drop, by Student's t; nan where the spread cannot be told."""
        from scipy.special import stdtr  # noqa: PLC0415

        spread = self.spread
        if math.isnan(spread):
            return math.nan
        return float(stdtr(self.n_groups - 1, self.value / spread)) if spread else 0.5

    def smallest_shown(self, *, tail: float = 0.05) -> float:
        """The smallest true difference that these images show four times out of five; nan where it cannot be told."""
        from scipy.special import stdtrit  # noqa: PLC0415

        spread = self.spread
        if math.isnan(spread):
            return math.nan
        steps = stdtrit(self.n_groups - 1, 1 - tail) + stdtrit(self.n_groups - 1, POWER)
        return min(1.0, float(steps) * spread if spread else 1 - tail ** (1 / self.n_groups))
