"""Comparison of two classifiers on the same images."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from onlineml.arguments.counted import count
from onlineml.data.manifest.examples import examples
from onlineml.evaluation import metrics
from onlineml.evaluation.comparison.counts import paired_counts
from onlineml.evaluation.comparison.pairing import align, shared_cuts
from onlineml.evaluation.comparison.parts import (
    new_classes,
    part_changes,
    score_change,
    share,
    shared_fields,
    slice_changes,
)
from onlineml.evaluation.comparison.result import ChangedImage, Comparison, ScoreChange
from onlineml.evaluation.intervals import percentile_interval, resample_weights, sums_by_code
from onlineml.evaluation.render import text as say

if TYPE_CHECKING:
    from onlineml.evaluation.classification.result import ClassificationScores
    from onlineml.evaluation.comparison.pairing import Pairing
    from onlineml.evaluation.types import Array, Floats, Ints

__all__ = ["compare_classifiers"]


@dataclasses.dataclass(frozen=True, eq=False)
class _Answers:
    """One model's predictions for the shared images.

    Attributes:
        scores: the scores as passed.
        rows: (N,) int64 rows in them.
        predictions: (N,) int64 indices into the names of both models' classes.
        right: (N,) bool.
        means: per-image values (N,) by the name of the score that is their mean.
    """

    scores: ClassificationScores
    rows: Ints
    predictions: Ints
    right: Array
    means: dict[str, Floats]


def compare_classifiers(a: ClassificationScores, b: ClassificationScores, *, n_resamples: int, seed: int) -> Comparison:
    """Compare two classifiers, see `onlineml.compare`."""
    paired = align(a, b, shows_new=_shows_new, truth_problems=_label_problems)
    cuts = shared_cuts(a, b, paired)
    labels = a.labels[paired.a_rows]
    first = _answers(a, paired.a_rows, np.arange(paired.n_shared), labels)
    second = _answers(b, paired.b_rows, paired.b_classes, labels)
    counts = dataclasses.replace(paired_counts(first.right, second.right, paired.codes), seed=seed)
    right = first.right, second.right
    accuracy = score_change("accuracy", share(first.right), share(second.right), counts)
    others = _other_scores(first, second, labels, paired, n_resamples=n_resamples, seed=seed)
    by_class = part_changes(*right, paired.codes, column="class", parts=labels, values=paired.shared_names)
    return Comparison(
        **shared_fields(a, b, paired, *right),
        new_classes=new_classes(b, paired, score="recall"),
        mistakes_a=(~first.right).astype(np.int64),
        mistakes_b=(~second.right).astype(np.int64),
        main="accuracy",
        scores=(accuracy, *others),
        evidence={"accuracy": counts},
        by_class=tuple(by_class),
        by_slice=slice_changes(*right, paired.codes, cuts),
        changed=_changed(first, second, labels, paired),
    )


def _shows_new(b: ClassificationScores, b_classes: Ints, n_shared: int) -> Array:
    """Return (rows of b,) bool: shows only new classes."""
    shown: Array = b_classes[b.labels] >= n_shared
    return shown


def _label_problems(a: ClassificationScores, b: ClassificationScores, paired: Pairing) -> list[str]:
    was, now = a.labels[paired.a_rows], paired.b_classes[b.labels[paired.b_rows]]
    rows = np.flatnonzero(was != now)
    shown = [
        f"{a.image_ids[paired.a_rows[i]]!r} ({paired.class_names[was[i]]!r}, {paired.class_names[now[i]]!r})"
        for i in rows
    ]
    return [f"{count(len(rows), 'image has')} different labels: {examples(shown, text=str)}"] if shown else []


def _answers(scores: ClassificationScores, rows: Ints, classes: Ints, labels: Ints) -> _Answers:
    predictions = classes[scores.predictions[rows]]
    means: dict[str, Floats] = {}
    if scores.probabilities is not None:
        given, truth = scores.probabilities[rows], scores.labels[rows]
        means["log_loss"] = metrics.log_loss_per_image(given, truth)
        means["brier"] = metrics.brier_per_image(given, truth)
        ranks = metrics.truth_ranks(given, truth)
        n_classes = len(scores.class_names)
        means |= {f"top_{k}": (ranks < k).astype(np.float64) for k in scores.top_k if 1 < k < n_classes}
    return _Answers(scores, rows, predictions, predictions == labels, means)


def _other_scores(
    first: _Answers, second: _Answers, labels: Ints, paired: Pairing, *, n_resamples: int, seed: int
) -> list[ScoreChange]:
    """Return the scores that depend on more than fixed and broken images, with bootstrap intervals over groups."""
    shared = [name for name in (*first.means, *second.means) if name in first.means and name in second.means]
    names = ["balanced_accuracy", "macro_f1", *dict.fromkeys(shared)]
    n_classes = len(paired.class_names)

    def both(weights: Floats) -> list[dict[str, Floats]]:
        return [_weighted(one, labels, weights, names, n_classes) for one in (first, second)]

    a, b = both(np.ones((1, len(labels))))
    drawn: dict[str, list[Floats]] = {name: [np.zeros(0)] for name in names}
    for weights in resample_weights(
        n_groups=paired.n_groups, n_bootstrap=n_resamples, seed=seed, row_values=max(len(labels), n_classes)
    ):
        of_a, of_b = both(weights[:, paired.codes])
        for name in names:
            drawn[name].append(of_b[name] - of_a[name])
    changes = []
    for name in names:
        low, high = percentile_interval(np.concatenate(drawn[name])).tolist()
        was, now = float(a[name][0]), float(b[name][0])
        changes.append(ScoreChange(name, was, now, now - was, low, high))
    return changes


def _weighted(one: _Answers, labels: Ints, weights: Floats, names: list[str], n_classes: int) -> dict[str, Floats]:
    """Return (b,) scores under (b, N) weights of the images, by name."""
    scores = metrics.scores_from_counts(
        sums_by_code(weights[:, one.right], labels[one.right], n_codes=n_classes),
        sums_by_code(weights, one.predictions, n_codes=n_classes),
        sums_by_code(weights, labels, n_codes=n_classes),
    )
    total = weights.sum(axis=1)
    means = {name: metrics.ratio(weights @ values, total) for name, values in one.means.items() if name in names}
    return {name: means[name] if name in means else scores[name] for name in names}


def _changed(first: _Answers, second: _Answers, labels: Ints, paired: Pairing) -> tuple[ChangedImage, ...]:
    """Return broken images, then fixed ones, by descending confidence of the wrong model."""
    changed = []
    sure_a, sure_b = (one.scores.confidences[one.rows] for one in (first, second))
    for change, rows, sure in (
        ("broken", np.flatnonzero(first.right & ~second.right), sure_b),
        ("fixed", np.flatnonzero(second.right & ~first.right), sure_a),
    ):
        for i in rows[np.argsort(-sure[rows], kind="stable")].tolist():
            prediction_a, prediction_b = (
                f"{paired.class_names[one.predictions[i]]} {say.percent(float(confidence[i]))}"
                for one, confidence in ((first, sure_a), (second, sure_b))
            )
            truth = paired.class_names[labels[i]]
            changed.append(ChangedImage(paired.image_ids[i], paired.uris[i], change, truth, prediction_a, prediction_b))
    return tuple(changed)
