"""Progress and learning rate, against properties and values by hand."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onlineml.errors import ConfigError
from onlineml.tasks.schedule import Knot, Schedule, lr_factor

# (steps since the last correction, steps that are planned from there on)
CORRECTIONS = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 80)), min_size=1, max_size=8)


def corrected(plan: list[tuple[int, int]]) -> Schedule:
    schedule, step = Schedule(), 0
    for since, left in plan:
        step += since
        schedule.correct(step=step, total_steps=step + left)
    return schedule


def test_progress_without_a_plan_is_nothing() -> None:
    schedule = Schedule()

    assert schedule.total_steps is None
    assert [schedule.progress(step) for step in (0, 1, 10**6)] == [0.0, 0.0, 0.0]


def test_a_run_of_known_length_goes_evenly() -> None:
    schedule = Schedule.of_length(4)

    assert [schedule.progress(step) for step in range(6)] == [0, 0.25, 0.5, 0.75, 1, 1]
    assert Schedule.of_length(0).total_steps == 1  # nothing to divide by otherwise


def test_a_correction_by_hand() -> None:
    schedule = Schedule.of_length(100)
    knot = schedule.correct(step=50, total_steps=75)  # half is done; the other half now takes 25 steps

    assert knot == Knot(50, 0.5, 75)
    assert [schedule.progress(step) for step in (0, 25, 50, 55, 75)] == pytest.approx([0, 0.25, 0.5, 0.6, 1.0])


@settings(max_examples=50, deadline=None)
@given(CORRECTIONS)
def test_progress_never_falls_and_ends_at_one(plan: list[tuple[int, int]]) -> None:
    schedule = corrected(plan)
    end = schedule.total_steps
    assert end is not None

    values = [schedule.progress(step) for step in range(end + 3)]

    assert all(0.0 <= value <= 1.0 + 1e-12 for value in values)
    assert all(later >= earlier - 1e-12 for earlier, later in itertools.pairwise(values))
    assert values[end:] == pytest.approx([1.0, 1.0, 1.0])
    assert all(value < 1.0 for value in values[schedule.knots[-1].step : end] if schedule.knots[-1].progress < 1.0)


@settings(max_examples=50, deadline=None)
@given(CORRECTIONS, st.integers(0, 50), st.integers(1, 80))
def test_a_correction_changes_only_what_comes_after(plan: list[tuple[int, int]], since: int, left: int) -> None:
    schedule = corrected(plan)
    step = schedule.knots[-1].step + since
    before = [schedule.progress(s) for s in range(step + 1)]

    schedule.correct(step=step, total_steps=step + left)

    assert [schedule.progress(s) for s in range(step)] == before[:-1]
    assert schedule.progress(step) == pytest.approx(before[-1])


@settings(max_examples=50, deadline=None)
@given(CORRECTIONS)
def test_recorded_knots_replay_the_same_progress(plan: list[tuple[int, int]]) -> None:
    schedule = corrected(plan)
    replayed = Schedule([Knot(knot.step, knot.progress, knot.total_steps) for knot in schedule.knots])

    assert [replayed.progress(s) for s in range(200)] == [schedule.progress(s) for s in range(200)]


def test_the_past_cannot_be_corrected() -> None:
    schedule = Schedule.of_length(10)
    schedule.correct(step=5, total_steps=20)

    with pytest.raises(ConfigError, match="step=4: the schedule was corrected at step 5 already"):
        schedule.correct(step=4, total_steps=20)


def test_an_end_that_lies_in_the_past_is_now() -> None:
    schedule = Schedule.of_length(10)

    assert schedule.correct(step=5, total_steps=2) == Knot(5, 0.5, 5)
    assert schedule.progress(5) == 1.0


@pytest.mark.parametrize(
    ("progress", "step", "warmup", "factor"),
    [
        (0.0, 0, 0, 1.0),
        (0.0, 0, 10, 0.1),  # the first of ten steps
        (0.0, 9, 10, 1.0),
        (0.5, 100, 10, 0.505),  # half way between 1 and the floor of 0.01
        (1.0, 100, 10, 0.01),
        (1 / 3, 100, 10, 0.01 + 0.99 * 0.75),  # cos(60 degrees) = 1/2
        (0.5, 1, 4, 0.5 * 0.505),  # both at once
    ],
)
def test_the_learning_rate_by_hand(progress: float, step: int, warmup: int, factor: float) -> None:
    assert lr_factor(progress, step=step, warmup_steps=warmup) == pytest.approx(factor, rel=1e-12)


@settings(deadline=None)
@given(st.floats(0, 1), st.integers(0, 10**6), st.integers(0, 1000))
def test_the_learning_rate_is_never_nothing(progress: float, step: int, warmup: int) -> None:
    assert 0 < lr_factor(progress, step=step, warmup_steps=warmup) <= 1
    assert math.isclose(lr_factor(progress, step=warmup, warmup_steps=warmup, floor=1.0), 1.0)
