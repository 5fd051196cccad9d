"""Simulated projects that look every night: on which night, if ever, the gate first promotes.

The figures of docs/improve/many_nights.md come from these functions, with more projects.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from detection_draws import means, ranking
from gate_draws import draws, promotes_at
from onlineml.evaluation.comparison.counts import PairedCounts, half_weights
from onlineml.evaluation.comparison.samples import PairedSamples
from onlineml.improving.gate.policy import Better
from onlineml.improving.gate.promise import Look

if TYPE_CHECKING:
    from onlineml.improving.gate.policy import Policy

NEVER = 1_000_000
ONCE = 0.05


def tails_of(n_nights: int, *, spends: bool) -> np.ndarray:
    """(n_nights,) rate of each look; ``spends=False`` is a gate that forgets its earlier looks."""
    return np.array([ONCE * (Look(night).share if spends else 1.0) for night in range(1, n_nights + 1)])


def clopper_pearson(n_seen: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a share."""
    low = stats.beta.ppf(0.025, n_seen, n - n_seen + 1) if n_seen else 0.0
    high = stats.beta.ppf(0.975, n_seen + 1, n - n_seen) if n_seen < n else 1.0
    return float(low), float(high)


def shares(gain: float, disagreement: float = 0.08) -> list[float]:
    """Of broken, fixed and other images."""
    return [disagreement / 2 - gain / 2, disagreement / 2 + gain / 2, 1 - disagreement]


def counts_of_nights(rng, *, n_projects: int, n_nights: int, n_images: int, gain: float, alike: float) -> np.ndarray:
    """(n_projects, n_nights, 2) broken and fixed images; an image keeps its fate over night at a chance of `alike`."""
    if alike == 0:
        return rng.multinomial(n_images, shares(gain), (n_projects, n_nights))[..., :2]
    edges = np.cumsum(shares(gain))[:2].astype(np.float32)
    fates = np.searchsorted(edges, rng.random((n_projects, n_images), np.float32)).astype(np.int8)
    nights = np.empty((n_projects, n_nights, 2), np.int64)
    for night in range(n_nights):
        if night:
            fresh = np.searchsorted(edges, rng.random((n_projects, n_images), np.float32)).astype(np.int8)
            fates = np.where(rng.random((n_projects, n_images), np.float32) < alike, fates, fresh)
        nights[:, night] = np.stack([(fates == kind).sum(axis=1) for kind in (0, 1)], axis=1)
    return nights


@functools.cache
def _single_decides(broken: int, fixed: int, n_images: int, policy: Policy, tail: float) -> bool:
    zeros = n_images - broken - fixed
    record = {"groups": [[1, 0, 1, fixed], [0, 1, 1, broken], [0, 0, 1, zeros]], "n_resamples": 4_000, "seed": 0}
    return promotes_at(PairedCounts.from_record(record), policy, tail)


def first_promotions(nights: np.ndarray, n_images: int, *, policy: Policy, spends: bool) -> np.ndarray:
    """(n_projects,) night of the first promotion on test sets of single images, from 1; `NEVER` for none."""
    tails = tails_of(nights.shape[1], spends=spends)
    broken, fixed = nights[..., 0], nights[..., 1]
    n = np.maximum(broken + fixed, 1)
    # what may be promoted, by the normal distribution, with much to spare; the gate itself decides on it
    low = (fixed - broken + n_images * -policy.floor) / np.sqrt(n + n_images * -policy.floor)
    maybe = (low > 0.9 * stats.norm.isf(tails)) & (fixed >= broken)
    first = np.full(len(nights), NEVER)
    for project, night in np.argwhere(maybe).tolist():
        if first[project] == NEVER:
            lost, won = nights[project, night].tolist()
            if _single_decides(lost, won, n_images, policy, float(tails[night])):
                first[project] = night + 1
    return first


def first_decisions(
    *,
    n_projects: int,
    n_nights: int,
    n_tested: int,
    n_pool: int,
    n_asked: int,
    gain: float,
    alike: float,
    seed: int = 0,
) -> tuple[np.ndarray, float]:
    """The same where each night photos are asked for in a fixed order, until two models differ on `n_asked` of them.

    Returns:
        (n_projects,) night of the first promotion, and the mean number of photos that decided.
    """
    rng, tails = np.random.default_rng(seed), tails_of(n_nights, spends=True)
    edges, size = np.cumsum(shares(gain))[:2], (n_projects, n_tested + n_pool)
    fates, first, seen = np.searchsorted(edges, rng.random(size)), np.full(n_projects, NEVER), []
    for night in range(n_nights):
        if night:
            fates = np.where(rng.random(size) < alike, fates, np.searchsorted(edges, rng.random(size)))
        differs = np.cumsum(fates[:, n_tested:] < 2, axis=1)
        ends = n_tested + np.minimum((differs < n_asked).sum(axis=1) + 1, n_pool)
        seen.append(ends.mean())
        for project in np.flatnonzero(first == NEVER).tolist():
            lost, won, _ = np.bincount(fates[project, : ends[project]], minlength=3).tolist()
            if won > lost and _single_decides(lost, won, int(ends[project]), Better(), float(tails[night])):
                first[project] = night + 1
    return first, float(np.mean(seen))


def first_promotions_of_groups(
    *,
    n_projects: int,
    n_nights: int,
    n_groups: int,
    frames: int = 10,
    gain: float = 0.0,
    alike: float = 0.5,
    policy: Policy | None = None,
    spends: bool = True,
    seed: int = 0,
) -> np.ndarray:
    """The same of test sets of videos; challengers of different nights are independent."""
    rng, policy = np.random.default_rng(seed), policy or Better()
    tails = tails_of(n_nights, spends=spends)
    broken, fixed, _ = shares(gain)
    first = np.full(n_projects, NEVER)
    sizes = np.full(n_groups, frames)
    for project in range(n_projects):
        table = draws(rng, n_draws=n_nights, n_groups=n_groups, frames=frames, broken=broken, fixed=fixed, alike=alike)
        sums = (table[..., 1] - table[..., 0]).astype(np.float64)
        z = sums.sum(axis=1) / np.sqrt(np.maximum(np.square(sums).sum(axis=1), 1))
        for night in np.flatnonzero(z > 0.85 * stats.norm.isf(tails)).tolist():
            lost, won = table[night].T
            if promotes_at(PairedCounts(won, lost, sizes, n_resamples=4_000), policy, float(tails[night])):
                first[project] = night + 1
                break
    return first


def first_promotions_of_detectors(
    *,
    n_projects: int,
    n_nights: int,
    n_groups: int,
    frames: int = 1,
    gain: float = 0.0,
    spends: bool = True,
    seed: int = 0,
) -> np.ndarray:
    """The same of detectors by AP50-95, each night another challenger of the same champion on the same images."""
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(n_groups), frames)
    tails, ones = tails_of(n_nights, spends=spends), np.ones((1, len(codes)))
    first = np.full(n_projects, NEVER)
    for project in range(n_projects):
        image = np.repeat(np.arange(len(codes)), rng.poisson(3, len(codes)))
        truth = image, rng.integers(0, 3, len(image)), rng.normal(size=len(image))
        halves = next(half_weights(n_groups=n_groups, n_resamples=300, seed=project))[:, codes]

        def model(shift, truth=truth):
            habits = rng.normal(size=n_groups) * (0.5 if frames > 1 else 0.0)
            return ranking(rng, truth, shift, habits[codes])

        champion = model(0.0)
        whole, drawn = means(champion, ones)[0, 0], means(champion, halves)[:, 0]
        spread = 0.0
        for night in range(n_nights):
            challenger = model(gain)
            value = means(challenger, ones)[0, 0] - whole
            if spread and value < 0.5 * stats.norm.isf(tails[night]) * spread:
                continue
            evidence = PairedSamples(float(value), means(challenger, halves)[:, 0] - drawn, n_groups)
            spread = spread or evidence.spread
            if promotes_at(evidence, Better(), float(tails[night])):
                first[project] = night + 1
                break
    return first


def false_after_a_gain(*, n_projects: int, n_nights: int, n_images: int, gain: float, seed: int = 0) -> float:
    """Share of projects with a promotion without a difference, where the first challenger is truly better.

    From night 2 on, each challenger is as good as the champion of the day: it keeps its answers but for 8 %.
    """
    rng = np.random.default_rng(seed)
    tails, accuracy = tails_of(n_nights, spends=True), np.full(n_projects, 0.85)
    right = rng.random((n_projects, n_images)) < 0.85
    wrong, replaced = np.zeros(n_projects, bool), np.zeros(n_projects, bool)
    for night in range(n_nights):
        own = gain if night == 0 else 0.0
        broken, fixed, _ = shares(own)
        chance = np.where(right, broken / accuracy[:, None], fixed / (1 - accuracy[:, None]))
        flips = rng.random(right.shape) < chance
        lost, won = (flips & right).sum(axis=1), (flips & ~right).sum(axis=1)
        maybe = np.flatnonzero((won - lost) > 0.9 * stats.norm.isf(tails[night]) * np.sqrt(np.maximum(won + lost, 1)))
        for project in maybe.tolist():
            if _single_decides(int(lost[project]), int(won[project]), n_images, Better(), float(tails[night])):
                right[project] ^= flips[project]
                wrong[project] |= own == 0
                replaced[project] = True
                accuracy[project] += own
    return float(wrong.mean())
