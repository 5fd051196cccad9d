"""Temperatures: against scipy's minimum of scikit-learn's loss, and where there is nothing to learn."""

from __future__ import annotations

import numpy as np
import pytest

from late import Late
from onlineml.evaluation.calibration.temperature import best_temperature, fit_temperature, with_temperature

optimize = Late("scipy.optimize")
special = Late("scipy.special")
metrics = Late("sklearn.metrics")


def drawn(n, *, factor, seed=0, n_classes=4):
    """Logits that are ``factor`` times those that the labels were drawn from."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (n, n_classes))
    labels = np.array([rng.choice(n_classes, p=p) for p in special.softmax(logits, axis=1)])
    return factor * logits, labels


@pytest.mark.parametrize("factor", [0.3, 1.0, 3.0])
def test_the_temperature_is_that_of_the_lowest_log_loss(factor):
    logits, labels = drawn(3000, factor=factor)

    def loss(t):
        return metrics.log_loss(labels, special.softmax(logits / t, axis=1))

    found = best_temperature(logits, labels)
    assert found == pytest.approx(optimize.minimize_scalar(loss, bounds=(0.05, 20), method="bounded").x, rel=0.01)
    assert found == pytest.approx(factor, rel=0.1)
    np.testing.assert_allclose(with_temperature(logits, found), special.softmax(logits / found, axis=1))


def test_log_loss_and_calibration_error_fall_where_answers_were_too_sure():
    logits, labels = drawn(400, factor=4.0)
    fitted = fit_temperature(logits, labels, np.arange(400))

    assert fitted.value == pytest.approx(4, rel=0.25)
    assert fitted.log_loss[0] == pytest.approx(metrics.log_loss(labels, special.softmax(logits, axis=1)))
    assert fitted.log_loss[1] < 0.8 * fitted.log_loss[0]
    assert fitted.ece[1] < fitted.ece[0] / 2


def test_it_stays_at_one_where_it_does_not_help():
    """Of 40 draws of 60 photos whose probabilities are right, most gain nothing on photos that were not fitted."""
    values = [fit_temperature(*drawn(60, factor=1.0, seed=seed), np.arange(60)).value for seed in range(40)]

    assert np.mean(np.equal(values, 1.0)) > 0.5
    few = fit_temperature(*drawn(9, factor=5.0), np.arange(9))
    assert few.value == 1.0
    assert few.log_loss[0] == few.log_loss[1]


def test_photos_without_an_error_do_not_make_answers_certain():
    logits = np.array([[3.0, 0.0, -1.0]] * 50 + [[0.0, 3.0, -1.0]] * 50)
    labels = np.repeat([0, 1], 50)
    sure = with_temperature(logits, best_temperature(logits, labels)).max()

    assert sure == pytest.approx(1 - 1 / 101, abs=0.003)


@pytest.mark.parametrize("scale", [1e-3, 1e4])
def test_huge_and_tiny_logits_are_no_trouble(scale):
    logits, labels = drawn(200, factor=scale)

    assert 0.05 <= best_temperature(logits, labels) <= 20
    assert np.isfinite(fit_temperature(logits, labels, np.arange(200)).log_loss).all()


def test_photos_of_a_group_are_never_in_two_folds():
    """Ten groups of copies whose labels are noise: within a group everything could be learned, between them nothing."""
    rng = np.random.default_rng(3)
    logits, labels = rng.normal(0, 3, (10, 3)), rng.integers(0, 3, 10)
    units = np.repeat(np.arange(10), 20)
    fitted = fit_temperature(logits[units], labels[units], units)
    one_each = fit_temperature(logits, labels, np.arange(10))

    assert fitted.log_loss[0] == pytest.approx(one_each.log_loss[0])
    assert fitted.log_loss[1] == pytest.approx(one_each.log_loss[1], rel=0.1)
