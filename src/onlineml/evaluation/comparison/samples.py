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

from onlineml.evaluation.comparison.counts import POWER

if TYPE_CHECKING:
    from onlineml.evaluation.types import Floats, Interval

__all__ = ["MIN_GROUPS", "PairedSamples"]

MIN_GROUPS = 5  # chance alone favours one of two equal models in all of four groups once in sixteen times


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
        """Low and high bound of the true difference, each wrong with a chance of about `tail`.

        The wider of Student's t and the quantiles of the halves: of few images, the first is too narrow where a score
        is a mean over rare classes, the second where there are few groups. Where no half differs from the whole,
        nothing has changed in G groups, and a bound is Clopper and Pearson's: how large a share of changing groups
        could have stayed unseen.

        Returns:
            In [-1, 1]; (nan, nan) where the spread cannot be told.
        """
        from scipy.special import stdtrit  # noqa: PLC0415 - a tenth of a second, for detection alone

        spread = self.spread
        if math.isnan(spread):
            return math.nan, math.nan
        if not spread:
            unseen = 1 - tail ** (1 / self.n_groups)
            return max(self.value - unseen, -1.0), min(self.value + unseen, 1.0)
        reach = float(stdtrit(self.n_groups - 1, 1 - tail)) * spread
        low, high = np.nanquantile(self.samples, (tail, 1 - tail)).tolist()
        return max(min(low, self.value - reach), -1.0), min(max(high, self.value + reach), 1.0)

    @property
    def p_drop(self) -> float:
        """One-sided p value of a drop, the larger of the two that `bounds` looks at; nan where it cannot be told."""
        from scipy.special import stdtr  # noqa: PLC0415

        spread = self.spread
        if math.isnan(spread):
            return math.nan
        if not spread:
            return 0.5
        not_below = np.mean(self.samples[~np.isnan(self.samples)] >= 0)
        return max(float(stdtr(self.n_groups - 1, self.value / spread)), float(not_below))

    def minimum_detectable_effect(self, *, tail: float = 0.05) -> float:
        """The smallest true difference that these images show four times out of five; nan where it cannot be told."""
        from scipy.special import stdtrit  # noqa: PLC0415

        spread = self.spread
        if math.isnan(spread):
            return math.nan
        steps = stdtrit(self.n_groups - 1, 1 - tail) + stdtrit(self.n_groups - 1, POWER)
        return min(1.0, float(steps) * spread if spread else 1 - tail ** (1 / self.n_groups))
