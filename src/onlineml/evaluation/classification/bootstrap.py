"""Bootstrap of all scores of a classifier at once: every resample is a weighted count of the same codes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from onlineml.evaluation.intervals import centred_interval, percentile_interval, resample_weights, sums_by_code
from onlineml.evaluation.metrics import N_CALIBRATION_BINS, calibration_bins, mean_defined, ratio, scores_from_counts

if TYPE_CHECKING:
    from onlineml.evaluation.types import Array, Floats, Ints

__all__ = ["Evidence", "Resampled", "Samples", "resample"]

# Ranking scores need every image of every class in every resample, at about 8 ns each: skipped beyond this (4 s)
MAX_RANKING_VALUES = 500_000_000
_PER_CLASS = ("precision", "recall", "f1")


@dataclass(frozen=True, eq=False)
class Evidence:
    """Data that the resamples weight.

    Attributes:
        labels: (N,) int64.
        predictions: (N,) int64.
        confidences: (N,) float64, of the prediction.
        means: per-image values (N,) by the name of the score that is their mean.
        codes: (N,) int64 group of each image.
        n_groups: G.
        n_classes: C.
        slices: (N,) int64 codes and their number, by column.
        probabilities: (N, C).
    """

    labels: Ints
    predictions: Ints
    confidences: Floats
    means: dict[str, Floats]
    codes: Ints
    n_groups: int
    n_classes: int
    slices: dict[str, tuple[Ints, int]]
    probabilities: Floats


@dataclass(frozen=True, eq=False)
class Resampled:
    """Percentile intervals, (..., 2) each: of the scores, of the classes (C, 2) and of the slices (K, 2)."""

    scores: dict[str, Floats]
    per_class: dict[str, Floats]
    slices: dict[str, Floats]


@dataclass(frozen=True, eq=False)
class Samples:
    """Values of the resamples, in chunks, by name."""

    scores: dict[str, list[Floats]] = field(default_factory=dict)
    per_class: dict[str, list[Floats]] = field(default_factory=dict)
    slices: dict[str, list[Floats]] = field(default_factory=dict)

    def resampled(self, middles: Samples | None = None) -> Resampled:
        """Return percentile intervals, centred on the values in `middles` for scores that it has (one row each)."""
        of = Samples() if middles is None else middles
        scores, per_class, slices = (
            _intervals(samples, {name: rows[0][0] for name, rows in values.items()})
            for samples, values in (
                (self.scores, of.scores),
                (self.per_class, of.per_class),
                (self.slices, of.slices),
            )
        )
        return Resampled(scores, per_class, slices)


def resample(evidence: Evidence, *, n_bootstrap: int, seed: int) -> Resampled:
    """Return intervals of every score from `n_bootstrap` resamples of groups; empty without resamples or images."""
    samples = Samples()
    n_images = len(evidence.labels)
    ranked = None
    if n_images * evidence.n_classes * n_bootstrap <= MAX_RANKING_VALUES:
        ranked = _rank_classes(evidence.probabilities, evidence.labels)
    largest = max(n_images, evidence.n_classes)
    for drawn in resample_weights(n_groups=evidence.n_groups, n_bootstrap=n_bootstrap, seed=seed, row_values=largest):
        weights = drawn[:, evidence.codes]
        _resample_counts(evidence, weights, samples)
        _resample_slices(evidence, weights, samples)
        if ranked is not None:
            average_precision, auroc = _resample_rankings(ranked, np.ascontiguousarray(weights.T))
            samples.scores.setdefault("map", []).append(average_precision)
            samples.scores.setdefault("auroc_macro", []).append(auroc)
    return samples.resampled()


def _intervals(samples: dict[str, list[Floats]], middles: dict[str, Floats]) -> dict[str, Floats]:
    joined = {name: np.concatenate(chunks) for name, chunks in samples.items()}
    return {
        name: centred_interval(values, middles[name]) if name in middles else percentile_interval(values)
        for name, values in joined.items()
    }


def _resample_counts(evidence: Evidence, weights: Floats, samples: Samples) -> None:
    right = evidence.labels == evidence.predictions
    total = weights.sum(axis=1)
    scores = scores_from_counts(
        sums_by_code(weights[:, right], evidence.labels[right], n_codes=evidence.n_classes),
        sums_by_code(weights, evidence.predictions, n_codes=evidence.n_classes),
        sums_by_code(weights, evidence.labels, n_codes=evidence.n_classes),
    )
    for name, values in evidence.means.items():
        scores[name] = (weights @ values) / total
    bins = calibration_bins(evidence.confidences)
    gaps = sums_by_code(weights * (evidence.confidences - right), bins, n_codes=N_CALIBRATION_BINS)
    scores["ece"] = np.abs(gaps).sum(axis=1) / total
    for name, values in scores.items():
        (samples.per_class if name in _PER_CLASS else samples.scores).setdefault(name, []).append(values)


def _resample_slices(evidence: Evidence, weights: Floats, samples: Samples) -> None:
    right = evidence.labels == evidence.predictions
    for column, (codes, n_codes) in evidence.slices.items():
        hits = sums_by_code(weights[:, right], codes[right], n_codes=n_codes)
        samples.slices.setdefault(column, []).append(ratio(hits, sums_by_code(weights, codes, n_codes=n_codes)))


@dataclass(frozen=True, eq=False)
class _RankedClass:
    """Ranking for one class, by descending score; tied scores share their first and last rank.

    Attributes:
        order: (N,) indices of the images.
        own: (P,) the class's own images, descending.
        before: (P,) number of images with a higher score than each own image; own_before: those of the class.
        through: (P,) number of images with at least its score; own_through: those of the class.
    """

    order: Array
    own: Array
    before: Array
    through: Array
    own_before: Array
    own_through: Array


def _rank_classes(probabilities: Floats, labels: Ints) -> list[_RankedClass]:
    ranked = []
    for class_id in np.unique(labels):
        falling_keys = -probabilities[:, class_id].astype(np.float64)
        order = np.argsort(falling_keys, kind="stable")
        keys = falling_keys[order]
        own = order[labels[order] == class_id]
        own_keys = falling_keys[own]
        places = [np.searchsorted(k, own_keys, side=s) for k in (keys, own_keys) for s in ("left", "right")]
        ranked.append(_RankedClass(order, own, *places))
    return ranked


def _running(weights: Floats) -> Floats:
    """Return cumulative sums, where row i is the sum of the first i rows: (N, b) becomes (N + 1, b)."""
    sums = np.zeros((len(weights) + 1, weights.shape[1]))
    np.cumsum(weights, axis=0, out=sums[1:])
    return sums


def _resample_rankings(ranked: list[_RankedClass], weights: Floats) -> tuple[Floats, Floats]:
    """Return mean AP and mean AUROC over the classes defined in each resample; (N, b) weights result in (b,) twice."""
    precision, auroc = [], []
    for one in ranked:
        everyone, own = _running(weights[one.order]), _running(weights[one.own])
        through, before = everyone[one.through], everyone[one.before]
        own_through, own_before = own[one.own_through], own[one.own_before]
        drawn = weights[one.own]
        n_own, n_others = own[-1], everyone[-1] - own[-1]
        hit_rate = np.divide(own_through, through, out=np.zeros_like(through), where=through > 0)
        precision.append(ratio((drawn * hit_rate).sum(axis=0), n_own))
        others_below = n_others - ((through - own_through) + (before - own_before)) / 2  # ties half
        auroc.append(ratio((drawn * others_below).sum(axis=0), n_own * n_others))
    return mean_defined(np.array(precision)), mean_defined(np.array(auroc))
