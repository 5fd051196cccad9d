"""Successive halving: how many go on, and how the time is divided."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onlineml.improving.searching.halving import affordable, survivors, trial_seconds, widths


@pytest.mark.parametrize(
    ("n", "expected"), [(1, [1]), (2, [2, 1]), (3, [3, 1]), (4, [4, 2, 1]), (9, [9, 3, 1]), (10, [10, 4, 2, 1])]
)
def test_a_third_goes_on_until_one_is_left(n, expected):
    assert widths(n) == expected


@given(st.floats(0.1, 1e6), st.floats(0.1, 100))
def test_as_many_as_get_the_least_time(budget_s, least_s):
    n = affordable(budget_s, least_s=least_s)

    assert n in {1, 3, 9, 27}
    assert n == 1 or budget_s / (len(widths(n)) * n) >= least_s
    assert n == 27 or budget_s / (len(widths(3 * n)) * 3 * n) < least_s


@given(st.integers(1, 30), st.floats(100, 1e5))
def test_the_rounds_together_take_the_budget(n, budget_s):
    left_s, counts = budget_s, widths(n)
    for i, count in enumerate(counts):
        left_s -= count * trial_seconds(left_s, counts[i:], scoring_s=0.0)

    assert left_s == pytest.approx(0, abs=1e-6 * budget_s) or budget_s / n / len(counts) < 1


def test_scoring_is_taken_from_the_training():
    # 60 s for rounds of 3, 1: 30 s a round, 10 s a trial, of which scoring takes 2
    assert trial_seconds(60, [3, 1], scoring_s=2.0) == 8.0
    assert trial_seconds(3, [3, 1], scoring_s=2.0) == 1.0


@given(st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=12), st.integers(1, 5))
def test_the_best_survive(scores, n):
    kept = survivors(scores, n)

    assert len(kept) == min(n, sum(score is not None for score in scores))
    worst = min((scores[i] for i in kept), default=0)
    assert all(scores[i] is not None for i in kept)
    assert all(score is None or score <= worst for i, score in enumerate(scores) if i not in kept)


def test_of_equals_the_first_survives():
    assert survivors([0.5, 0.9, 0.9, None], 2) == [1, 2]
