"""Confidence intervals of the multi-label scores: every resample of the groups weights the same counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onlineml.evaluation.classification.bootstrap import Samples
from onlineml.evaluation.intervals import resample_weights

if TYPE_CHECKING:
    from onlineml.evaluation.classification.bootstrap import Resampled
    from onlineml.evaluation.multilabel.evidence import Evidence
    from onlineml.evaluation.types import Floats

__all__ = ["MAX_WORK", "MIN_RESAMPLES", "rankings_within_reach", "resample"]

MAX_WORK = 2_000_000_000  # products of rankings, at about 4 ns each: 8 s on one core
MIN_RESAMPLES = 100  # minimum for meaningful 2.5th and 97.5th percentiles


def rankings_within_reach(work: int, n_resamples: int) -> int:
    """Return the requested number of resamples of rankings, or fewer for very many images, to limit time.

    Args:
        work: see `Evidence.work`.
        n_resamples: requested number; reduced to 100 at least.
    """
    return min(n_resamples, max(MIN_RESAMPLES, MAX_WORK // max(work, 1)))


def resample(evidence: Evidence, *, n_groups: int, n_bootstrap: int, seed: int) -> Resampled:
    """Return intervals of every score, class and slice from `n_bootstrap` resamples of groups; empty without resamples.

    In simulations of tests with 12 to 30 images of a class, 91 % to 94 % of the intervals of average precision
    contained the mean of such test sets; with 10 images of one class, 88 %.
    """
    samples = Samples()
    n_ranked = rankings_within_reach(evidence.work, n_bootstrap)
    for drawn in resample_weights(n_groups=n_groups, n_bootstrap=n_bootstrap, seed=seed, row_values=evidence.n_levels):
        weights: Floats = np.ascontiguousarray(drawn.T)
        weighted = evidence.under(weights, ranked=n_ranked > 0)
        n_ranked -= weights.shape[1]
        for noted, values in (
            (samples.scores, weighted.scores),
            (samples.per_class, weighted.per_class),
            (samples.slices, weighted.slices),
        ):
            for name, value in values.items():
                noted.setdefault(name, []).append(value)
    return samples.resampled()
