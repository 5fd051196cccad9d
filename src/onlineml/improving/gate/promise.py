"""The promise over the life of a test set: how much of the gate's error rate each look at it may spend.

Looks at one test set share its images, and each challenger is another model, so that nothing is known of their joint
distribution: a product of bets over nights (an e-process) needs new images every night, and looks that were independent
would be wrong at their own rates. Only the union bound holds whatever the dependence: the rates of all looks are fixed
in advance, and sum to that of the promise (alpha spending; Lan and DeMets, Discrete sequential boundaries for clinical
trials, Biometrika 1983). The schedule has no end. One half is spent quickly, so that a project that looks a few times
has powerful tests; the other evenly over about the first hundred looks, so that a gain that comes late is found.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FIRST_LOOK", "Look"]

_EVEN = 100  # looks over which half of the second half is spent


@dataclass(frozen=True)
class Look:
    """One look at a test set.

    Attributes:
        number: in the life of the test set, from 1.
        n_not_worse: earlier promotions in this life that were shown to be not worse, not to be better.
    """

    number: int
    n_not_worse: int = 0

    @property
    def share(self) -> float:
        """Share of the promise that this look spends; over all looks they sum to 1."""
        t = self.number
        return 0.5 / (t * (t + 1)) + 0.5 * _EVEN / ((t + _EVEN - 1) * (t + _EVEN))

    @property
    def spent(self) -> float:
        """Share of the promise that is spent after this look."""
        t = self.number
        return 0.5 * t / (t + 1) + 0.5 * t / (t + _EVEN)


FIRST_LOOK = Look(1)
