"""Comparison of two models on the same images, each of which has any number of labels."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from onlineml.arguments.counted import count
from onlineml.data.manifest.examples import examples
from onlineml.evaluation.comparison.counts import half_weights, paired_counts
from onlineml.evaluation.comparison.pairing import align, shared_cuts
from onlineml.evaluation.comparison.parts import new_classes, part_change, score_change, shared_fields, slice_changes
from onlineml.evaluation.comparison.result import ChangedImage, Comparison, PartChange
from onlineml.evaluation.comparison.samples import PairedSamples
from onlineml.evaluation.multilabel.bootstrap import rankings_within_reach
from onlineml.evaluation.multilabel.evidence import Answers, Evidence
from onlineml.evaluation.multilabel.text import label_list

if TYPE_CHECKING:
    from onlineml.evaluation.comparison.counts import PairedCounts
    from onlineml.evaluation.comparison.pairing import Pairing
    from onlineml.evaluation.multilabel.result import MultilabelScores
    from onlineml.evaluation.types import Array, Floats, Ints

__all__ = ["compare_multilabel"]

MAIN = "subset_accuracy"
_DECIDING = ("map", "micro_f1", "macro_f1")  # further scores that a gate may use; higher is better for each
_REPORTED = (*_DECIDING, "samples_f1", "hamming_loss", "log_loss")


class _Both(NamedTuple):
    """Predictions of both models for the shared images and classes, with their alignment."""

    first: Answers
    second: Answers
    paired: Pairing


class _Halves(NamedTuple):
    """Scores of both models on random halves of the groups.

    Attributes:
        whole: scores of the first and the second model on all images, (1,) by name, and (1, K) F1 under ``f1``.
        drawn: (B,) differences on the halves by name, and (B, K) of F1.
    """

    whole: tuple[dict[str, Floats], dict[str, Floats]]
    drawn: dict[str, Floats]


def compare_multilabel(a: MultilabelScores, b: MultilabelScores, *, n_resamples: int, seed: int) -> Comparison:
    """Compare two multi-label classifiers image by image; see `onlineml.compare`.

    An item is an image, and it is right if all its labels are (`subset_accuracy`, the main score). That is the paired
    score because it is binary per image, for which the intervals, McNemar's test and the counts of fixed and broken
    images keep their nominal rates. The Hamming accuracy consists mostly of labels that are correctly not predicted, so
    that a margin of one point would allow a model to drop every label of a rare class. If hardly any image is
    completely right, as with many classes, ``map``, ``micro_f1`` or ``macro_f1`` are more informative; a gate may use
    each of them.

    Intervals are of the difference, with both models on the same random halves of the groups. A class is compared by
    its F1 at the thresholds, a slice by its subset accuracy.
    """
    paired = align(a, b, shows_new=_shows_new, truth_problems=_truth_problems)
    both = _Both(_answers(a, paired.a_rows, np.arange(paired.n_shared), paired),
                 _answers(b, paired.b_rows, _columns_of_b(paired), paired), paired)  # fmt: skip
    halves = _drawn(both, n_resamples=n_resamples, seed=seed)
    return _comparison(a, b, both, halves, seed=seed)


def _comparison(a: MultilabelScores, b: MultilabelScores, both: _Both, halves: _Halves, *, seed: int) -> Comparison:
    first, second, paired = both
    counts = dataclasses.replace(paired_counts(first.right, second.right, paired.codes), seed=seed)
    whole_a, whole_b = (
        {name: float(values[0]) for name, values in one.items() if name != "f1"} for one in halves.whole
    )
    samples = {name: _samples(halves, name, paired) for name in _REPORTED if name in halves.drawn}
    evidence: dict[str, PairedCounts | PairedSamples] = {MAIN: counts, **samples}
    return Comparison(
        **shared_fields(a, b, paired, first.right, second.right),
        new_classes=new_classes(b, paired, score="recall"),
        mistakes_a=first.wrong,
        mistakes_b=second.wrong,
        main=MAIN,
        scores=tuple(score_change(name, whole_a[name], whole_b[name], one) for name, one in evidence.items()),
        evidence={name: evidence[name] for name in (MAIN, *_DECIDING) if name in evidence},
        by_class=_by_class(both, halves),
        by_slice=slice_changes(first.right, second.right, paired.codes, shared_cuts(a, b, paired)),
        changed=_changed(both),
        class_score="F1",
    )


def _columns_of_b(paired: Pairing) -> Ints:
    """Return (C,) indices of the shared classes among those of the second model."""
    return np.argsort(paired.b_classes, kind="stable")[: paired.n_shared].astype(np.int64)


def _shows_new(b: MultilabelScores, b_classes: Ints, n_shared: int) -> Array:
    """Return (rows of b,) bool: shows only new classes."""
    new = b_classes >= n_shared
    only: Array = (b.truth[:, new].sum(axis=1) > 0) & (b.truth[:, ~new].sum(axis=1) == 0)
    return only


def _truth_problems(a: MultilabelScores, b: MultilabelScores, paired: Pairing) -> list[str]:
    if set(a.class_names) - set(b.class_names):
        return []  # reported as a separate problem
    differs = (a.truth[paired.a_rows] != b.truth[paired.b_rows][:, _columns_of_b(paired)]).any(axis=1)
    ids = [paired.image_ids[i] for i in np.flatnonzero(differs)]
    return [f"{count(len(ids), 'image has')} different labels in the truth: {examples(ids)}"] if ids else []


def _answers(scores: MultilabelScores, rows: Ints, columns: Ints, paired: Pairing) -> Answers:
    """Return the predictions for the shared images and classes."""
    at = np.ix_(rows, columns)
    given = None if scores.probabilities is None else scores.probabilities[at]
    return Answers(scores.truth[at], scores.predictions[at], given, paired.codes, paired.n_groups)


def _drawn(both: _Both, *, n_resamples: int, seed: int) -> _Halves:
    models = [Evidence.of(one, pooled=False) for one in (both.first, both.second)]
    n_groups = both.paired.n_groups
    whole = [_flat(model, np.ones((n_groups, 1))) for model in models]
    drawn: dict[str, list[Floats]] = {name: [whole[1][name][:0]] for name in whole[0] if name in whole[1]}
    for halves in half_weights(
        n_groups=n_groups,
        n_resamples=rankings_within_reach(sum(model.work for model in models), n_resamples),
        seed=seed,
        row_values=max(model.n_levels for model in models),
    ):
        of_a, of_b = (_flat(model, np.ascontiguousarray(halves.T)) for model in models)
        for name, chunks in drawn.items():
            chunks.append(of_b[name] - of_a[name])
    return _Halves((whole[0], whole[1]), {name: np.concatenate(chunks) for name, chunks in drawn.items()})


def _flat(model: Evidence, weights: Floats) -> dict[str, Floats]:
    weighted = model.under(weights)
    return {**weighted.scores, "f1": weighted.per_class["f1"]}


def _samples(halves: _Halves, name: str, paired: Pairing) -> PairedSamples:
    was, now = (float(one[name][0]) for one in halves.whole)
    return PairedSamples(now - was, halves.drawn[name], paired.n_groups)


def _by_class(both: _Both, halves: _Halves) -> tuple[PartChange, ...]:
    """Return the F1 of each class; fixed and broken are its images that only one model finds."""
    first, second, paired = both
    f1_a, f1_b = (one["f1"][0] for one in halves.whole)
    changes = []
    for place, name in enumerate(paired.shared_names):
        rows = np.flatnonzero(first.truth[:, place])
        counts = paired_counts(first.predictions[rows, place], second.predictions[rows, place], paired.codes[rows])
        a, b = float(f1_a[place]), float(f1_b[place])
        evidence = PairedSamples(b - a, halves.drawn["f1"][:, place], counts.n_groups)
        changes.append(part_change("class", name, counts, evidence, (a, b)))
    return tuple(changes)


def _changed(both: _Both) -> tuple[ChangedImage, ...]:
    """Return images with more wrong labels, then those with fewer, by descending size of the change."""
    first, second, paired = both
    gain = first.wrong - second.wrong

    def listed(marked: Array) -> str:
        return label_list(paired.class_names[k] for k in np.flatnonzero(marked))

    changed = []
    for change, rows in (("broken", np.flatnonzero(gain < 0)), ("fixed", np.flatnonzero(gain > 0))):
        for i in rows[np.argsort(-np.abs(gain[rows]), kind="stable")].tolist():
            truth, was, now = (listed(marked[i]) for marked in (first.truth, first.predictions, second.predictions))
            changed.append(ChangedImage(paired.image_ids[i], paired.uris[i], change, truth, was, now))
    return tuple(changed)
