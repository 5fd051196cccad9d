"""Changes in the classes and slices of two results whose items are images."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from onlineml.evaluation.comparison.counts import paired_counts
from onlineml.evaluation.comparison.result import PartChange
from onlineml.evaluation.metrics import ratio

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onlineml.evaluation.types import Array, Ints

__all__ = ["TAIL", "part_changes", "share"]

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
        low, high = counts.bounds(TAIL)
        changes.append(
            PartChange(
                column=column,
                value=value,
                n=len(rows),
                n_groups=counts.n_groups,
                fixed=int(counts.fixed.sum()),
                broken=int(counts.broken.sum()),
                a=share(right_a[rows]),
                b=share(right_b[rows]),
                difference=counts.value,
                low=low,
                high=high,
                p_drop=counts.p_drop,
            )
        )
    return changes
