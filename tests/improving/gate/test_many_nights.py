"""A hundred nights of the gate: rarely a wrong promotion in all of them together, and gains that are still found."""

from __future__ import annotations

import numpy as np
import pytest

from gate_draws import promotes_at
from night_draws import (
    clopper_pearson,
    counts_of_nights,
    false_after_a_gain,
    first_decisions,
    first_promotions,
    first_promotions_of_detectors,
    first_promotions_of_groups,
    tails_of,
)
from onlineml.evaluation.comparison.counts import PairedCounts
from onlineml.improving.gate.policy import Better, NotWorse
from onlineml.improving.gate.promise import Look

NIGHTS = 100


def share_of(first, *, within):
    """The share of projects with a promotion, and its Clopper-Pearson interval."""
    n = int((first <= within).sum())
    return n / len(first), *clopper_pearson(n, len(first))


def test_the_rates_of_all_looks_sum_to_the_promise():
    shares = [Look(t).share for t in range(1, 20_001)]

    np.testing.assert_allclose(np.cumsum(shares), [Look(t).spent for t in range(1, 20_001)])
    assert np.all(np.diff(shares) < 0)
    assert 0.99 < sum(shares) < 1


@pytest.mark.parametrize("tail", [0.004, 2e-4])
def test_the_simulation_decides_as_the_bound_does(tail):
    rng = np.random.default_rng(0)
    lost, won = rng.multinomial(5, [0.03, 0.12, 0.85], (12, 60))[..., :2].transpose(2, 0, 1)
    several = [PairedCounts(w, b, np.full(60, 5)) for b, w in zip(lost, won, strict=True)]

    decided = [promotes_at(counts, Better(), tail) for counts in several]

    assert decided == [counts.bounds(tail)[0] > 0 for counts in several]
    assert {True, False} == set(decided)


def test_a_hundred_nights_without_a_difference_promote_rarely_and_a_gain_is_found():
    rng = np.random.default_rng(0)
    equal = counts_of_nights(rng, n_projects=300, n_nights=NIGHTS, n_images=1000, gain=0.0, alike=0)
    better = counts_of_nights(rng, n_projects=100, n_nights=30, n_images=1000, gain=0.04, alike=0)

    wrong = share_of(first_promotions(equal, 1000, policy=Better(), spends=True), within=NIGHTS)
    forgetful = share_of(first_promotions(equal[:40], 1000, policy=Better(), spends=False), within=NIGHTS)
    found = share_of(first_promotions(better, 1000, policy=Better(), spends=True), within=30)

    assert wrong[1] <= 0.05
    assert wrong[0] <= 0.06
    assert forgetful[0] > 0.9
    assert found[0] >= 0.8


def test_photos_that_are_asked_for_until_enough_differ_keep_the_promise_and_find_a_gain():
    fixed = {"n_tested": 50, "n_pool": 1000, "n_asked": 40}
    equal, _ = first_decisions(n_projects=150, n_nights=30, gain=0.0, alike=0.9, **fixed)
    better, n_seen = first_decisions(n_projects=100, n_nights=1, gain=0.05, alike=0, **fixed)

    wrong, found = share_of(equal, within=30), share_of(better, within=1)

    assert wrong[1] <= 0.05, wrong
    assert wrong[0] <= 0.06, wrong
    assert found[0] >= 0.6, found
    assert 450 < n_seen < 650


@pytest.mark.slow
@pytest.mark.parametrize("n_images", [300, 1000, 3000])
@pytest.mark.parametrize("alike", [0.0, 0.9])
def test_single_images_over_a_hundred_nights(n_images, alike):
    rng = np.random.default_rng(n_images)
    nights = counts_of_nights(rng, n_projects=1000, n_nights=NIGHTS, n_images=n_images, gain=0.0, alike=alike)

    wrong = share_of(first_promotions(nights, n_images, policy=Better(), spends=True), within=NIGHTS)

    assert wrong[2] <= 0.05, wrong


@pytest.mark.slow
def test_a_gain_of_four_points_is_found_within_thirty_nights():
    for alike in (0.0, 0.9):
        rng = np.random.default_rng(1)
        nights = counts_of_nights(rng, n_projects=1000, n_nights=30, n_images=1000, gain=0.04, alike=alike)

        assert share_of(first_promotions(nights, 1000, policy=Better(), spends=True), within=30)[1] >= 0.8


@pytest.mark.slow
def test_what_is_worse_by_the_margin_is_not_called_not_worse_in_a_hundred_nights():
    rng = np.random.default_rng(5)
    nights = counts_of_nights(rng, n_projects=1000, n_nights=NIGHTS, n_images=1000, gain=-0.01, alike=0)

    wrong = share_of(first_promotions(nights, 1000, policy=NotWorse(0.01), spends=True), within=NIGHTS)

    assert wrong[1] <= 0.05, wrong


@pytest.mark.slow
@pytest.mark.parametrize("n_groups", [30, 100])
def test_videos_over_a_hundred_nights(n_groups):
    first = first_promotions_of_groups(n_projects=600, n_nights=NIGHTS, n_groups=n_groups, seed=n_groups)

    wrong = share_of(first, within=NIGHTS)

    assert wrong[1] <= 0.05, wrong


@pytest.mark.slow
@pytest.mark.parametrize(("n_groups", "frames"), [(60, 1), (20, 5)])
def test_detectors_over_a_hundred_nights(n_groups, frames):
    first = first_promotions_of_detectors(n_projects=200, n_nights=NIGHTS, n_groups=n_groups, frames=frames)

    wrong = share_of(first, within=NIGHTS)

    assert wrong[1] <= 0.05, wrong


@pytest.mark.slow
def test_after_a_true_promotion_the_new_champion_is_not_replaced_without_a_difference():
    assert false_after_a_gain(n_projects=1000, n_nights=NIGHTS, n_images=1000, gain=0.04) <= 0.05


def test_the_rates_of_a_forgetful_gate_do_not_fall():
    assert tails_of(3, spends=False).tolist() == pytest.approx([0.05] * 3)
