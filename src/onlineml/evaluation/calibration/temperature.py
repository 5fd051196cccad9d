"""Temperature of a classifier (Guo, Pleiss, Sun and Weinberger 2017), fitted where it helps."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from onlineml.evaluation.intervals import sums_by_code
from onlineml.evaluation.metrics import N_CALIBRATION_BINS, calibration_bins, log_loss_per_image

if TYPE_CHECKING:
    from onlineml.evaluation.types import Floats, Ints

__all__ = ["Temperature", "best_temperature", "fit_temperature", "with_temperature"]

_LOWEST, _HIGHEST = 0.05, 20.0  # beyond, all answers are sure, or none is
_FOLDS = 5
_TOLERANCE = 1e-4  # of the logarithm
_RATIO = (5**0.5 - 1) / 2  # golden section


class Temperature(NamedTuple):
    """A temperature, and what it does to photos that it was not fitted on.

    Attributes:
        value: logits are divided by it; 1 where dividing them does not help.
        log_loss: mean before and after.
        ece: expected calibration error before and after, in 15 bins.
    """

    value: float
    log_loss: tuple[float, float]
    ece: tuple[float, float]


def fit_temperature(logits: Floats, labels: Ints, units: Ints) -> Temperature:
    """Fit a temperature to validation photos.

    It stays at 1 unless it lowers the log loss of photos that it was not fitted on: each fifth of the units is judged
    by the temperature of the other four. Such photos have the figures, too.

    Args:
        logits: (N, C).
        labels: (N,) int64.
        units: (N,) int64, the group of each photo.
    """
    folds = units % _FOLDS
    after = np.asarray(with_temperature(logits, 1.0))
    before, n_units = after.copy(), len(np.unique(units))
    for fold in range(_FOLDS if n_units >= 2 * _FOLDS else 0):
        own = folds == fold
        if own.any() and not own.all():
            after[own] = with_temperature(logits[own], best_temperature(logits[~own], labels[~own]))
    losses = _log_loss(before, labels), _log_loss(after, labels)
    errors = _ece(before, labels), _ece(after, labels)
    if losses[1] >= losses[0]:
        return Temperature(1.0, (losses[0], losses[0]), (errors[0], errors[0]))
    return Temperature(best_temperature(logits, labels), losses, errors)


def best_temperature(logits: Floats, labels: Ints) -> float:
    """Return the temperature, 0.05..20, of the lowest mean log loss, within a ten-thousandth of it.

    The loss is that of the N photos and of one more, which shows the second most likely class: without an error among
    them, probabilities of exactly 1 would be best (as the targets of Platt 1999). It is convex in the inverse of the
    temperature, so that a golden section finds its minimum; there are no steps that could diverge.
    """
    above = np.asarray(logits, np.float64)
    above = above - above[np.arange(len(labels)), labels][:, None]  # of the true class
    second, top = np.partition(above, -2, axis=1)[:, -2:].T
    further = -second.mean() / (len(labels) + 1)

    def loss(logarithm: float) -> float:
        scale = math.exp(-logarithm)
        own = np.log(np.exp(scale * (above - top[:, None])).sum(axis=1)) + scale * top
        return float(own.mean() + scale * further)

    low, high = math.log(_LOWEST), math.log(_HIGHEST)
    left, right = high - _RATIO * (high - low), low + _RATIO * (high - low)
    at_left, at_right = loss(left), loss(right)
    while high - low > _TOLERANCE:
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - _RATIO * (high - low)
            at_left = loss(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + _RATIO * (high - low)
            at_right = loss(right)
    return math.exp((low + high) / 2)


def with_temperature(logits: Floats, temperature: float) -> Floats:
    """Return (N, C) float64 probabilities of logits that are divided by a temperature."""
    scaled = np.asarray(logits, np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    shares: Floats = powers / powers.sum(axis=1, keepdims=True)
    return shares


def _log_loss(probabilities: Floats, labels: Ints) -> float:
    return float(log_loss_per_image(probabilities, labels).mean())


def _ece(probabilities: Floats, labels: Ints) -> float:
    sure = probabilities.max(axis=1)
    gaps = (probabilities.argmax(axis=1) == labels) - sure
    sums = sums_by_code(gaps[None], calibration_bins(sure), n_codes=N_CALIBRATION_BINS)
    return float(np.abs(sums).sum() / len(labels))
