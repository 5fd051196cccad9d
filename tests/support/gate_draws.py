"""Simulated test sets: which images a challenger fixes and breaks, and what the gate makes of it."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

from onlineml.evaluation.comparison.counts import PairedCounts, sign_flip_p
from onlineml.evaluation.comparison.tails import flip_tail
from onlineml.improving.gate.decide import verdict_of

if TYPE_CHECKING:
    from onlineml.evaluation.comparison.samples import PairedSamples
    from onlineml.improving.gate.policy import Better, NotWorse, Policy

_RESAMPLES = (
    1_000  # a twentieth of what the gate draws; the seeds differ, so that their errors even out over the test sets
)


def draws(rng, *, n_draws: int, n_groups: int, frames: int, broken: float, fixed: float, alike: float) -> np.ndarray:
    """(n_draws, n_groups, 2) int64 numbers of broken and fixed frames.

    Args:
        rng: numpy's generator.
        n_draws: test sets.
        n_groups: videos of each.
        frames: of a video.
        broken: share of the images that the challenger breaks.
        fixed: share that it fixes.
        alike: correlation of two frames of one video: 0 are independent, 1 share one fate.
    """
    shares = np.array([broken, fixed, 1 - broken - fixed])
    if alike == 0:
        return rng.multinomial(frames, shares, (n_draws, n_groups))[..., :2]
    if alike == 1:
        return frames * rng.multinomial(1, shares, (n_draws, n_groups))[..., :2]
    own = rng.gamma(shares * (1 / alike - 1), size=(n_draws, n_groups, 3)) + 1e-300  # Dirichlet: a video's own shares
    own /= own.sum(axis=-1, keepdims=True)
    lost = rng.binomial(frames, own[..., 0])
    won = rng.binomial(frames - lost, np.clip(own[..., 1] / (1 - own[..., 0] + 1e-12), 0, 1))
    return np.stack([lost, won], axis=-1)


def promotes_at(evidence: PairedCounts | PairedSamples, policy: Policy, tail: float) -> bool:
    if (
        isinstance(evidence, PairedCounts) and tail < 0.01 and not policy.floor
    ):  # the bound's sign alone, without search
        values, counts = np.unique(evidence.fixed - evidence.broken, return_counts=True)
        p = sign_flip_p(evidence.fixed - evidence.broken, n_groups=evidence.n_groups, ties=1)
        return evidence.value > 0 and p <= tail and flip_tail(values, counts) < tail
    lower, upper = evidence.bounds(tail)  # the upper bound only tells "reject" from "inconclusive"
    return verdict_of(policy, evidence.value, lower, max(upper, 0))[0] == "promote"


def promotes(counts: PairedCounts, policy: Policy) -> bool:
    return promotes_at(counts, policy, 1 - policy.level)


def single(broken: int, fixed: int, n_images: int, **options: int) -> PairedCounts:
    """Images that each stand alone."""
    won, lost = np.zeros((2, n_images), np.int64)
    won[:fixed] = 1
    lost[fixed : fixed + broken] = 1
    return PairedCounts(won, lost, np.ones(n_images, np.int64), **options)


@functools.cache
def _single_promotes(broken: int, fixed: int, n_images: int, policy: Better | NotWorse) -> bool:
    counts = single(broken, fixed, n_images, n_resamples=_RESAMPLES, seed=1_000 * broken + fixed)
    return promotes(counts, policy)


def _judged(table: np.ndarray, n_images: int, policy: Policy) -> float:
    outcomes, times = np.unique(table, axis=0, return_counts=True)
    promoted = [_single_promotes(lost, won, n_images, policy) for lost, won in outcomes.tolist()]
    return float(times[promoted].sum() / times.sum())


def rate_of_single(
    policy: Policy, *, n_images: int, broken: float, fixed: float, n_draws: int = 10_000, seed: int = 0
) -> float:
    """Share of the test sets of single images on which the challenger is promoted; each outcome is judged once."""
    rng = np.random.default_rng(seed)
    return _judged(rng.multinomial(n_images, [broken, fixed, 1 - broken - fixed], n_draws)[:, :2], n_images, policy)


def rate_of_groups(
    policy: Policy,
    *,
    n_groups: int,
    broken: float,
    fixed: float,
    alike: float = 0.5,
    frames: int = 10,
    grouped: bool = True,
    n_draws: int = 1_000,
    seed: int = 0,
) -> float:
    """The same of test sets of videos; ``grouped=False`` takes their frames for single images."""
    rng = np.random.default_rng(seed)
    tables = draws(rng, n_draws=n_draws, n_groups=n_groups, frames=frames, broken=broken, fixed=fixed, alike=alike)
    if not grouped:
        return _judged(tables.sum(axis=1), n_groups * frames, policy)
    sizes = np.full(n_groups, frames)
    promoted = [
        promotes(PairedCounts(won, lost, sizes, n_resamples=_RESAMPLES, seed=place), policy)
        for place, (lost, won) in enumerate(np.moveaxis(tables, 2, 1))
    ]
    return float(np.mean(promoted))
