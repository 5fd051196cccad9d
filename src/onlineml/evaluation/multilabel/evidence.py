"""Counts by group, from which every score under any weights of the groups is computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from onlineml.evaluation.metrics import mean_defined, ratio
from onlineml.evaluation.multilabel.ranking import count_table, rank

if TYPE_CHECKING:
    from collections.abc import Mapping

    from onlineml.evaluation.multilabel.ranking import Ranking
    from onlineml.evaluation.types import Array, Floats, Ints

__all__ = ["Answers", "Evidence", "Weighted", "losses_per_image"]

_CHUNK_VALUES = 4_000_000  # 32 MB of float64 at a time


@dataclass(frozen=True, eq=False)
class Answers:
    """Predictions of a model for N images, K classes.

    Attributes:
        truth: (N, K) bool.
        predictions: (N, K) bool.
        probabilities: (N, K); None if they were not stored.
        codes: (N,) int64 group of each image.
        n_groups: G.
    """

    truth: Array
    predictions: Array
    probabilities: Floats | None
    codes: Ints
    n_groups: int

    @property
    def wrong(self) -> Ints:
        """(N,) int64 number of missed and false labels."""
        wrong: Ints = (self.truth != self.predictions).sum(axis=1).astype(np.int64)
        return wrong

    @property
    def right(self) -> Array:
        """(N,) bool: all labels are right."""
        right: Array = self.wrong == 0
        return right

    def shares(self) -> dict[str, tuple[Array, Array]]:
        """Numerator and denominator, (N,) each, of the scores that are ratios of sums over images."""
        n_true, n_given = self.truth.sum(axis=1), self.predictions.sum(axis=1)
        hits = (self.truth & self.predictions).sum(axis=1)
        one, neither = np.ones(len(hits)), (n_true == 0) & (n_given == 0)
        parts = {
            "subset_accuracy": (self.right, one),
            "hamming_loss": (self.wrong, one * self.truth.shape[1]),
            "micro_precision": (hits, n_given),
            "micro_recall": (hits, n_true),
            "micro_f1": (2 * hits, n_true + n_given),
            "samples_f1": (np.nan_to_num(ratio(2 * hits, n_true + n_given)), ~neither),
            "empty_recall": (neither, n_true == 0),
            "empty_precision": (neither, n_given == 0),
        }
        if self.probabilities is not None:
            losses = losses_per_image(self.probabilities, self.truth)
            parts["log_loss"] = (losses, one * self.truth.shape[1])
        return parts


def losses_per_image(probabilities: Floats, truth: Array) -> Floats:
    """Return binary cross-entropy in nats, summed over the classes: (N,) float64.

    Probabilities are clipped to float64's machine epsilon (2.2e-16), as in scikit-learn for float64.
    """
    losses = np.zeros(len(truth))
    tiny = np.finfo(np.float64).eps
    step = max(1, _CHUNK_VALUES // max(1, truth.shape[1]))
    for start in range(0, len(truth), step):
        rows = slice(start, start + step)
        given = probabilities[rows].astype(np.float64)
        losses[rows] = -np.log(np.clip(np.where(truth[rows], given, 1 - given), tiny, 1)).sum(axis=1)
    return losses


class Weighted(NamedTuple):
    """Scores under b weightings of the groups.

    Attributes:
        scores: (b,) by name.
        per_class: (b, K) ``precision``, ``recall``, ``f1``, and ``ap`` if the classes are ranked.
        slices: (b, S) F1 of all classes together in each slice, by column.
    """

    scores: dict[str, Floats]
    per_class: dict[str, Floats]
    slices: dict[str, Floats]


@dataclass(frozen=True, eq=False)
class Evidence:
    """Counts by group.

    Attributes:
        names: names of the scores that are ratios.
        above: (M, G) float64 sums of the numerator of each ratio; below: sums of the denominator.
        counts: (K, G) sparse, images of each class that were found, predicted, and present.
        slices: (S, G) sparse, labels found, and labels true and predicted, by column.
        rankings: ranking of each class; None if no probabilities were stored.
        pooled: ranking of all classes together; None if not computed.
    """

    names: tuple[str, ...]
    above: Floats
    below: Floats
    counts: tuple[Any, Any, Any]
    slices: dict[str, tuple[Any, Any]]
    rankings: tuple[Ranking, ...] | None
    pooled: Ranking | None

    @classmethod
    def of(
        cls, answers: Answers, cuts: Mapping[str, tuple[Ints, list[str]]] | None = None, *, pooled: bool = True
    ) -> Evidence:
        """Count a model's predictions.

        Args:
            answers: predictions of a model.
            cuts: (N,) int64 codes and the text of each, by column.
            pooled: whether all classes are ranked together too, which takes as long as ranking each.
        """
        shares = answers.shares()
        above, below = (
            np.array([_by_group(parts[side], answers) for parts in shares.values()]).reshape(len(shares), -1)
            for side in (0, 1)
        )
        found = answers.truth & answers.predictions
        hits, given, there = (_pairs(marked, answers) for marked in (found, answers.predictions, answers.truth))
        rankings = _rankings(answers)
        return cls(
            names=tuple(shares),
            above=above,
            below=below,
            counts=(hits, given, there),
            slices={column: _of_slices(answers, codes, len(names)) for column, (codes, names) in (cuts or {}).items()},
            rankings=rankings,
            pooled=_pooled(answers) if pooled and rankings is not None else None,
        )

    @property
    def work(self) -> int:
        """Number of products that ranking takes in one resample."""
        return sum(ranking.work for ranking in self._every())

    @property
    def n_levels(self) -> int:
        """Number of values of the longest ranking per resample."""
        return max((ranking.own.shape[0] for ranking in self._every()), default=1)

    def _every(self) -> list[Ranking]:
        return [*(self.rankings or ()), *([] if self.pooled is None else [self.pooled])]

    def under(self, weights: Floats, *, ranked: bool = True) -> Weighted:
        """Return the scores under (G, b) weights of the groups; those of the rankings only if they are `ranked`."""
        ratios = ratio(self.above @ weights, self.below @ weights)
        scores = dict(zip(self.names, ratios, strict=True))
        hits, given, support = (table @ weights for table in self.counts)
        per_class = {
            "precision": ratio(hits, given),
            "recall": ratio(hits, support),
            "f1": ratio(2 * hits, given + support),
        }
        scores["macro_f1"] = mean_defined(per_class["f1"])
        if ranked and self.rankings is not None:
            per_class["ap"] = np.array([ranking.average_precision(weights) for ranking in self.rankings])
            scores["map"] = mean_defined(per_class["ap"])
            if self.pooled is not None:
                scores["micro_ap"] = self.pooled.average_precision(weights)
        slices = {column: ratio(2 * (up @ weights), down @ weights).T for column, (up, down) in self.slices.items()}
        return Weighted(scores, {name: values.T for name, values in per_class.items()}, slices)


def _by_group(values: Array, answers: Answers) -> Floats:
    sums: Floats = np.bincount(answers.codes, weights=values, minlength=answers.n_groups).astype(np.float64)
    return sums


def _pairs(marked: Array, answers: Answers) -> Any:
    images, classes = np.nonzero(marked)
    return count_table(classes, answers.codes[images], n_rows=marked.shape[1], n_groups=answers.n_groups)


def _of_slices(answers: Answers, codes: Ints, n_slices: int) -> tuple[Any, Any]:
    """Return the labels found, and the labels true and predicted together, of each slice and group."""

    def table(marked: Array) -> Any:
        images = np.nonzero(marked)[0]
        return count_table(codes[images], answers.codes[images], n_rows=n_slices, n_groups=answers.n_groups)

    return table(answers.truth & answers.predictions), table(answers.truth) + table(answers.predictions)


def _rankings(answers: Answers) -> tuple[Ranking, ...] | None:
    if answers.probabilities is None:
        return None
    columns = zip(answers.probabilities.T, answers.truth.T, strict=True)
    return tuple(rank(scores, positive, answers.codes, n_groups=answers.n_groups) for scores, positive in columns)


def _pooled(answers: Answers) -> Ranking:
    assert answers.probabilities is not None  # noqa: S101 - asked before
    groups = np.repeat(answers.codes, answers.truth.shape[1])
    return rank(answers.probabilities.ravel(), answers.truth.ravel(), groups, n_groups=answers.n_groups)
