"""Comparison of two models on the same images, each of which has any number of labels."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from onlineml.arguments.counted import count
from onlineml.data.manifest.examples import examples
from onlineml.evaluation.comparison.counts import half_weights, paired_counts
from onlineml.evaluation.comparison.pairing import align, shared_cuts
from onlineml.evaluation.comparison.parts import new_classes, part_change, score_change, shared_fields
from onlineml.evaluation.comparison.result import ChangedImage, Comparison, PartChange
from onlineml.evaluation.comparison.samples import PairedSamples
from onlineml.evaluation.multilabel.bootstrap import rankings_within_reach
from onlineml.evaluation.multilabel.evidence import Answers, Evidence
from onlineml.evaluation.multilabel.text import label_list

if TYPE_CHECKING:
    from collections.abc import Mapping

    from onlineml.evaluation.comparison.counts import PairedCounts
    from onlineml.evaluation.comparison.pairing import Pairing
    from onlineml.evaluation.multilabel.result import MultilabelScores
    from onlineml.evaluation.types import Array, Floats, Ints

__all__ = ["compare_multilabel"]

_SUBSET = "subset_accuracy"
_DECIDING = ("map", "micro_f1", "macro_f1", _SUBSET)  # that a gate may use, the main one first; higher is better
_REPORTED = (*_DECIDING, "samples_f1", "hamming_loss", "log_loss")


class _Both(NamedTuple):
    """Predictions of both models for the shared images and classes, with their alignment."""

    first: Answers
    second: Answers
    paired: Pairing


class _Halves(NamedTuple):
    """Scores of both models on random halves of the groups.

    Attributes:
        whole: scores of the first and the second model on all images, (1,) by name, (1, K) F1 of the classes under
            ``f1``, and (1, S) F1 of the slices of each column under its name with a slash before it.
        drawn: differences on the halves, the same with B rows.
        cuts: (N,) int64 codes of the slices and the text of each, by column.
    """

    whole: tuple[dict[str, Floats], dict[str, Floats]]
    drawn: dict[str, Floats]
    cuts: Mapping[str, tuple[Ints, list[str]]]

    def values(self, name: str, place: int | None = None) -> tuple[float, float]:
        """Return a score of both models on all images; of a class or slice, that at its place."""
        a, b = (float(one[name][0] if place is None else one[name][0, place]) for one in self.whole)
        return a, b

    def evidence(self, name: str, n_groups: int, place: int | None = None) -> PairedSamples:
        """Return the samples that bound the difference of the same."""
        was, now = self.values(name, place)
        drawn = self.drawn[name]
        return PairedSamples(now - was, drawn if place is None else drawn[:, place], n_groups)


def compare_multilabel(a: MultilabelScores, b: MultilabelScores, *, n_resamples: int, seed: int) -> Comparison:
    """Compare two multi-label classifiers image by image; see `onlineml.compare`.

    The main score is ``map``, mean average precision, as for a detector: it is independent of the thresholds and counts
    every class alike, and training chooses the best epoch by it. Results without probabilities have none; then it is
    ``micro_f1``. A gate may also use ``macro_f1`` and ``subset_accuracy``.

    Of two simulated models that are equally good, mAP promoted one on 1 to 2 % of the test sets, micro F1 on 3 to 4 %.
    With 20 classes, of which an image shows one, and a second model that separates them by a fifth more, 200 images
    were enough on 97 % and 98 % of the test sets, by subset accuracy on 65 %: it barely changes where hardly any image
    is completely right. The Hamming accuracy consists mostly of labels that are correctly not predicted, so that a
    margin of one point would allow a model to drop every label of a rare class.

    An item, which is fixed or broken, is an image; it is right if all its labels are. Intervals are of the difference,
    with both models on the same random halves of the groups. Classes and slices are compared by their F1 at the
    thresholds.
    """
    paired = align(a, b, shows_new=_shows_new, truth_problems=_truth_problems)
    both = _Both(_answers(a, paired.a_rows, np.arange(paired.n_shared), paired),
                 _answers(b, paired.b_rows, _columns_of_b(paired), paired), paired)  # fmt: skip
    halves = _drawn(both, shared_cuts(a, b, paired), n_resamples=n_resamples, seed=seed)
    return _comparison(a, b, both, halves, seed=seed)


def _comparison(a: MultilabelScores, b: MultilabelScores, both: _Both, halves: _Halves, *, seed: int) -> Comparison:
    first, second, paired = both
    evidence: dict[str, PairedCounts | PairedSamples] = {
        name: halves.evidence(name, paired.n_groups) for name in _REPORTED if name in halves.drawn
    }
    counts = paired_counts(first.right, second.right, paired.codes)
    evidence[_SUBSET] = dataclasses.replace(counts, seed=seed)
    deciding = [name for name in _DECIDING if name in evidence]
    return Comparison(
        **shared_fields(a, b, paired, first.right, second.right),
        new_classes=new_classes(b, paired, score="recall"),
        mistakes_a=first.wrong,
        mistakes_b=second.wrong,
        main=deciding[0],
        scores=tuple(score_change(name, *halves.values(name), one) for name, one in evidence.items()),
        evidence={name: evidence[name] for name in deciding},
        by_class=_by_class(both, halves),
        by_slice=_by_slice(both, halves),
        changed=_changed(both),
        class_score="F1",
        slice_score="F1",
        order="those that changed most first",
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


def _drawn(both: _Both, cuts: Mapping[str, tuple[Ints, list[str]]], *, n_resamples: int, seed: int) -> _Halves:
    models = [Evidence.of(one, cuts, pooled=False) for one in (both.first, both.second)]
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
    return _Halves((whole[0], whole[1]), {name: np.concatenate(chunks) for name, chunks in drawn.items()}, cuts)


def _flat(model: Evidence, weights: Floats) -> dict[str, Floats]:
    weighted = model.under(weights)
    slices = {f"/{column}": values for column, values in weighted.slices.items()}
    return {**weighted.scores, "f1": weighted.per_class["f1"], **slices}


def _by_class(both: _Both, halves: _Halves) -> tuple[PartChange, ...]:
    """Return the F1 of each class; fixed and broken are its images that only one model finds."""
    first, second, paired = both
    changes = []
    for place, name in enumerate(paired.shared_names):
        rows = np.flatnonzero(first.truth[:, place])
        counts = paired_counts(first.predictions[rows, place], second.predictions[rows, place], paired.codes[rows])
        evidence = halves.evidence("f1", counts.n_groups, place)
        changes.append(part_change("class", name, counts, evidence, halves.values("f1", place)))
    return tuple(changes)


def _by_slice(both: _Both, halves: _Halves) -> tuple[PartChange, ...]:
    """Return the F1 of all labels of each slice; fixed and broken are its images that only one model gets all right."""
    first, second, paired = both
    changes = []
    for column, (codes, values) in halves.cuts.items():
        for place, value in enumerate(values):
            rows = np.flatnonzero(codes == place)
            counts = paired_counts(first.right[rows], second.right[rows], paired.codes[rows])
            evidence = halves.evidence(f"/{column}", counts.n_groups, place)
            changes.append(part_change(column, value, counts, evidence, halves.values(f"/{column}", place)))
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
