"""Scores of several parts of a dataset as those of all its images, as cross-validation needs them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from onlineml.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onlineml.evaluation.base import BaseScores
    from onlineml.evaluation.types import Array

__all__ = ["PooledColumns", "joined_arrays", "mean_thresholds", "pooled_columns"]


class PooledColumns(NamedTuple):
    """Columns of the images of all parts, whatever the task: arguments of the functions that score."""

    image_ids: list[str]
    uris: list[str]
    groups: list[str | None] | None
    slices: dict[str, list[Any]]
    thumbnails: dict[str, bytes]


def pooled_columns(parts: Sequence[BaseScores]) -> PooledColumns:
    """Join the columns of several scores.

    Raises:
        DataError: their classes differ, or they have an image in common.
    """
    names = {part.class_names for part in parts}
    if len(names) > 1:
        raise DataError(f"scores of different classes cannot be pooled: {' / '.join(map(str, sorted(names)))[:300]}")
    ids = [one for part in parts for one in part.image_ids]
    if len(set(ids)) < len(ids):
        raise DataError("scores that have images in common cannot be pooled: each image counts once")
    groups = [g for part in parts for g in (part.groups or [None] * part.n_images)]
    sliced = set.intersection(*(set(part.slices) for part in parts))
    return PooledColumns(
        image_ids=ids,
        uris=[uri for part in parts for uri in part.uris],
        groups=groups if any(part.groups for part in parts) else None,
        slices={name: [v for part in parts for v in part.slices[name]] for name in parts[0].slices if name in sliced},
        thumbnails={i: jpeg for part in parts for i, jpeg in part.thumbnails.items()},
    )


def joined_arrays(parts: Sequence[BaseScores], name: str) -> Array:
    """Join the arrays of one name, along the images.

    Raises:
        DataError: scores were saved without them.
    """
    arrays = [getattr(part, name) for part in parts]
    if any(array is None for array in arrays):
        raise DataError(f"scores that were saved without {name} cannot be pooled: save them with to_json(arrays=True)")
    return np.concatenate(arrays)


def mean_thresholds(parts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of the thresholds of each class."""
    return {name: float(np.mean([part[name] for part in parts])) for name in parts[0]}
