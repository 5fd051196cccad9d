"""Conformal thresholds: by hand, by all orders of the photos, and in simulations of groups."""

from __future__ import annotations

import numpy as np
import pytest

from onlineml.evaluation.calibration.curves import curve_of, units_needed

NINE = np.arange(1, 10) / 10


def curve(scores, units=None, answers=()):
    scores = np.asarray(scores, float)
    return curve_of(scores, np.arange(len(scores)) if units is None else np.asarray(units), answers, n_photos=10)


def threshold(found, rate, drawn=1.0):
    place = found.place(rate, drawn)
    return None if place is None else found.scores[place]


def test_no_photo_is_no_threshold():
    empty = curve([])

    assert (empty.units, empty.scores, empty.place(0.1, 0.5)) == (0, [], None)
    assert not empty.is_enough(0.5)
    assert empty.lowest_rate == 1.0


def test_the_quantile_is_that_of_the_textbook():
    """Nine photos: the (9 + 1) * rate-th lowest score of the truth, by hand."""
    found = curve(NINE)

    assert [threshold(found, rate) for rate in (0.1, 0.2, 0.25, 0.3, 0.5)] == [0.1, 0.2, 0.2, 0.3, 0.5]
    assert [round(n, 9) for n in found.lost] == [0, 1, 2, 3, 4, 5]
    assert not found.is_enough(0.09)
    assert found.is_enough(0.1)


@pytest.mark.parametrize(("rate", "needed"), [(0.5, 1), (0.1, 9), (0.05, 19), (0.03, 33), (0.01, 99), (0.001, 999)])
def test_the_number_of_photos_that_a_rate_takes(rate, needed):
    assert units_needed(rate) == needed


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.13])
@pytest.mark.parametrize("n", [20, 25, 31])
def test_the_rate_is_exact_over_all_places_of_the_next_photo(rate, n):
    """Each of n + 1 photos is the next one with the same probability; the drawn number is integrated out."""
    scores = np.sort(np.random.default_rng(n).random(n + 1))
    drawn = (np.arange(200) + 0.5) / 200
    missed = [
        scores[i] < threshold(found, rate, u)
        for i in range(n + 1)
        for found in [curve(np.delete(scores, i))]
        for u in drawn
    ]

    assert np.mean(missed) == pytest.approx(rate, abs=0.5 / 200)


def groups_of(rng, n):
    """Scores and groups of photos; each group has its own difficulty, and a size that goes with it."""
    hard = rng.normal(0, 1.2, n)
    sizes = 1 + rng.poisson(np.exp(np.clip(hard, -2, 2)))
    scores = 1 / (1 + np.exp(-(2.0 - np.repeat(hard, sizes) + rng.normal(0, 0.7, sizes.sum()))))
    return scores, np.repeat(np.arange(n), sizes)


def share_missed(scores, units, least):
    return np.mean([np.mean(scores[units == unit] < least) for unit in np.unique(units)])


@pytest.mark.parametrize("rate", [0.05, 0.1])
def test_groups_lose_no_more_than_the_rate_on_average(rate):
    """New groups lose the rate, less at most 2 / (n + 1), or half a group more; and mostly a little less."""
    n, rng = 60, np.random.default_rng(7)
    new = groups_of(rng, 2000)
    by_group = []
    for _ in range(200):
        scores, units = groups_of(rng, n)
        by_group.append(threshold(curve(scores, units), rate, drawn=rng.random()))
    starts = np.flatnonzero(np.diff(new[1], prepend=-1))
    sizes = np.diff(np.append(starts, len(new[1])))
    lost = [np.mean(np.add.reduceat(new[0] < least, starts) / sizes) for least in by_group]

    assert lost[0] == pytest.approx(share_missed(*new, by_group[0]))
    doubt = 3 * np.std(lost) / 200**0.5
    assert rate - 2 / (n + 1) - doubt <= np.mean(lost) <= rate + 0.5 / (n + 1) + doubt
    assert abs(np.mean(lost) - rate) < 0.01


def test_objects_that_nothing_finds_are_missed_at_every_threshold():
    found = curve([-1.0, -1.0, *np.linspace(0.2, 0.9, 38)])

    assert found.lost[0] == 2
    assert found.lowest_rate == pytest.approx(3 / 41)
    assert threshold(found, 0.05) is None
    assert threshold(found, 3 / 41) == 0.2


def test_false_answers_are_those_that_are_not_the_truth():
    found = curve([0.4, 0.6, 0.8], answers=[0.4, 0.6, 0.8, 0.5, 0.7, 0.1])

    assert found.scores == [0.4, 0.6, 0.8]
    assert found.false == [0.2, 0.1, 0.0]


def test_equal_scores_are_not_separated():
    found = curve([0.3, 0.3, 0.3, 0.5, 0.5, 0.7, 0.8, 0.9, 0.9])

    assert (found.scores, found.lost) == ([0.3, 0.5, 0.7], [0, 3, 5])
    assert threshold(found, 0.3) == 0.3
    assert threshold(found, 0.4) == 0.5


def test_many_photos_are_kept_in_few_steps_that_lose_no_more():
    scores = np.random.default_rng(0).random(50_000)
    found = curve(scores)

    assert len(found.scores) < 500
    for rate in (0.01, 0.05, 0.1, 0.3):
        exact = np.sort(scores)[int(rate * 50_001) - 1]
        least = threshold(found, rate)
        assert least <= exact
        assert rate * 0.97 < np.mean(scores < least) <= rate
