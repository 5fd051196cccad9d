"""Bounds of a difference of accuracies against enumeration, published tests and a likelihood that is maximised anew."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from late import Late
from onlineml.evaluation.comparison.counts import (
    PairedCounts,
    _tango,
    mcnemar,
    paired_counts,
    sign_flip_p,
)
from onlineml.evaluation.comparison.tails import mid_quantiles

optimize, stats = Late("scipy.optimize"), Late("scipy.stats")


def single(broken, fixed, n_images):
    won, lost = np.zeros((2, n_images), np.int64)
    won[:fixed] = 1
    lost[fixed : fixed + broken] = 1
    return PairedCounts(won, lost, np.ones(n_images, np.int64))


def test_no_images_have_no_bounds():
    nothing = paired_counts(np.zeros(0, bool), np.zeros(0, bool), np.zeros(0, np.int64))

    assert math.isnan(nothing.value)
    assert all(math.isnan(bound) for bound in nothing.bounds(0.05))
    assert math.isnan(nothing.minimum_detectable_effect())


def test_counts_go_by_group():
    a = np.array([1, 1, 0, 0, 1], bool)
    b = np.array([0, 1, 1, 0, 1], bool)

    counts = paired_counts(a, b, np.array([7, 7, 3, 3, 9]))

    assert counts.fixed.tolist() == [1, 0, 0]
    assert counts.broken.tolist() == [0, 1, 0]
    assert counts.sizes.tolist() == [2, 2, 1]
    assert counts.value == 0


@given(st.integers(0, 60), st.integers(0, 60))
@settings(deadline=None)
def test_mcnemar_is_the_binomial_test(fixed, broken):
    found = mcnemar(fixed, broken)
    n, few = fixed + broken, min(fixed, broken)
    exact = stats.binomtest(few, n).pvalue if n else 1.0
    mid = min(1.0, 2 * stats.binom.cdf(few - 1, n, 0.5) + stats.binom.pmf(few, n, 0.5)) if n else 1.0

    assert found.p_exact == pytest.approx(exact, abs=1e-12)
    assert found.p_mid == pytest.approx(mid, abs=1e-12)


def test_mcnemar_of_thousands_of_flips():
    found = mcnemar(5_200, 4_800)

    assert found.p_exact == pytest.approx(stats.binomtest(4_800, 10_000).pvalue, rel=1e-9)


@given(st.lists(st.integers(-4, 4), min_size=1, max_size=9))
@settings(deadline=None)
def test_the_sign_flip_test_is_its_enumeration(sums):
    signs = np.array(list(itertools.product((-1, 1), repeat=len(sums))))
    flipped, seen = signs @ np.array(sums), sum(sums)
    expected = np.mean(flipped > seen) + np.mean(flipped == seen) / 2 + 0.5 ** (len(sums) + 1)

    assert sign_flip_p(np.array(sums), n_groups=len(sums)) == pytest.approx(min(1.0, expected), abs=1e-12)


def test_mid_quantiles_by_hand():
    # steps 0, 0.5 and 1 with middles at a quarter, five eighths and seven eighths of the mass
    values = np.array([0, 0, 0.5, 1.0])

    assert mid_quantiles(values, [0.25, 0.625, 0.875]) == [0.0, 0.5, 1.0]
    assert mid_quantiles(values, [0.01, 0.4375, 0.99]) == [0.0, 0.25, 1.0]


def test_halves_are_all_subsets_of_the_groups():
    """Ten videos of different lengths: the drawn bounds against all 1,023 subsets."""
    rng = np.random.default_rng(4)
    sizes = rng.integers(5, 15, 10)
    won = rng.binomial(sizes, 0.4)
    counts = PairedCounts(won, rng.binomial(sizes - won, 0.4), sizes, n_resamples=400_000)
    chosen = np.array(list(itertools.product((0, 1), repeat=10)))[1:]
    means = (chosen @ (counts.fixed - counts.broken)) / (chosen @ sizes)
    share = (0.05 - 0.5**10) / (1 - 0.5**10)

    low, high = mid_quantiles(counts._half_means(), (share, 1 - share))

    assert low == pytest.approx(np.quantile(means, share), abs=0.004)
    assert high == pytest.approx(np.quantile(means, 1 - share), abs=0.004)


@pytest.mark.parametrize(("broken", "fixed"), [(4, 12), (5, 11), (0, 4), (0, 5), (12, 20), (60, 100), (3, 3)])
def test_a_bound_above_zero_is_a_sign_flip_test_that_rejects(broken, fixed):
    counts = single(broken, fixed, 600)
    p = sign_flip_p(counts.fixed - counts.broken, n_groups=600)

    assert (counts.bounds(0.05)[0] > 0) == (p < 0.05)
    assert (counts.bounds(0.001)[0] > 0) == (p < 0.001)


@given(st.integers(0, 20), st.integers(0, 20), st.integers(60, 400), st.floats(-0.3, -0.001))
@settings(deadline=None, max_examples=60)
def test_the_score_statistic_is_that_of_a_likelihood_maximised_numerically(lost, won, n, difference):
    """Tango's closed form against the multinomial likelihood under p(won) - p(lost) = difference."""
    rest = n - lost - won

    def minus_log(p_lost):
        shares = np.array([p_lost, p_lost + difference, 1 - 2 * p_lost - difference])
        counted = np.array([lost, won, rest])
        return -float(np.sum(counted * np.log(np.maximum(shares, 1e-15))))

    low, high = -difference, (1 - difference) / 2
    best = optimize.minimize_scalar(minus_log, bounds=(low, high), method="bounded", options={"xatol": 1e-12}).x
    variance = n * (2 * best + difference - difference**2)

    assert _tango(lost, won, n, difference) == pytest.approx(
        (won - lost - n * difference) / math.sqrt(variance), abs=5e-3
    )


def test_where_nothing_changed_the_bound_is_that_of_breaks_that_were_not_seen():
    low, high = single(0, 0, 300).bounds(0.05)

    assert low == pytest.approx(-(1 - 0.05 ** (1 / 300)))
    assert high == -low
    # twenty videos in which nothing changed say as little as twenty images
    videos = PairedCounts(*np.zeros((2, 20), np.int64), np.full(20, 10))
    assert videos.bounds(0.05)[0] == pytest.approx(-(1 - 0.05 ** (1 / 20)))


def test_four_groups_say_nothing():
    four = PairedCounts(np.full(4, 9), np.zeros(4, np.int64), np.full(4, 10))
    five = PairedCounts(np.full(5, 9), np.zeros(5, np.int64), np.full(5, 10))

    assert four.bounds(0.05) == (-1.0, 1.0)
    assert five.bounds(0.05)[0] > 0


@given(st.integers(0, 15), st.integers(0, 15), st.integers(0, 1000))
@settings(deadline=None, max_examples=30)
def test_swapping_the_models_mirrors_everything(broken, fixed, seed):
    rng = np.random.default_rng(seed)
    order = rng.integers(0, 25, 100)
    one, other = (paired_counts(*pair, order) for pair in _rights(broken, fixed))

    low, high = one.bounds(0.05)

    # few changes make coarse steps, within which twenty thousand halves of either model fall a little differently
    assert other.bounds(0.05) == (pytest.approx(-high, abs=6e-3), pytest.approx(-low, abs=6e-3))
    assert low <= one.value <= high
    assert one.minimum_detectable_effect() == pytest.approx(other.minimum_detectable_effect())
    wide = one.bounds(0.025)
    assert wide[0] <= low
    assert wide[1] >= high


def _rights(broken, fixed):
    a, b = np.ones((2, 100), bool)
    b[:broken] = False
    a[broken : broken + fixed] = False
    return (a, b), (b, a)


def test_many_groups_of_many_sizes_stay_quick_and_sound():
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 400, 3_000)
    counts = PairedCounts(rng.binomial(sizes, 0.05), rng.binomial(sizes, 0.04), sizes)

    low, high = counts.bounds(0.025)
    residuals = counts.fixed - counts.broken - counts.value * sizes
    spread = math.sqrt(np.square(residuals).sum()) / sizes.sum()

    assert low == pytest.approx(counts.value - 1.96 * spread, abs=2e-4)
    assert high == pytest.approx(counts.value + 1.96 * spread, abs=2e-4)
    assert counts.p_drop == pytest.approx(stats.norm.cdf(-counts.value / spread) * -1 + 1, abs=1e-3)
