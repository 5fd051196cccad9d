"""Conformal thresholds: scores from which answers count, so that a named share of the truth is missed, and no more.

A *unit* is what is drawn independently: a group of photos, or a photo that has none. Its loss at a threshold is the
share, 0..1, of what it shows of a class (photos, labels or objects) whose score is lower. Conformal risk control takes
the highest threshold at which the losses of the n units of validation, plus b for the unit to come, are at most
``rate * (n + 1)``. With b = 1, the highest loss that there is, the expected loss of a further unit is at most the rate,
whatever the model and the photos (Angelopoulos, Bates, Fisch, Lei and Schuster 2022, theorem 1; for units of one photo
split conformal prediction, for groups that of Lee, Barber and Willett 2023).

Here b is drawn between 0 and 1, once for each class, as for smoothed p-values (Vovk, Gammerman and Shafer 2005). Where
each unit shows one thing, the expected loss is then the rate itself; with b = 1, a rate of 0.05 and 25 photos it would
be 1/26. Where units show several, it is at most ``rate + 1 / (2 * (n + 1))`` by the same theorem, since b is 1/2 on
average; in simulations it is below the rate by a fraction of 1 / (n + 1).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import msgspec
import numpy as np
from msgspec import Meta

if TYPE_CHECKING:
    from onlineml.evaluation.types import Floats, Ints

__all__ = ["Curve", "curve_of", "units_needed"]

_HIGHEST = 0.5  # of the rates that may be asked for
_ALL_UP_TO = 100  # of the lowest scores all are kept, then every fiftieth: a rate of 0.1 is met within 0.002
_ROUNDING = 1e-9  # of sums of shares

_Score = Annotated[float, Meta(ge=0, le=1)]
_Sum = Annotated[float, Meta(ge=0, le=1e12)]


def units_needed(rate: float) -> int:
    """Return the number of units without which no threshold can be given for a rate: 19 for 0.05, 99 for 0.01."""
    return math.ceil(1 / rate - _ROUNDING) - 1


class Curve(msgspec.Struct, frozen=True):
    """Losses of a class at the thresholds that matter.

    Attributes:
        units: n, the independent units that show the class.
        shown: photos, labels or objects of the class in them.
        scores: thresholds, ascending.
        lost: sum of the units' losses at each.
        false: false answers of the class per photo at each.
    """

    units: Annotated[int, Meta(ge=0)]
    shown: Annotated[int, Meta(ge=0)]
    scores: list[_Score]
    lost: list[_Sum]
    false: list[_Sum]

    def __post_init__(self) -> None:
        if not len(self.scores) == len(self.lost) == len(self.false):
            raise ValueError("expected as many sums as scores")

    def is_enough(self, rate: float) -> bool:
        """Return whether there are enough units for a rate, see `units_needed`."""
        return self.units >= units_needed(rate)

    @property
    def lowest_rate(self) -> float:
        """The lowest rate that can be asked for: 1 / (n + 1), or more where objects are missed at every threshold."""
        lost = self.lost[0] if self.lost else float(self.units)
        return (lost + 1) / (self.units + 1)

    def place(self, rate: float, drawn: float) -> int | None:
        """Return the place among `scores` of the threshold for a rate; None if every threshold loses more.

        Args:
            rate: share that may be missed, 0..0.5.
            drawn: a number in 0..1 that was drawn once for the class; 1 is on the safe side.
        """
        allowed = rate * (self.units + 1) - drawn
        found = int(np.searchsorted(self.lost, allowed + _ROUNDING, side="right")) - 1
        return found if found >= 0 else None


def curve_of(scores: Floats, units: Ints, answers: Floats, *, n_photos: int) -> Curve:
    """Compute the curve of a class.

    Args:
        scores: (n,) score of each photo, label or object of the class, 0..1; -1 for one that no answer found.
        units: (n,) int64, the unit of each.
        answers: (m,) scores of all answers of the class, those to ``scores`` and false ones.
        n_photos: number of photos that were looked at.
    """
    scores = np.asarray(scores, np.float64)
    _, codes, sizes = np.unique(units, return_inverse=True, return_counts=True)
    order = np.argsort(scores, kind="stable")
    rising = scores[order]
    before = np.concatenate([[0.0], np.cumsum(1.0 / sizes[codes[order]])])
    levels = np.unique(rising[rising >= 0])
    lost = before[np.searchsorted(rising, levels)]
    kept = _thinned(int(np.searchsorted(lost, _HIGHEST * (len(sizes) + 1), side="right")))
    levels, lost = levels[kept], lost[kept]
    given = np.sort(np.asarray(answers, np.float64))
    n_given = len(given) - np.searchsorted(given, levels)
    false = (n_given - (len(rising) - np.searchsorted(rising, levels))) / max(1, n_photos)
    return Curve(
        units=len(sizes),
        shown=len(scores),
        scores=levels.tolist(),
        lost=lost.tolist(),
        false=np.maximum(false, 0.0).round(6).tolist(),
    )


def _thinned(n: int) -> Ints:
    """Return places among ``n``: all of the first, then ever fewer; in place of one left out a lower one is chosen."""
    places = np.arange(min(n, _ALL_UP_TO))
    if n > _ALL_UP_TO:
        more = math.ceil(math.log(n / _ALL_UP_TO) / math.log(1.02))
        places = np.append(places, np.geomspace(_ALL_UP_TO, n - 1, max(2, more)).astype(np.int64))
    return np.unique(places).astype(np.int64)
