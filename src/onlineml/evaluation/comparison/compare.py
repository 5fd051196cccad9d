"""Comparison of two models on the same images: `compare`."""

from __future__ import annotations

from onlineml.errors import ConfigError, DataError
from onlineml.evaluation.base import BaseScores
from onlineml.evaluation.comparison.result import ChangedImage, Comparison, NewClass, PartChange, ScoreChange

__all__ = ["ChangedImage", "Comparison", "NewClass", "PartChange", "ScoreChange", "compare"]


def compare(a: BaseScores, b: BaseScores, *, n_resamples: int = 1000, seed: int = 0) -> Comparison:
    """Compare two models image by image.

    The intervals are of the *difference*, paired, and over groups: both models see the same images, so that the images'
    difficulty cancels out. The interval of the accuracy is computed from random halves of the groups and keeps its
    nominal rate if few images change (see `onlineml.evaluation.comparison.result` and the guide on improving); so do
    those of average precision, of detections and of labels. Other scores of a classifier have percentile bootstrap
    intervals.

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

    Example:
        >>> diff = oml.compare(scores, scores)
        >>> len(diff.fixed_ids), len(diff.broken_ids)
        (0, 0)
    """
    given: tuple[object, object] = (a, b)
    for scores in given:
        if not isinstance(scores, BaseScores):
            msg = f"compare was given a {type(scores).__name__}; expected two results of onlineml.evaluate"
            raise DataError(msg)
    if type(a) is not type(b):
        msg = f"a {type(a).__name__} cannot be compared with a {type(b).__name__}; pass two results of one task"
        raise DataError(msg)
    if n_resamples < 0:
        msg = f"n_resamples is {n_resamples}; expected 0 (no intervals) or more, such as 1000"
        raise ConfigError(msg)
    return a.compare_with(b, n_resamples=n_resamples, seed=seed)
