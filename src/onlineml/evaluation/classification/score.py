"""Computation of a classifier's scores from predictions and truth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from onlineml.errors import ConfigError
from onlineml.evaluation import metrics
from onlineml.evaluation.classification import inputs
from onlineml.evaluation.classification.bootstrap import Evidence, Resampled, resample
from onlineml.evaluation.classification.result import ClassificationScores
from onlineml.evaluation.classification.tables import Mistake, PerClass, Reliability
from onlineml.evaluation.intervals import group_codes, widened, with_exact
from onlineml.evaluation.slices import SliceScore, cut

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onlineml.evaluation.types import Array, Floats, Interval, Ints

__all__ = ["ClassificationScores", "classification_scores"]

_SHARES = ("accuracy", "micro_precision", "micro_recall", "micro_f1", "weighted_recall")


def classification_scores(
    probabilities: Array,
    labels: Sequence[object] | Array,
    class_names: Sequence[str],
    *,
    groups: Sequence[object] | Array | None = None,
    image_ids: Sequence[str] | None = None,
    uris: Sequence[str] | None = None,
    slices: Mapping[str, Sequence[Any] | Array] | None = None,
    thumbnails: Mapping[str, bytes] | None = None,
    top_k: Sequence[int] = (1, 3, 5),
    n_mistakes: int = 100,
    n_bootstrap: int = 1000,
    seed: int = 0,
    split: str = "",
    manifest_hash: str = "",
    model_ref: str = "",
) -> ClassificationScores:
    """Score a single-label classifier.

    Args:
        probabilities: (N, C) in [0, 1], rows summing to 1 (the softmax). float64 is kept, other types become float32.
        labels: (N,) class ids in [0, C), or class names.
        class_names: C distinct names, in the order of the columns.
        groups: one value per image, shared by images that are not independent: a video, a person, a photo. Intervals
            resample groups; None (for all, or for an image) means that an image is independent.
        image_ids: N distinct ids; the row numbers by default.
        uris: location of each image.
        slices: columns, N values each, for whose values the accuracy is reported separately.
        thumbnails: small PNG or JPEG bytes by image id, shown in reports.
        top_k: values of k to score.
        n_mistakes: number of mistakes to list, most confident first.
        n_bootstrap: number of resamples for the intervals; 0: no intervals.
        seed: seed of the resamples; the same seed results in the same intervals.
        split: name of the split, recorded in the scores.
        manifest_hash: dataset version, recorded in the scores.
        model_ref: the model, recorded in the scores.

    Returns:
        The scores; each is nan without images.

    Raises:
        DataError: shapes do not match, or rows contain nan or are not probabilities; by image.
        UnknownClassError: labels are not classes; by image.
        ConfigError: a k below 1, or a negative `n_bootstrap`.
    """
    names = inputs.checked_names(class_names)
    array = inputs.checked_probabilities(probabilities, n_classes=len(names))
    ids = inputs.checked_ids(image_ids, n_images=len(array))
    inputs.refuse_repeated(ids)
    places = inputs.checked_ids(uris, n_images=len(array), what="uris") if uris is not None else ("",) * len(array)
    truth = inputs.checked_labels(labels, names, ids)
    inputs.refuse_bad_rows(array, ids)
    if any(k < 1 for k in top_k) or n_bootstrap < 0:
        msg = f"top_k is {tuple(top_k)} and n_bootstrap {n_bootstrap}; expected every k >= 1 and n_bootstrap >= 0"
        raise ConfigError(msg)
    columns = {str(name): inputs.plain_column(values) for name, values in (slices or {}).items()}
    cuts = {name: cut(name, values, n_images=len(ids)) for name, values in columns.items()}
    evidence = _evidence(array, truth, groups=groups, slices=cuts, top_k=top_k)
    resampled = resample(evidence, n_bootstrap=n_bootstrap, seed=seed)
    ap, auroc = metrics.ranking_scores(array, truth)
    scores = _single_scores(evidence, ap=ap, auroc=auroc)
    return ClassificationScores(
        class_names=names,
        model_ref=model_ref,
        split=split,
        manifest_hash=manifest_hash,
        image_ids=ids,
        uris=places,
        labels=truth,
        predictions=evidence.predictions,
        confidences=evidence.confidences,
        probabilities=array,
        groups=None if groups is None else tuple(None if g is None else str(g) for g in groups),
        slices=columns,
        n_groups=evidence.n_groups,
        n_bootstrap=n_bootstrap,
        seed=seed,
        top_k={k: scores[f"top_{k}"] for k in top_k},
        intervals=_intervals(scores, resampled, n_groups=evidence.n_groups),
        per_class=_per_class(names, evidence, resampled, ap=ap, auroc=auroc),
        reliability=_reliability(evidence),
        by_slice=_by_slice(cuts, evidence, resampled),
        mistakes=_mistakes(array, evidence, names, ids, places, limit=n_mistakes),
        thumbnails=dict(thumbnails or {}),
        **{name: value for name, value in scores.items() if not name.startswith("top_")},
    )


def _evidence(
    probabilities: Floats,
    labels: Ints,
    *,
    groups: Sequence[object] | Array | None,
    slices: dict[str, tuple[Ints, list[str]]],
    top_k: Sequence[int],
) -> Evidence:
    n_images, n_classes = probabilities.shape
    codes, n_groups = group_codes(groups, n_images=n_images)
    predictions = probabilities.argmax(axis=1) if n_images else np.zeros(0, np.int64)
    ranks = metrics.truth_ranks(probabilities, labels)
    means: dict[str, Floats] = {f"top_{k}": (ranks < k).astype(np.float64) for k in top_k}
    means["log_loss"] = metrics.log_loss_per_image(probabilities, labels)
    means["brier"] = metrics.brier_per_image(probabilities, labels)
    return Evidence(
        labels=labels,
        predictions=predictions.astype(np.int64, copy=False),
        confidences=probabilities[np.arange(n_images), predictions].astype(np.float64),
        means=means,
        codes=codes,
        n_groups=n_groups,
        n_classes=n_classes,
        slices={name: (numbers, len(values)) for name, (numbers, values) in slices.items()},
        probabilities=probabilities,
    )


def _counts(evidence: Evidence) -> tuple[Ints, Ints, Ints]:
    right = evidence.labels == evidence.predictions
    of = (evidence.labels[right], evidence.predictions, evidence.labels)
    hits, predicted, support = (np.bincount(c, minlength=evidence.n_classes).astype(np.int64) for c in of)
    return hits, predicted, support


def _single_scores(evidence: Evidence, *, ap: Floats, auroc: Floats) -> dict[str, float]:
    scores: dict[str, Any] = metrics.scores_from_counts(*_counts(evidence))
    for name in ("precision", "recall", "f1"):
        del scores[name]
    n_images = len(evidence.labels)
    scores |= {name: metrics.ratio(values.sum(), n_images) for name, values in evidence.means.items()}
    scores["map"], scores["auroc_macro"] = (metrics.mean_defined(values) for values in (ap, auroc))
    scores["ece"] = _reliability(evidence).ece
    return {name: float(value) for name, value in scores.items()}


def _reliability(evidence: Evidence) -> Reliability:
    bins = metrics.calibration_bins(evidence.confidences)
    size = metrics.N_CALIBRATION_BINS
    counts = np.bincount(bins, minlength=size)
    edges = np.linspace(0, 1, size + 1)
    right = (evidence.labels == evidence.predictions).astype(np.float64)
    sums = [np.bincount(bins, weights=values, minlength=size) for values in (evidence.confidences, right)]
    confidence, accuracy = (metrics.ratio(values, counts) for values in sums)
    return Reliability(edges[:-1], edges[1:], counts.astype(np.int64), confidence, accuracy)


def _pair(bounds: Floats) -> Interval:
    return float(bounds[0]), float(bounds[1])


def _intervals(scores: dict[str, float], resampled: Resampled, *, n_groups: int) -> dict[str, Interval]:
    """Return one interval per score."""
    return {
        name: widened(
            value,
            resampled.scores.get(name),
            n_groups=n_groups if name in _SHARES or name.startswith("top_") else 0,
        )
        for name, value in scores.items()
    }


def _per_class(
    names: tuple[str, ...], evidence: Evidence, resampled: Resampled, *, ap: Floats, auroc: Floats
) -> PerClass:
    hits, predicted, support = _counts(evidence)
    scores = metrics.scores_from_counts(hits, predicted, support)
    bounds = resampled.per_class
    groups = evidence.codes
    return PerClass(
        names=names,
        support=support,
        predicted=predicted,
        precision=scores["precision"],
        recall=scores["recall"],
        f1=scores["f1"],
        ap=ap,
        auroc=auroc,
        precision_interval=with_exact(scores["precision"], bounds.get("precision"), evidence.predictions, groups),
        recall_interval=with_exact(scores["recall"], bounds.get("recall"), evidence.labels, groups),
        f1_interval=bounds.get("f1", np.full((len(names), 2), np.nan)),
    )


def _by_slice(
    cuts: dict[str, tuple[Ints, list[str]]], evidence: Evidence, resampled: Resampled
) -> tuple[SliceScore, ...]:
    right = evidence.labels == evidence.predictions
    rows = []
    for column, (codes, values) in cuts.items():
        sizes = np.bincount(codes, minlength=len(values))
        accuracy = metrics.ratio(np.bincount(codes[right], minlength=len(values)), sizes)
        bounds = with_exact(accuracy, resampled.slices.get(column), codes, evidence.codes)
        rows += [
            SliceScore(column, value, int(sizes[i]), float(accuracy[i]), *_pair(bounds[i]))
            for i, value in enumerate(values)
        ]
    return tuple(rows)


def _mistakes(
    probabilities: Floats,
    evidence: Evidence,
    names: tuple[str, ...],
    ids: tuple[str, ...],
    uris: tuple[str, ...],
    *,
    limit: int,
) -> tuple[Mistake, ...]:
    wrong = np.flatnonzero(evidence.labels != evidence.predictions)
    first = wrong[np.argsort(-evidence.confidences[wrong], kind="stable")][:limit]
    return tuple(
        Mistake(
            image_id=ids[i],
            uri=uris[i],
            truth=names[evidence.labels[i]],
            predicted=names[evidence.predictions[i]],
            score=float(evidence.confidences[i]),
            truth_score=float(probabilities[i, evidence.labels[i]]),
        )
        for i in first
    )
