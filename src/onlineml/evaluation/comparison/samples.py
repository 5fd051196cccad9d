"""Confidence of a difference of two average precisions on the same images.

Detections are matched once; both models are scored on the same random halves of the groups, each group included with
probability 1/2. The spread of the differences is that of the difference itself (exactly so for sums), and halves of a
set that is scored without repetition do not make its curve more jagged, as a bootstrap's repetitions do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from onlineml.evaluation.comparison.counts import POWER

if TYPE_CHECKING:
    from onlineml.evaluation.types import Floats, Interval

__all__ = ["MIN_GROUPS", "PairedSamples"]

_BEYOND = 5  # halves, at least, on which a quantile rests
MIN_GROUPS = 5  # chance alone favours one of two equal models in all of four groups once in sixteen times


@dataclass(frozen=True, eq=False)
class PairedSamples:
    """A difference of two scores, and its values on random halves of the groups.

    Attributes:
        value: second minus first; nan if either is undefined.
        samples: (B,) float64 differences on the halves; nan where undefined.
        n_groups: number of groups that affect the scores: those with an object of the class.
    """

    value: float
    samples: Floats
    n_groups: int

    @property
    def spread(self) -> float:
        """Standard error of the difference; nan if it is undefined: fewer than half of the halves have a value."""
        defined = self.samples[~np.isnan(self.samples)]
        if math.isnan(self.value) or 2 * len(defined) <= len(self.samples) or self.n_groups < MIN_GROUPS:
            return math.nan
        return float(np.sqrt(np.square(defined - self.value).mean()))

    def to_record(self) -> dict[str, Any]:
        """The evidence as plain JSON values, without the halves."""
        return {"kind": "samples", "difference": self.value, "spread": self.spread, "n_groups": self.n_groups}

    def bounds(self, tail: float) -> Interval:
        """Return low and high bounds of the true difference, each wrong with a probability of about `tail`.

        The wider of Student's t and the quantiles of the halves: for few images, the first is too narrow if a score is
        a mean over rare classes, the second if there are few groups. If no half differs from the whole, nothing has
        changed in G groups, and a bound is Clopper and Pearson's: the largest fraction of changing groups that could
        have remained unobserved.

        Returns:
            In [-1, 1]; (nan, nan) if the spread is undefined.
        """
        from scipy.special import stdtrit  # noqa: PLC0415 - a tenth of a second, needed for detection only

        spread = self.spread
        if math.isnan(spread):
            return math.nan, math.nan
        if not spread:
            unseen = 1 - tail ** (1 / self.n_groups)
            return max(self.value - unseen, -1.0), min(self.value + unseen, 1.0)
        reach = float(stdtrit(self.n_groups - 1, 1 - tail)) * spread
        seen = min(max(tail, _BEYOND / len(self.samples)), 0.25)
        low, high = np.nanquantile(self.samples, (seen, 1 - seen)).tolist()
        if seen > tail:  # too few halves lie beyond: the skewness of those that do is kept
            further = reach / (float(stdtrit(self.n_groups - 1, 1 - seen)) * spread)
            low, high = (self.value + (end - self.value) * further for end in (low, high))
        return max(min(low, self.value - reach), -1.0), min(max(high, self.value + reach), 1.0)

    @property
    def p_drop(self) -> float:
        """One-sided p value of a drop, the larger of the two that `bounds` uses; nan if undefined."""
        from scipy.special import stdtr  # noqa: PLC0415

        spread = self.spread
        if math.isnan(spread):
            return math.nan
        if not spread:
            return 0.5
        not_below = np.mean(self.samples[~np.isnan(self.samples)] >= 0)
        return max(float(stdtr(self.n_groups - 1, self.value / spread)), float(not_below))

    def minimum_detectable_effect(self, *, tail: float = 0.05) -> float:
        """Return the smallest true difference that these images detect with a power of 0.8; nan if undefined."""
        from scipy.special import stdtrit  # noqa: PLC0415

        spread = self.spread
        if math.isnan(spread):
            return math.nan
        steps = stdtrit(self.n_groups - 1, 1 - tail) + stdtrit(self.n_groups - 1, POWER)
        return min(1.0, float(steps) * spread if spread else 1 - tail ** (1 / self.n_groups))
