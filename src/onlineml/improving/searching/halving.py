"""Successive halving: many candidates for a short time, the better third of them for three times as long, and so on.

Jamieson and Talwalkar, Non-stochastic Best Arm Identification and Hyperparameter Optimization, AISTATS 2016; the factor
of three is that of Hyperband (Li et al., JMLR 2018). Written here because time, not epochs, is what is divided, which
the libraries for it do not do: a slower network gets fewer epochs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["affordable", "survivors", "trial_seconds", "widths"]

_KEEP = 3  # one in so many goes on
_MOST = 27  # candidates that are drawn


def widths(n: int) -> list[int]:
    """Numbers of candidates in each round for ``n`` >= 1 at first: ``[9, 3, 1]``; the last is one."""
    found = [n]
    while found[-1] > 1:
        found.append(-(-found[-1] // _KEEP))
    return found


def affordable(budget_s: float, *, least_s: float) -> int:
    """The number of candidates, 1, 3, 9 or 27, of which each gets at least ``least_s`` seconds in the first round."""
    n = 1
    while n < _MOST and budget_s / (len(widths(_KEEP * n)) * _KEEP * n) >= least_s:
        n *= _KEEP
    return n


def trial_seconds(left_s: float, remaining: Sequence[int], *, scoring_s: float) -> float:
    """Seconds of training of each candidate of the next round.

    Args:
        left_s: of the budget.
        remaining: `widths` of this round and those to come: rounds get equal shares of the time.
        scoring_s: seconds that scoring one candidate takes.
    """
    return max(left_s / len(remaining) / remaining[0] - scoring_s, 1.0)


def survivors(scores: Sequence[float | None], n: int) -> list[int]:
    """Indices of the ``n`` highest scores, the best first; of equal ones the first. Those of None are left out."""
    there = [(-score, i) for i, score in enumerate(scores) if score is not None]
    return [i for _, i in sorted(there)[:n]]
