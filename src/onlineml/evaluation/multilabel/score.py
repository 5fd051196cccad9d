"""Computation of multi-label scores from probabilities and truth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from onlineml.errors import ConfigError
from onlineml.evaluation.classification import inputs
from onlineml.evaluation.intervals import group_codes, widened, with_exact
from onlineml.evaluation.metrics import ratio
from onlineml.evaluation.multilabel.bootstrap import resample
from onlineml.evaluation.multilabel.evidence import Answers, Evidence, losses_per_image
from onlineml.evaluation.multilabel.inputs import checked_class_names, checked_thresholds, checked_truth
from onlineml.evaluation.multilabel.result import MultilabelScores
from onlineml.evaluation.multilabel.tables import LabelScore, MultilabelSlice, PerLabel, WrongImage
from onlineml.evaluation.slices import cut

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onlineml.evaluation.classification.bootstrap import Resampled
    from onlineml.evaluation.multilabel.evidence import Weighted
    from onlineml.evaluation.types import Array, Floats, Interval, Ints

__all__ = ["MultilabelScores", "multilabel_scores"]


def multilabel_scores(
    probabilities: Array,
    truth: Array,
    class_names: Sequence[str],
    *,
    thresholds: float | Mapping[str, float] | Sequence[float] | Array | None = None,
    groups: Sequence[object] | Array | None = None,
    image_ids: Sequence[str] | None = None,
    uris: Sequence[str] | None = None,
    slices: Mapping[str, Sequence[Any] | Array] | None = None,
    thumbnails: Mapping[str, bytes] | None = None,
    n_worst: int = 100,
    n_bootstrap: int = 1000,
    seed: int = 0,
    split: str = "",
    manifest_hash: str = "",
    model_ref: str = "",
) -> MultilabelScores:
    """Score a classifier that assigns any number of labels to an image.

    Definitions are scikit-learn's with ``zero_division=nan``: a ratio with a denominator of 0 is nan, and excluded from
    means. The memory needed is that of a few tables of N x K.

    Args:
        probabilities: (N, K) in [0, 1], independent per class (the sigmoid); rows need not sum to 1. float64 is kept,
            other types become float32.
        truth: (N, K) bool, or numbers that are 0 or 1: the image shows the class. A row may have none.
        class_names: K distinct names, in the order of the columns.
        thresholds: the minimum probability at which a label is predicted, in [0, 1]: one number, one per class by name,
            (K,) as chosen by `best_multilabel_thresholds` on validation, or None: 0.5.
        groups: one value per image, shared by images that are not independent: a video, a person, a photo. Intervals
            resample groups; None (for all, or for an image) means that an image is independent.
        image_ids: N distinct ids; the row numbers by default.
        uris: location of each image.
        slices: columns, N values each, for whose values F1 and subset accuracy are reported separately.
        thumbnails: small PNG or JPEG bytes by image id, shown in reports.
        n_worst: number of the images with wrong labels to list, those with the largest cross-entropy first.
        n_bootstrap: number of resamples for the intervals; 0: no intervals.
        seed: seed of the resamples; the same seed results in the same intervals.
        split: name of the split, recorded in the scores.
        manifest_hash: dataset version, recorded in the scores.
        model_ref: the model, recorded in the scores.

    Returns:
        The scores; each is nan without images.

    Raises:
        DataError: shapes do not match; rows contain nan or values outside [0, 1], or truths other than 0 and 1; by
            image.
        UnknownClassError: thresholds of unknown classes.
        ConfigError: thresholds outside [0, 1] or of some classes only, or a negative `n_bootstrap` or `n_worst`.
    """
    names = checked_class_names(class_names)
    array = inputs.checked_probabilities(probabilities, n_classes=len(names))
    ids = inputs.checked_ids(image_ids, n_images=len(array))
    inputs.refuse_repeated(ids)
    places = inputs.checked_ids(uris, n_images=len(array), what="uris") if uris is not None else ("",) * len(array)
    marked = checked_truth(truth, ids, n_classes=len(names))
    inputs.refuse_bad_rows(array, ids, sum_to_one=False)
    cut_at = checked_thresholds(thresholds, names)
    if n_bootstrap < 0 or n_worst < 0:
        msg = f"n_bootstrap is {n_bootstrap} and n_worst {n_worst}; expected 0 or more of both"
        raise ConfigError(msg)
    columns = {str(name): inputs.plain_column(values) for name, values in (slices or {}).items()}
    cuts = {name: cut(name, values, n_images=len(ids)) for name, values in columns.items()}
    codes, n_groups = group_codes(groups, n_images=len(ids))
    answers = Answers(marked, array >= cut_at, array, codes, n_groups)
    evidence = Evidence.of(answers, cuts)
    whole = evidence.under(np.ones((n_groups, 1)))
    resampled = resample(evidence, n_groups=n_groups, n_bootstrap=n_bootstrap, seed=seed)
    scores = {name: float(values[0]) for name, values in whole.scores.items()}
    return MultilabelScores(
        class_names=names,
        model_ref=model_ref,
        split=split,
        manifest_hash=manifest_hash,
        image_ids=ids,
        uris=places,
        truth=marked,
        predictions=answers.predictions,
        probabilities=array,
        groups=None if groups is None else tuple(None if g is None else str(g) for g in groups),
        slices=columns,
        n_groups=n_groups,
        n_bootstrap=n_bootstrap,
        seed=seed,
        thresholds=dict(zip(names, cut_at.tolist(), strict=True)),
        intervals=_intervals(scores, evidence, resampled),
        per_class=_per_class(names, answers, whole, resampled, thresholds=cut_at),
        by_slice=_by_slice(cuts, answers, whole, resampled),
        worst=_worst(answers, names, ids, places, limit=n_worst),
        thumbnails=dict(thumbnails or {}),
        **scores,
    )


def _intervals(scores: dict[str, float], evidence: Evidence, resampled: Resampled) -> dict[str, Interval]:
    """Return one interval per score; for a ratio of exactly 0 or 1, from the groups with a non-zero denominator."""
    counted = dict(zip(evidence.names, (evidence.below > 0).sum(axis=1).tolist(), strict=True))
    counted["log_loss"] = 0  # not a ratio
    return {
        name: widened(value, resampled.scores.get(name), n_groups=counted.get(name, 0))
        for name, value in scores.items()
    }


def _per_class(
    names: tuple[str, ...], answers: Answers, whole: Weighted, resampled: Resampled, *, thresholds: Floats
) -> PerLabel:
    values = {name: column[0] for name, column in whole.per_class.items()}
    bounds = resampled.per_class
    none = np.full((len(names), 2), np.nan)

    def shares(name: str, marked: Array) -> Floats:
        images, classes = np.nonzero(marked)
        return with_exact(values[name], bounds.get(name), classes, answers.codes[images])

    return PerLabel(
        names=names,
        support=answers.truth.sum(axis=0).astype(np.int64),
        predicted=answers.predictions.sum(axis=0).astype(np.int64),
        threshold=thresholds,
        **values,
        precision_interval=shares("precision", answers.predictions),
        recall_interval=shares("recall", answers.truth),
        f1_interval=bounds.get("f1", none),
        ap_interval=bounds.get("ap", none),
    )


def _by_slice(
    cuts: dict[str, tuple[Ints, list[str]]], answers: Answers, whole: Weighted, resampled: Resampled
) -> tuple[MultilabelSlice, ...]:
    rows = []
    for column, (codes, values) in cuts.items():
        sizes = np.bincount(codes, minlength=len(values))
        accuracy = ratio(np.bincount(codes[answers.right], minlength=len(values)), sizes)
        f1 = whole.slices[column][0]
        bounds = with_exact(f1, resampled.slices.get(column), codes, answers.codes)
        rows += [
            MultilabelSlice(column, value, int(n), *map(float, (f, *low_high, right)))
            for value, n, f, low_high, right in zip(values, sizes, f1, bounds, accuracy, strict=True)
        ]
    return tuple(rows)


def _worst(
    answers: Answers, names: tuple[str, ...], ids: tuple[str, ...], uris: tuple[str, ...], *, limit: int
) -> tuple[WrongImage, ...]:
    given = answers.probabilities
    assert given is not None  # noqa: S101 - checked before
    losses = losses_per_image(given, answers.truth)
    wrong = np.flatnonzero(answers.wrong)
    first = wrong[np.argsort(-losses[wrong], kind="stable")][:limit]

    def listed(row: int, marked: Array, *, rising: bool) -> tuple[LabelScore, ...]:
        labels = [LabelScore(names[k], float(given[row, k])) for k in np.flatnonzero(marked[row])]
        return tuple(sorted(labels, key=lambda label: label.score if rising else -label.score))

    missed, false = answers.truth & ~answers.predictions, answers.predictions & ~answers.truth
    return tuple(
        WrongImage(
            image_id=ids[i],
            uri=uris[i],
            loss=float(losses[i]),
            truth=tuple(names[k] for k in np.flatnonzero(answers.truth[i])),
            missed=listed(i, missed, rising=True),
            false=listed(i, false, rising=False),
        )
        for i in first
    )
