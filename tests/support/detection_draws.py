"""Simulated test sets of two detectors: what they found, ranked, without drawing a box."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onlineml.evaluation.comparison.counts import half_weights
from onlineml.evaluation.comparison.samples import PairedSamples
from onlineml.evaluation.detection.matching import IOU_THRESHOLDS
from onlineml.evaluation.detection.ranking import Ranking, class_ap
from onlineml.evaluation.metrics import mean_defined
from onlineml.improving.gate.decide import verdict_of

if TYPE_CHECKING:
    from onlineml.improving.gate.policy import Policy

N_CLASSES = 3


def ranking(rng, truth, shift, habits):
    """One detector on the objects (image, label, hardness) of N images; `habits` shifts it from image to image."""
    image, label, ease = truth
    own = 0.8 * ease + 0.6 * rng.normal(size=len(image)) + shift + habits[image]
    found = own > -0.8
    score = own + rng.normal(size=len(image))
    overlap = 1 / (1 + np.exp(-0.8 * own - 0.9))
    false = rng.poisson(1.5, len(habits))
    nowhere = np.repeat(np.arange(len(habits)), false)
    images = np.concatenate([image[found], nowhere])
    labels = np.concatenate([label[found], rng.integers(0, N_CLASSES, len(nowhere))])
    scores = np.concatenate([score[found], rng.normal(size=len(nowhere)) - 1 - 0.5 * habits[nowhere]])
    hit = np.concatenate([overlap[found, None] >= IOU_THRESHOLDS, np.zeros((len(nowhere), 10), bool)])
    order = np.lexsort((-scores, labels))
    starts = np.searchsorted(labels[order], np.arange(N_CLASSES + 1)).astype(np.int64)
    return Ranking(order, starts, images[order], order * 0, hit[order], np.zeros_like(hit), image, label)


def means(ranked, weights):
    """(b, 2): AP50-95 and AP50."""
    precision = class_ap(ranked, weights)
    return np.stack([mean_defined(precision.mean(axis=2).T), mean_defined(precision[..., 0].T)], axis=1)


def rates(
    policy: Policy, *, n_groups: int, frames: int = 1, gain: float = 0.0, n_draws: int = 300, seed: int = 0
) -> np.ndarray:
    """(2,) share of test sets on which the challenger is promoted, by AP50-95 and by AP50.

    Args:
        policy: of the gate.
        n_groups: videos.
        frames: of each; each detector has habits of its own in each video where there are several.
        gain: how much better the challenger sees, 0 for models that are equally good.
        n_draws: test sets.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(n_groups), frames)
    promoted = np.zeros((n_draws, 2), bool)
    for draw in range(n_draws):
        counts = rng.poisson(3, len(codes))
        image = np.repeat(np.arange(len(codes)), counts)
        truth = image, rng.integers(0, N_CLASSES, len(image)), rng.normal(size=len(image))
        of_video = rng.normal(size=(2, n_groups)) * (0.5 if frames > 1 else 0.0)
        a, b = (ranking(rng, truth, shift, of_video[k][codes]) for k, shift in enumerate((0.0, gain)))
        value = means(b, np.ones((1, len(codes)))) - means(a, np.ones((1, len(codes))))
        halves = next(half_weights(n_groups=n_groups, n_resamples=150, seed=draw))[:, codes]
        samples = means(b, halves) - means(a, halves)
        for k in range(2):
            evidence = PairedSamples(float(value[0, k]), samples[:, k], n_groups)
            lower, upper = evidence.bounds(1 - policy.level)
            promoted[draw, k] = verdict_of(policy, evidence.value, lower, upper)[0] == "promote"
    return promoted.mean(axis=0)
