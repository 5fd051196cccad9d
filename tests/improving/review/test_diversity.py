"""Photos that stand for others: against every possible choice, and with copies, odd ones, videos and crowds."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from onlineml.improving.review.diversity import representatives


def chosen(features, n, *, weights=None, known=(), groups=(), seed=0):
    features = np.asarray(features, np.float32)
    mask = np.isin(np.arange(len(features)), list(known))
    value = np.ones(len(features)) if weights is None else np.asarray(weights, np.float64)
    return representatives(features, value, n=n, known=mask, groups=groups, seed=seed)


def blobs(sizes, *, spread=0.05, seed=0):
    """Points around as many centres, at right angles from each other, and the centre of each."""
    rng = np.random.default_rng(seed)
    of = np.repeat(np.arange(len(sizes)), sizes)
    return np.eye(len(sizes))[of] * 3 + rng.normal(0, spread, (len(of), len(sizes))), of


def test_nothing_of_nothing():
    assert chosen(np.zeros((0, 4)), 5) == ([], [])
    assert chosen(np.ones((3, 4)), 5, known=[0, 1, 2]).rows == []
    assert chosen(np.ones((3, 4)), 5, weights=[0, 0, 0]).rows == []


def test_of_identical_photos_one_is_asked_for():
    found = chosen(np.ones((50, 8)), 10)
    assert len(found.rows) == 1
    assert found.gains == pytest.approx([1.0])
    assert chosen(np.ones((50, 8)), 10, known=[7]).rows == []


def test_three_photos_are_all_asked_for():
    assert sorted(chosen(np.random.default_rng(0).normal(size=(3, 16)), 10).rows) == [0, 1, 2]


def test_each_crowd_has_its_photo_before_any_has_two_and_the_largest_is_first():
    features, of = blobs([40, 10, 25, 3])
    found = chosen(features, 4)
    assert sorted(of[found.rows]) == [0, 1, 2, 3]
    assert of[found.rows[0]] == 0
    assert found.gains == sorted(found.gains, reverse=True)


def test_what_is_answered_already_is_represented():
    features, of = blobs([40, 10, 25])
    found = chosen(features, 2, known=[3, 55])  # of the first and the last crowd
    assert of[found.rows[0]] == 1


def test_two_copies_of_an_odd_photo_are_not_both_asked_for():
    features, of = blobs([40, 20])
    odd = np.full((2, 2), -4.0)
    found = chosen(np.concatenate([features, odd]), 6)
    assert sum(row >= len(of) for row in found.rows) <= 1


def test_doubt_decides_which_crowd_is_first():
    features, of = blobs([40, 10, 25])
    found = chosen(features, 1, weights=np.where(of == 1, 1.0, 0.05))
    assert of[found.rows[0]] == 1


def test_one_frame_of_each_video_until_there_are_no_others():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(30, 6))
    groups = [f"video {i % 3}" for i in range(30)]
    found = chosen(features, 6, groups=groups)
    assert len({groups[row] for row in found.rows[:3]}) == 3
    assert len(found.rows) == len(set(found.rows)) == 6


def test_the_choice_has_at_least_63_per_cent_of_the_best_of_all_choices():
    rng = np.random.default_rng(3)
    features, weights = rng.normal(size=(12, 5)), rng.random(12)
    table = (features - features.mean(0)) / features.std(0)
    units = table / np.linalg.norm(table, axis=1, keepdims=True)
    like = np.clip(units @ units.T, 0, None) ** 2  # the definition, by hand

    def value(rows):
        return float((like[list(rows)].max(axis=0) * weights).sum() / weights.sum())

    best = max(value(rows) for rows in combinations(range(12), 4))
    found = chosen(features, 4, weights=weights)
    assert sum(found.gains) == pytest.approx(value(found.rows), abs=1e-5)
    assert value(found.rows) >= (1 - 1 / np.e) * best
    assert value(found.rows) > np.mean([value(rows) for rows in combinations(range(12), 4)])


@pytest.mark.slow
def test_of_a_hundred_thousand_photos_few_are_compared():
    features = np.random.default_rng(0).normal(size=(100_000, 64)).astype(np.float32)
    found = chosen(features, 50, known=range(1000))
    assert len(set(found.rows)) == 50
    assert min(found.rows) >= 1000
