"""The range test: on losses whose steepest point is known, and on a network that learns."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

import onlineml as oml
from onlineml.errors import ConfigError
from onlineml.training.lr_finder import steepest
from tiny import same_weights, tiny_data, tiny_model, weights_of

if TYPE_CHECKING:
    from pathlib import Path


def test_steepest_of_nothing_is_nan() -> None:
    assert math.isnan(steepest([], []))
    assert math.isnan(steepest([1e-3, 1e-2, 1e-1], [1.0, 2.0, 3.0]))  # it only rises


def test_steepest_of_a_known_curve() -> None:
    lrs = np.logspace(-5, 0, 101)
    losses = 2.0 - np.tanh(2.0 * (np.log10(lrs) + 3.0))  # falls fastest at 1e-3
    losses[80:] += np.linspace(0, 50, 21)  # and diverges
    assert steepest(lrs.tolist(), losses.tolist()) == pytest.approx(1e-3, rel=0.13)  # within one step of the grid


def test_suggestion_leaves_the_model_and_learns_faster_than_a_thousandth(
    manifest: oml.Manifest, tmp_path: Path
) -> None:
    model = tiny_model()
    before = weights_of(model)
    found = oml.suggest_lr(model, tiny_data(manifest), steps=60)
    assert same_weights(before, weights_of(model))
    assert 1e-6 < found.lr < 1.0
    assert list(found.lrs) == sorted(found.lrs)
    assert len(found.lrs) == len(found.losses)
    assert f"{found.lr:.1e}" in str(found)
    losses = {}
    for lr in (found.lr, found.lr / 1000):
        run = oml.fit(tiny_model(lr=lr), tiny_data(manifest), run=str(tmp_path / f"{lr}"), epochs=4, progress="none")
        losses[lr] = run.metrics()[-1]["train_loss"]
    assert losses[found.lr] < losses[found.lr / 1000]


def test_figure_marks_the_suggestion(manifest: oml.Manifest) -> None:
    found = oml.suggest_lr(tiny_model(), tiny_data(manifest), steps=30)
    axes = found.figure().axes[0]
    assert len(axes.lines) == 2
    assert axes.lines[1].get_xdata()[0] == pytest.approx(found.lr)


@pytest.mark.parametrize("given", [{"lowest": 0.0}, {"lowest": 1.0, "highest": 0.1}, {"steps": 3}])
def test_a_range_that_is_none_is_refused(manifest: oml.Manifest, given: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="lowest"):
        oml.suggest_lr(tiny_model(), tiny_data(manifest), **given)
