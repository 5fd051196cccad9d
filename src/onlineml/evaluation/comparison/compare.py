"""Comparison of two models on the same images: `compare`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.errors import ConfigError
from onlineml.evaluation.classification.result import ClassificationScores
from onlineml.evaluation.comparison.classification import compare_classifiers
from onlineml.evaluation.comparison.detection import compare_detectors
from onlineml.evaluation.comparison.pairing import pair, shared_cuts
from onlineml.evaluation.comparison.result import ChangedImage, Comparison, NewClass, PartChange, ScoreChange
from onlineml.evaluation.detection.result import DetectionScores

if TYPE_CHECKING:
    from onlineml.evaluation.types import AnyScores

__all__ = ["ChangedImage", "Comparison", "NewClass", "PartChange", "ScoreChange", "compare"]


def compare(a: AnyScores, b: AnyScores, *, n_resamples: int = 1000, seed: int = 0) -> Comparison:
    """Compare two models image by image.

    The intervals are of the *difference*, paired, and over groups: both models see the same images, so that the images'
    difficulty cancels out. The interval of the accuracy is computed from random halves of the groups and keeps its
    nominal rate if few images change (see `onlineml.evaluation.comparison.result` and the guide on improving); so do
    those of average precision, for which detections are matched once. Other scores have percentile bootstrap intervals.

    Args:
        a: result of `onlineml.evaluate` for the first model: the current champion.
        b: result for the second model on the same images: the challenger. Its classes may be in another order, and
            there may be more of them: those are reported separately, with the images that show only new classes.
        n_resamples: number of resamples for the intervals (for the accuracy, always 20,000 halves); 0: no intervals for
            other scores.
        seed: seed of the resamples.

    Returns:
        Fixed, broken and unchanged images, by class and by slice; scores of both with intervals of their differences.

    Raises:
        DataError: the results are not about the same images, labels and groups, or `b` does not have all classes of
            `a`.
        ConfigError: a negative `n_resamples`.
    """
    if n_resamples < 0:
        msg = f"n_resamples is {n_resamples}; expected 0 (no intervals) or more, such as 1000"
        raise ConfigError(msg)
    paired = pair(a, b)
    cuts = shared_cuts(a, b, paired)
    if isinstance(a, ClassificationScores) and isinstance(b, ClassificationScores):
        return compare_classifiers(a, b, paired, cuts, n_resamples=n_resamples, seed=seed)
    assert isinstance(a, DetectionScores)  # noqa: S101 - `pair` refuses anything else
    assert isinstance(b, DetectionScores)  # noqa: S101
    return compare_detectors(a, b, paired, cuts, n_resamples=n_resamples, seed=seed)
