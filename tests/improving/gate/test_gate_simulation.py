"""How often the gate is wrong, on thousands of simulated test sets (accuracy .85, the models disagree on 8 %).

The figures of docs/improve/improve.md come from these functions, with more draws.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from detection_draws import rates as detection_rates
from gate_draws import rate_of_groups, rate_of_single, single
from multilabel_draws import rates as multilabel_rates
from onlineml.evaluation.comparison.counts import PairedCounts
from onlineml.improving.gate.policy import Better, NotWorse

ALLOWED = 0.055


def with_chance(rate: float, n_draws: int) -> float:
    """A rate that is seen in `n_draws` draws of this true rate at most once in forty times."""
    return rate + 2 * math.sqrt(rate * (1 - rate) / n_draws)


@pytest.mark.parametrize("n_images", [200, 500, 2000])
@pytest.mark.parametrize("seed", [0, 1])
def test_equal_models_are_promoted_at_most_as_often_as_the_level_says(n_images, seed):
    rate = rate_of_single(Better(), n_images=n_images, broken=0.04, fixed=0.04, seed=seed)

    assert 0.035 < rate <= ALLOWED  # a gate that never promotes would be no gate


def test_a_worse_model_is_hardly_ever_promoted():
    assert rate_of_single(Better(), n_images=500, broken=0.05, fixed=0.03) <= 0.01


def test_a_better_model_is_promoted_where_there_are_enough_images():
    assert rate_of_single(Better(), n_images=2000, broken=0.03, fixed=0.05) >= 0.9


@pytest.mark.parametrize("n_images", [200, 500, 2000])
def test_a_model_that_is_worse_by_the_margin_is_not_called_not_worse(n_images):
    rate = rate_of_single(NotWorse(0.01), n_images=n_images, broken=0.045, fixed=0.035)

    assert 0.035 < rate <= ALLOWED


@pytest.mark.parametrize("n_images", [150, 268, 299, 310, 500, 1000])
@pytest.mark.parametrize("fixed", [0.0, 0.001, 0.005, 0.02])
def test_breaks_too_rare_to_be_seen_do_not_slip_through(n_images, fixed):
    """A warm-started challenger changes few images; a bootstrap would promote up to 37 % of these."""
    rate = rate_of_single(NotWorse(0.01), n_images=n_images, broken=0.01 + fixed, fixed=fixed)

    assert rate <= ALLOWED


@pytest.mark.parametrize("n_groups", [20, 50, 200])
def test_frames_of_videos_keep_the_rates(n_groups):
    n_draws = 1_000
    equal = rate_of_groups(Better(), n_groups=n_groups, broken=0.04, fixed=0.04, n_draws=n_draws, seed=1)
    worse = rate_of_groups(NotWorse(0.01), n_groups=n_groups, broken=0.045, fixed=0.035, n_draws=n_draws, seed=2)

    assert equal <= with_chance(ALLOWED, n_draws)
    assert worse <= with_chance(ALLOWED, n_draws)


@pytest.mark.parametrize("alike", [0.0, 1.0])
def test_frames_that_are_independent_or_all_alike_keep_the_rates(alike):
    n_draws = 1_000
    rate = rate_of_groups(Better(), n_groups=50, broken=0.04, fixed=0.04, alike=alike, n_draws=n_draws, seed=3)

    assert rate <= with_chance(ALLOWED, n_draws)


def test_a_drop_is_hardly_ever_promoted_and_a_gain_often_is_in_videos_too():
    drop = rate_of_groups(Better(), n_groups=50, broken=0.05, fixed=0.03, alike=0.1, n_draws=500)
    gain = rate_of_groups(Better(), n_groups=200, broken=0.03, fixed=0.05, alike=0.1, n_draws=500)

    assert drop <= 0.02
    assert gain >= 0.65


@pytest.mark.parametrize("n_groups", [20, 50, 200])
def test_counting_frames_as_single_images_does_not_keep_them(n_groups):
    rate = rate_of_groups(Better(), n_groups=n_groups, broken=0.04, fixed=0.04, grouped=False, n_draws=2_000)

    assert rate > 0.15


@pytest.mark.parametrize(("n_images", "alike"), [(500, None), (2000, None), (2000, 0.5)])
def test_the_smallest_difference_it_claims_to_show_is_shown_four_times_out_of_five(n_images, alike):
    if alike is None:
        claimed = single(round(0.04 * n_images), round(0.04 * n_images), n_images).minimum_detectable_effect()
        shares = {"broken": 0.04 - claimed / 2, "fixed": 0.04 + claimed / 2}
        rate = rate_of_single(Better(), n_images=n_images, **shares)
    else:
        spread = 0.08 * n_images * (1 + 9 * alike)  # variance of a sum over videos of ten frames
        lost = np.zeros(n_images // 10, np.int64)
        lost[: round(spread / 2 / 100)] = 10
        claimed = PairedCounts(lost[::-1], lost, np.full(len(lost), 10)).minimum_detectable_effect()
        shares = {"broken": 0.04 - claimed / 2, "fixed": 0.04 + claimed / 2}
        rate = rate_of_groups(Better(), n_groups=len(lost), alike=alike, n_draws=500, **shares)

    assert 0.72 < rate < 0.88


@pytest.mark.parametrize(("n_groups", "frames"), [(40, 1), (20, 4)])
def test_equal_detectors_keep_the_rate_by_average_precision_too(n_groups, frames):
    n_draws = 120
    rates = detection_rates(Better(), n_groups=n_groups, frames=frames, n_draws=n_draws, seed=6)

    assert (rates <= with_chance(ALLOWED, n_draws)).all()


def test_a_better_detector_is_promoted():
    assert (detection_rates(Better(), n_groups=60, gain=0.5, n_draws=40) > 0.8).all()


def test_equal_multilabel_classifiers_keep_the_rate_by_map_and_by_micro_f1():
    n_draws = 100
    rates = multilabel_rates(Better(), n_groups=20, frames=5, n_draws=n_draws, seed=6)

    assert (rates <= with_chance(ALLOWED, n_draws)).all()


def test_a_better_multilabel_classifier_is_promoted():
    assert (multilabel_rates(Better(), n_groups=60, gain=1.0, n_draws=30, seed=7) > 0.8).all()
