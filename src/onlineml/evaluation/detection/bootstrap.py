"""Confidence intervals of a detector's scores: detections are matched once, and each resample weights the images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from onlineml.evaluation.classification.bootstrap import Resampled, Samples
from onlineml.evaluation.detection.ranking import class_ap, coco_numbers, n_objects
from onlineml.evaluation.intervals import resample_weights, sums_by_code
from onlineml.evaluation.metrics import mean_defined, ratio, scores_from_counts

if TYPE_CHECKING:
    from onlineml.evaluation.detection.ranking import Ranking
    from onlineml.evaluation.types import Floats, Ints

__all__ = ["DetectionEvidence", "counted_scores", "resample_detections", "resamples_within_reach"]

MAX_WORK = 400_000_000  # values read, at about 20 ns each: 8 s on one core
MIN_RESAMPLES = 100  # minimum for meaningful 2.5th and 97.5th percentiles
_PER_CLASS = ("precision", "recall", "f1")


@dataclass(frozen=True, eq=False)
class DetectionEvidence:
    """Data that the resamples weight.

    Attributes:
        rankings: by range of areas, as returned by `rank_areas`.
        counted_image: (S,) int64 image of each box at or above its class's threshold, without those on crowds.
        counted_label: (S,) int64.
        counted_hit: (S,) bool, found an object of its class.
        codes: (N,) int64 group of each image.
        n_groups: G.
        slices: (N,) int64 codes and their number, by column.
    """

    rankings: dict[str, Ranking]
    counted_image: Ints
    counted_label: Ints
    counted_hit: Floats
    codes: Ints
    n_groups: int
    slices: dict[str, tuple[Ints, int]]


def counted_scores(evidence: DetectionEvidence, weights: Floats) -> dict[str, Floats]:
    """Return precision, recall and F1 at the thresholds: of each class (b, C), and over all classes (b,).

    Macro is as in `scores_from_counts`; micro pools the boxes and objects of all classes.
    """
    everything = evidence.rankings[""]
    n_classes = everything.n_classes
    right, hits = weights[:, evidence.counted_image], evidence.counted_hit
    found = sums_by_code(right[:, hits], evidence.counted_label[hits], n_codes=n_classes)
    counted = sums_by_code(right, evidence.counted_label, n_codes=n_classes)
    support = n_objects(everything, weights)
    scores = scores_from_counts(found, counted, support)
    n_found, n_counted, n_there = (counts.sum(axis=-1) for counts in (found, counted, support))
    pooled = {
        "micro_precision": ratio(n_found, n_counted),
        "micro_recall": ratio(n_found, n_there),
        "micro_f1": ratio(2 * n_found, n_counted + n_there),
    }
    return pooled | {name: scores[name] for name in (*_PER_CLASS, *(f"macro_{name}" for name in _PER_CLASS))}


def resamples_within_reach(evidence: DetectionEvidence, n_bootstrap: int) -> int:
    """Return the requested number of resamples, or fewer (at least 100) for very many detections, to limit time."""
    work = sum(ranked.work for ranked in evidence.rankings.values())
    work += len(evidence.slices) * evidence.rankings[""].at(slice(0, 1)).work
    return min(n_bootstrap, max(MIN_RESAMPLES, MAX_WORK // max(work, 1)))


def resample_detections(evidence: DetectionEvidence, *, n_bootstrap: int, seed: int) -> Resampled:
    """Return intervals of every score, class and slice from `n_bootstrap` resamples of groups; empty without resamples.

    The intervals of average precision are computed by `centred_interval`.
    """
    everything = evidence.rankings[""]
    of_slices = _slice_rankings(evidence)
    samples, middles = Samples(), Samples()
    if not len(evidence.codes) or not n_bootstrap:
        return samples.resampled()
    _resample_precision(evidence, of_slices, np.ones((1, len(evidence.codes))), middles)
    sizes = (int(np.diff(everything.starts).max(initial=0)), len(evidence.codes), len(evidence.counted_image))
    for drawn in resample_weights(
        n_groups=evidence.n_groups, n_bootstrap=n_bootstrap, seed=seed, row_values=max(*sizes, everything.n_classes)
    ):
        weights = drawn[:, evidence.codes]
        recall = _resample_precision(evidence, of_slices, weights, samples)
        for name, values in (recall | counted_scores(evidence, weights)).items():
            (samples.per_class if name in _PER_CLASS else samples.scores).setdefault(name, []).append(values)
    return samples.resampled(middles)


def _resample_precision(
    evidence: DetectionEvidence, of_slices: dict[str, list[Ranking]], weights: Floats, samples: Samples
) -> dict[str, Floats]:
    """Store the scores based on average precision; return COCO's other numbers."""
    numbers, precision = coco_numbers(evidence.rankings, weights)
    for name in [name for name in numbers if name.startswith("map")]:
        samples.scores.setdefault(name, []).append(numbers.pop(name))
    for name, values in (("ap", precision.mean(axis=2)), ("ap_50", precision[..., 0])):
        samples.per_class.setdefault(name, []).append(values)
    for column, rankings in of_slices.items():
        values = np.stack([mean_defined(class_ap(ranked, weights)[..., 0].T) for ranked in rankings], axis=1)
        samples.slices.setdefault(column, []).append(values)
    return numbers


def _slice_rankings(evidence: DetectionEvidence) -> dict[str, list[Ranking]]:
    """Return rankings at an IoU of 0.5 of the images of each slice."""
    half = evidence.rankings[""].at(slice(0, 1))
    return {
        column: [half.of_images(codes == code) for code in range(n_codes)]
        for column, (codes, n_codes) in evidence.slices.items()
    }
