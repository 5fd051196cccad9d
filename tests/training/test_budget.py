"""A time budget as steps, in a made-up time that only the training spends."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest

from onlineml.errors import ConfigError
from onlineml.tasks.schedule import Knot, Schedule
from onlineml.training import budget as module
from onlineml.training.budget import Budget, Clock


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The time of the whole test, in seconds."""
    time = SimpleNamespace(s=1000.0)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: time.s))
    return time


def run(
    now: SimpleNamespace,
    *,
    budget_s: float,
    cost_s,
    knots: list[Knot] | None = None,
    spent_s: float = 0.0,
    first_step: int = 0,
    reserve_s: float = 0.0,
    head_warmup: float = 0.0,
    validation_s: float = 0.0,
    epoch: int = 50,
) -> tuple[Schedule, int, list[Knot], list[tuple[int, float]]]:
    """Train in made-up time: `cost_s(step, progress)` a step. Gives the steps done, new knots, and progress by step."""
    clock = Clock(spent_s=spent_s)
    schedule = Schedule(list(knots or []))
    recorded: list[Knot] = []
    budget = Budget(schedule, budget_s=budget_s, clock=clock, reserve_s=lambda _: reserve_s, record=recorded.append)
    trainer = SimpleNamespace(global_step=first_step, should_stop=False, num_training_batches=epoch)
    network = SimpleNamespace(head_only=head_warmup > 0, head_warmup=head_warmup)
    budget.on_train_start(trainer, network)
    history = []
    while not trainer.should_stop:
        progress = schedule.progress(trainer.global_step)
        history.append((trainer.global_step, progress))
        network.head_only = progress < head_warmup
        now.s += cost_s(trainer.global_step, progress)
        trainer.global_step += 1
        assert trainer.global_step < 100_000, "it never ends"
        index = (trainer.global_step - 1) % epoch
        budget.on_train_batch_end(trainer, network, None, None, index)
        if index + 1 == epoch and validation_s:
            now.s += validation_s
            clock.aside(validation_s)
    return schedule, trainer.global_step, recorded, history


def test_the_clock_counts_earlier_attempts(now: SimpleNamespace) -> None:
    clock = Clock(spent_s=12.0)
    now.s += 3.0
    clock.aside(1.0)
    clock.aside(0.5)

    assert clock.spent() == pytest.approx(15.0)
    assert clock.aside_s == 1.5


@pytest.mark.parametrize("budget_s", [0, -1, float("nan")])
def test_a_budget_of_nothing_is_refused(budget_s: float) -> None:
    with pytest.raises(ConfigError, match=r"budget_s=.*: expected more than 0 seconds"):
        Budget(Schedule(), budget_s=budget_s, clock=Clock(), reserve_s=lambda _: 0.0, record=lambda _: None)


@pytest.mark.parametrize("cost_s", [0.01, 0.1, 1.0])
def test_steps_of_one_length_fill_the_budget(now: SimpleNamespace, cost_s: float) -> None:
    begin = now.s
    schedule, steps, recorded, history = run(now, budget_s=60, cost_s=lambda *_: cost_s)

    assert now.s - begin == pytest.approx(60, abs=1.5 * cost_s)
    assert steps == pytest.approx(60 / cost_s, abs=2)
    assert schedule.progress(steps) == pytest.approx(1.0)
    assert schedule.knots == recorded
    assert all(b >= a for (_, a), (_, b) in itertools.pairwise(history))


def test_a_machine_that_slows_down_still_ends_in_time(now: SimpleNamespace) -> None:
    begin = now.s
    schedule, steps, _, history = run(now, budget_s=60, cost_s=lambda step, _: 0.1 if step < 200 else 0.2)

    assert now.s - begin == pytest.approx(60, rel=0.01)
    assert schedule.progress(steps) == pytest.approx(1.0)
    assert max(b - a for (_, a), (_, b) in itertools.pairwise(history)) < 0.05  # no leap at the end


@pytest.mark.parametrize("cost_s", [0.02, 0.2])
def test_progress_follows_the_time_though_images_grow(now: SimpleNamespace, cost_s: float) -> None:
    """A step costs 0.36 of the full images', and more and more until 0.6 of the run: as a detector's do."""
    begin, seen = now.s, []

    def cost(_step: int, progress: float) -> float:
        seen.append((now.s - begin, progress))
        return cost_s * min(1.0, 0.6 + 0.4 * progress / 0.6) ** 2

    schedule, steps, _, _ = run(now, budget_s=60, cost_s=cost)
    assert now.s - begin == pytest.approx(60, rel=0.01)
    assert schedule.progress(steps) == pytest.approx(1.0)
    late = [progress for seconds, progress in seen if seconds > 0.95 * 60]
    assert late[0] == pytest.approx(0.95, abs=0.015)  # the rate comes down over all of the end, not in the last steps


def test_validation_and_the_end_of_the_run_are_within_the_budget(now: SimpleNamespace) -> None:
    begin = now.s
    run(now, budget_s=60, cost_s=lambda *_: 0.05, reserve_s=4.0, validation_s=0.5)

    assert now.s - begin == pytest.approx(56, abs=1.0)


def test_the_heads_warm_up_costs_less_than_a_third(now: SimpleNamespace) -> None:
    begin = now.s
    cost_s = lambda _, progress: 0.1 if progress < 0.1 else 0.36  # noqa: E731
    schedule, steps, recorded, _ = run(now, budget_s=60, cost_s=cost_s, head_warmup=0.1)

    assert now.s - begin == pytest.approx(60, rel=0.02)
    # 10 % of the steps at 0.1 s and 90 % at 0.36 s: planned so from the first correction on
    assert recorded[0].total_steps == pytest.approx(60 / (0.1 * 0.1 + 0.9 * 0.36), rel=0.05)
    assert schedule.progress(steps) == pytest.approx(1.0)


def test_an_earlier_attempts_knots_are_replayed(now: SimpleNamespace) -> None:
    knots = [Knot(5, 0.0, 500), Knot(100, 0.19, 480), Knot(300, 0.61, 520)]
    schedule, _, recorded, history = run(
        now, budget_s=60, cost_s=lambda *_: 0.1, knots=knots, first_step=80, spent_s=8.0
    )

    assert schedule.knots[:3] == knots
    assert recorded
    assert min(knot.step for knot in recorded) >= 300
    replay = Schedule(list(knots))
    assert all(progress == replay.progress(step) for step, progress in history if step <= 300)


def test_a_run_whose_time_was_up_ends_where_it_was_planned(now: SimpleNamespace) -> None:
    knots = [Knot(5, 0.0, 90)]
    _, steps, _, _ = run(now, budget_s=60, cost_s=lambda *_: 0.1, knots=knots, first_step=80, spent_s=61.0)

    assert steps <= 90


def test_one_step_may_take_longer_than_the_budget(now: SimpleNamespace) -> None:
    schedule, steps, _, _ = run(now, budget_s=1, cost_s=lambda *_: 5.0)

    assert steps <= 3
    assert schedule.progress(steps) == 1.0
