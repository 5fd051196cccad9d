"""Parts of a comparison that are built alike for all tasks: changes of classes, slices and scores."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from onlineml.evaluation.comparison.counts import mcnemar, paired_counts
from onlineml.evaluation.comparison.result import NewClass, PartChange, ScoreChange
from onlineml.evaluation.metrics import ratio

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onlineml.evaluation.base import BaseScores
    from onlineml.evaluation.comparison.counts import PairedCounts
    from onlineml.evaluation.comparison.pairing import Pairing
    from onlineml.evaluation.comparison.samples import PairedSamples
    from onlineml.evaluation.types import Array, Ints

__all__ = ["TAIL", "new_classes", "part_change", "part_changes", "score_change", "share", "shared_fields"]
__all__ += ["slice_changes"]

TAIL = 0.025  # probability in each tail of a 95 % interval
_PART_RESAMPLES = 4_000  # for each class and slice, whose intervals are shown with two digits


def share(right: Array) -> float:
    """Return the fraction that is true; nan for none."""
    return float(ratio(right.sum(), len(right)))


def part_changes(
    right_a: Array, right_b: Array, codes: Ints, *, column: str, parts: Ints, values: Sequence[str]
) -> list[PartChange]:
    """Return the changes in each of the parts into which codes divide the images.

    Args:
        right_a: (N,) bool, images that the first model gets right.
        right_b: (N,) bool, images that the second model gets right.
        codes: (N,) int64 groups.
        column: name of the column that defines the parts.
        parts: (N,) int64 indices into `values`.
        values: name of each part.
    """
    order = np.argsort(parts, kind="stable")
    edges = np.searchsorted(parts[order], np.arange(len(values) + 1))
    changes = []
    for place, value in enumerate(values):
        rows = order[edges[place] : edges[place + 1]]
        counts = paired_counts(right_a[rows], right_b[rows], codes[rows])
        counts = dataclasses.replace(counts, n_resamples=_PART_RESAMPLES)
        shares = share(right_a[rows]), share(right_b[rows])
        changes.append(part_change(column, value, counts, counts, shares))
    return changes


def part_change(
    column: str, value: str, counts: PairedCounts, evidence: PairedCounts | PairedSamples, scores: tuple[float, float]
) -> PartChange:
    """Return the change of a part: numbers from its `counts`, the difference of the two scores by `evidence`."""
    low, high = evidence.bounds(TAIL)
    return PartChange(
        column=column,
        value=value,
        n=counts.n_images,
        n_groups=counts.n_groups,
        fixed=int(counts.fixed.sum()),
        broken=int(counts.broken.sum()),
        a=scores[0],
        b=scores[1],
        difference=evidence.value,
        low=low,
        high=high,
        p_drop=evidence.p_drop,
    )


def score_change(name: str, a: float, b: float, evidence: PairedCounts | PairedSamples) -> ScoreChange:
    """Return the change of a score."""
    return ScoreChange(name, a, b, evidence.value, *evidence.bounds(TAIL))


def slice_changes(
    right_a: Array, right_b: Array, codes: Ints, cuts: Mapping[str, tuple[Ints, list[str]]]
) -> tuple[PartChange, ...]:
    """Return the changes in each slice, of results whose items are images."""
    return tuple(
        part
        for column, (parts, values) in cuts.items()
        for part in part_changes(right_a, right_b, codes, column=column, parts=parts, values=values)
    )


def new_classes(b: BaseScores, paired: Pairing, *, score: str) -> tuple[NewClass, ...]:
    """Return the classes that the second model adds, scored by its own evaluation."""
    rows = [(name, b.per_class[name]) for name in paired.new_classes]
    return tuple(
        NewClass(name, int(row["support"]), float(row[score]), *map(float, row[f"{score}_interval"]))
        for name, row in rows
    )


def shared_fields(a: BaseScores, b: BaseScores, paired: Pairing, right_a: Array, right_b: Array) -> dict[str, Any]:
    """Return the fields of a comparison that follow from the alignment and the items that each model gets right."""
    n_fixed, n_broken = int((right_b & ~right_a).sum()), int((right_a & ~right_b).sum())
    return {
        "a": a,
        "b": b,
        "class_names": paired.shared_names,
        "image_ids": paired.image_ids,
        "uris": paired.uris,
        "n_groups": paired.n_groups,
        "n_items": len(right_a),
        "n_fixed": n_fixed,
        "n_broken": n_broken,
        "n_right": int((right_a & right_b).sum()),
        "mcnemar": mcnemar(n_fixed, n_broken),
        "thumbnails": {**a.thumbnails, **b.thumbnails},
    }
