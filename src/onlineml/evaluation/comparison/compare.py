"""`compare`: what one model does better and worse than another on the same images."""

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

    The intervals are of the *difference*, paired: both models answer the same images, so that what is hard for both
    cancels out, and over groups. That of the accuracy comes from random halves of the groups and keeps its rate where
    few images change (see `onlineml.evaluation.comparison.result` and the guide on improving); so do those of average
    precision, for which detections are matched once. Other scores have percentile bootstrap intervals.

    Args:
        a: result of `onlineml.evaluate` for the first model: the champion, the one in use.
        b: of the second, on the same images: the challenger. Its classes may stand in another order, and there may be
            more of them: those are reported apart, with the images that show them alone.
        n_resamples: resamples of the intervals (of the accuracy, always 20,000 halves); 0: none for other scores.
        seed: of the resamples.

    Returns:
        Fixed, broken and unchanged images, by class and by slice; scores of both with intervals of their differences.

    Raises:
        DataError: the results are not about the same images, labels and groups, or `b` lacks a class of `a`.
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
