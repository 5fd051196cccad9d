"""Simulated test sets of two multi-label classifiers that are alike: one image is hard for both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gate_draws import promotes
from onlineml.evaluation.comparison.counts import half_weights
from onlineml.evaluation.comparison.samples import PairedSamples
from onlineml.evaluation.multilabel.evidence import Answers, Evidence

if TYPE_CHECKING:
    from onlineml.improving.gate.policy import Policy

SCORES = ("map", "micro_f1")
_ALIKE = 0.7  # share of the variance of an image's score that both models have in common
_HABITS = 0.4  # standard deviation of a model's own habits in each video


def answers_of_two(rng, *, n_groups, frames, n_classes, share, gains):
    """Answers of two models whose scores of present and absent labels are a gain apart, in standard deviations."""
    codes = np.repeat(np.arange(n_groups), frames)
    size = len(codes), n_classes
    shares = np.clip(share * rng.dirichlet(np.full(n_classes, 2.0)) * n_classes, 0.01, 0.8)
    truth = rng.random(size) < shares
    hard = rng.normal(size=size) * np.sqrt(_ALIKE)
    for gain in gains:
        own = rng.normal(size=size) * np.sqrt(1 - _ALIKE)
        habits = rng.normal(size=(n_groups, n_classes))[codes] * (_HABITS if frames > 1 else 0.0)
        logits = gain * (hard + own + habits + gain * (truth - 0.5)) + np.log(shares / (1 - shares))
        probabilities = 1 / (1 + np.exp(-logits))
        yield Answers(truth, probabilities >= 0.35, probabilities, codes, n_groups)


def rates(
    policy: Policy,
    *,
    n_groups: int,
    frames: int = 1,
    n_classes: int = 4,
    share: float = 0.3,
    gain: float = 0.0,
    n_draws: int = 300,
    seed: int = 0,
) -> np.ndarray:
    """(2,) share of test sets on which the challenger is promoted, by mAP and by micro F1.

    Args:
        policy: of the gate.
        n_groups: videos.
        frames: of each.
        n_classes: of the task.
        share: of the images that show a class, in the mean.
        gain: how much further the challenger separates present from absent labels, 0 for equally good models.
        n_draws: test sets.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    promoted = np.zeros((n_draws, len(SCORES)), bool)
    size = {"n_groups": n_groups, "frames": frames, "n_classes": n_classes, "share": share}
    for draw in range(n_draws):
        a, b = (Evidence.of(one, pooled=False) for one in answers_of_two(rng, **size, gains=(2.0, 2.0 + gain)))
        halves = np.ascontiguousarray(next(half_weights(n_groups=n_groups, n_resamples=150, seed=draw)).T)
        whole = np.ones((n_groups, 1))
        values, samples = (
            {name: b.under(weights).scores[name] - a.under(weights).scores[name] for name in SCORES}
            for weights in (whole, halves)
        )
        for place, name in enumerate(SCORES):
            evidence = PairedSamples(float(values[name][0]), samples[name], n_groups)
            promoted[draw, place] = promotes(evidence, policy)
    return promoted.mean(axis=0)
