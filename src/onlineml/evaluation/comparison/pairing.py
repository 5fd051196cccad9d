"""Alignment of two results, and checks that they are about the same images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from onlineml.errors import DataError
from onlineml.evaluation.base import BaseScores
from onlineml.evaluation.classification.result import ClassificationScores
from onlineml.evaluation.detection.result import DetectionScores
from onlineml.evaluation.intervals import group_codes
from onlineml.evaluation.slices import cut

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from onlineml.evaluation.types import AnyScores, Array, Ints

__all__ = ["Pairing", "align", "pair", "shared_cuts"]

Scores = TypeVar("Scores", bound=BaseScores)

_N_LISTED = 3  # images named per difference


@dataclass(frozen=True, eq=False)
class Pairing:
    """Alignment of two results.

    Attributes:
        class_names: (C + K) the classes of the first model, then those that the second adds.
        n_shared: C.
        b_classes: (C + K,) int64, for each class of the second model, in its own order, the index in `class_names`.
        a_rows: (N,) int64 rows of the shared images in the first result.
        b_rows: (N,) int64 rows in the second result.
        new_rows: int64 rows of the second result whose image shows only new classes and is not in the first.
        codes: (N,) int64 group of each shared image.
        n_groups: G.
        image_ids: (N) ids of the shared images.
        uris: (N) uris of the first result, or of the second if the first has none.
    """

    class_names: tuple[str, ...]
    n_shared: int
    b_classes: Ints
    a_rows: Ints
    b_rows: Ints
    new_rows: Ints
    codes: Ints
    n_groups: int
    image_ids: tuple[str, ...]
    uris: tuple[str, ...]

    @property
    def shared_names(self) -> tuple[str, ...]:
        """The C classes that both models have."""
        return self.class_names[: self.n_shared]

    @property
    def new_classes(self) -> tuple[str, ...]:
        """The K classes that the second model adds."""
        return self.class_names[self.n_shared :]


def pair(a: AnyScores, b: AnyScores) -> Pairing:
    """Find the images and classes that two results share.

    Raises:
        DataError: they are of different tasks, images, labels or groups, or the second model does not have all classes
            of the first; the message lists the differences.
    """
    _refuse_tasks(a, b)
    return align(a, b, shows_new=_shows_new, truth_problems=_label_problems)


def align(
    a: Scores,
    b: Scores,
    *,
    shows_new: Callable[[Scores, Ints, int], Array],
    truth_problems: Callable[[Scores, Scores, Pairing], list[str]],
) -> Pairing:
    """Find the images and classes that two results of one task share.

    Args:
        a: result of the first model.
        b: result of the second model.
        shows_new: returns, given `b`, `Pairing.b_classes` and `Pairing.n_shared`, a bool per row of `b`: its image
            shows only new classes.
        truth_problems: differences in the truths of the shared images and classes, as clauses of an error message.

    Raises:
        DataError: they are of different images, truths or groups, or the second model does not have all classes of
            the first; the message lists the differences.
    """
    names = (*a.class_names, *(name for name in b.class_names if name not in set(a.class_names)))
    place = {name: i for i, name in enumerate(names)}
    b_classes = np.array([place[name] for name in b.class_names], np.int64)
    row_of_b = {image_id: i for i, image_id in enumerate(b.image_ids)}
    a_rows = np.array([i for i, image_id in enumerate(a.image_ids) if image_id in row_of_b], np.int64)
    b_rows = np.array([row_of_b[a.image_ids[i]] for i in a_rows], np.int64)
    known = set(a.image_ids)
    only_b = np.array([i for i, image_id in enumerate(b.image_ids) if image_id not in known], np.int64)
    n_shared = len(a.class_names)
    of_new = only_b[shows_new(b, b_classes, n_shared)[only_b]]
    groups = None if a.groups is None else [a.groups[i] for i in a_rows]
    codes, n_groups = group_codes(groups, n_images=len(a_rows))
    ids = tuple(a.image_ids[i] for i in a_rows)
    uris = tuple(a.uris[i] or b.uris[j] for i, j in zip(a_rows, b_rows, strict=True))
    paired = Pairing(names, n_shared, b_classes, a_rows, b_rows, of_new, codes, n_groups, ids, uris)
    problems = [
        *_class_problems(a, b),
        *_image_problems([i for i in a.image_ids if i not in row_of_b], "first"),
        *_image_problems([b.image_ids[i] for i in np.setdiff1d(only_b, of_new)], "second"),
        *truth_problems(a, b, paired),
        *_group_problems(a, b, paired),
    ]
    if problems:
        msg = f"these two results cannot be compared: {'; '.join(problems)}. Evaluate both models on the same split "
        raise DataError(msg + "of the same manifest")
    return paired


def shared_cuts(a: BaseScores, b: BaseScores, paired: Pairing) -> dict[str, tuple[Ints, list[str]]]:
    """Return the slices of the second result and those that only the first has, numbered by `cut`."""
    columns = {name: [values[i] for i in paired.a_rows] for name, values in a.slices.items()}
    columns |= {name: [values[i] for i in paired.b_rows] for name, values in b.slices.items()}
    return {name: cut(name, values, n_images=len(paired.a_rows)) for name, values in columns.items()}


def _refuse_tasks(a: object, b: object) -> None:
    for scores in (a, b):
        if not isinstance(scores, ClassificationScores | DetectionScores):
            msg = f"compare was given a {type(scores).__name__}; expected two results of onlineml.evaluate"
            raise DataError(msg)
    if type(a) is not type(b):
        msg = f"a {type(a).__name__} cannot be compared with a {type(b).__name__}; pass two results of one task"
        raise DataError(msg)
    for which, scores in (("first", a), ("second", b)):
        if isinstance(scores, DetectionScores) and (scores.found is None or scores.truth is None):
            msg = f"the {which} result was saved without detections, which the comparison needs; evaluate "
            raise DataError(msg + "again, or save with to_json(detections=True)")


def _some(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - _N_LISTED:,} more" if len(ids) > _N_LISTED else ""
    return ", ".join(map(repr, ids[:_N_LISTED])) + more


def _class_problems(a: BaseScores, b: BaseScores) -> list[str]:
    gone = [name for name in a.class_names if name not in set(b.class_names)]
    return [f"the second model lacks {len(gone)} classes of the first: {_some(gone)}"] if gone else []


def _image_problems(ids: Sequence[str], which: str) -> list[str]:
    return [f"{len(ids):,} images are in the {which} result alone: {_some(ids)}"] if ids else []


def _group_problems(a: BaseScores, b: BaseScores, paired: Pairing) -> list[str]:
    def value(scores: BaseScores, row: int) -> str | None:
        return (scores.groups[row] or None) if scores.groups is not None else None

    rows = zip(paired.a_rows.tolist(), paired.b_rows.tolist(), strict=True)
    ids = [a.image_ids[i] for i, j in rows if value(a, i) != value(b, j)]
    return [f"{len(ids):,} images are in different groups: {_some(ids)}"] if ids else []


def _shows_new(b: AnyScores, b_classes: Ints, n_shared: int) -> Array:
    """Return (rows of b,) bool: shows only new classes."""
    if isinstance(b, ClassificationScores):
        shown: Array = b_classes[b.labels] >= n_shared
        return shown
    assert b.truth is not None  # noqa: S101 - refused before
    known = b.truth.label_ids >= 0
    images, labels = b.truth.image_index[known], b_classes[b.truth.label_ids[known]]
    new, old = (np.bincount(images[k], minlength=b.n_images) for k in (labels >= n_shared, labels < n_shared))
    only: Array = (new > 0) & (old == 0)
    return only


def _label_problems(a: AnyScores, b: AnyScores, paired: Pairing) -> list[str]:
    if isinstance(a, ClassificationScores) and isinstance(b, ClassificationScores):
        was, now = a.labels[paired.a_rows], paired.b_classes[b.labels[paired.b_rows]]
        rows = np.flatnonzero(was != now)
        shown = [
            f"{a.image_ids[paired.a_rows[i]]!r} ({paired.class_names[was[i]]!r}, {paired.class_names[now[i]]!r})"
            for i in rows[:_N_LISTED]
        ]
        more = f" and {len(rows) - _N_LISTED:,} more" if len(rows) > _N_LISTED else ""
        return [f"{len(rows):,} images have different labels: {', '.join(shown)}{more}"] if len(rows) else []
    assert isinstance(a, DetectionScores)  # noqa: S101 - both are of one type
    assert isinstance(b, DetectionScores)  # noqa: S101
    places = _different_objects(a, b, paired)
    ids = [a.image_ids[i] for i in paired.a_rows[places]]
    return [f"{len(ids):,} images have different boxes in the truth: {_some(ids)}"] if ids else []


def _different_objects(a: DetectionScores, b: DetectionScores, paired: Pairing) -> Ints:
    """Return indices of the shared images whose objects of shared classes differ."""
    rows_a = _objects(a, paired.a_rows, np.arange(paired.n_shared), paired.n_shared)
    rows_b = _objects(b, paired.b_rows, paired.b_classes, paired.n_shared)
    n_images = len(paired.a_rows)
    counts = [np.bincount(rows[:, 0].astype(np.int64), minlength=n_images) for rows in (rows_a, rows_b)]
    same_number = counts[0] == counts[1]
    kept_a, kept_b = (rows[same_number[rows[:, 0].astype(np.int64)]] for rows in (rows_a, rows_b))
    differs = ~same_number
    differs[kept_a[(kept_a != kept_b).any(axis=1), 0].astype(np.int64)] = True
    return np.flatnonzero(differs).astype(np.int64)


def _objects(scores: DetectionScores, rows: Ints, classes: Ints, n_shared: int) -> Array:
    """Return (m, 7) sorted: index of the image, class, corners, crowd; of the shared images and classes."""
    truth: Any = scores.truth
    place = np.full(scores.n_images, -1, np.int64)
    place[rows] = np.arange(len(rows))
    images = place[truth.image_index]
    labels = np.where(truth.label_ids >= 0, classes[truth.label_ids], -1)
    kept = (images >= 0) & (labels >= 0) & (labels < n_shared)
    table = np.column_stack([images, labels, np.nan_to_num(truth.boxes_xyxy), truth.crowd])[kept]
    in_order: Array = table[np.lexsort(table.T[::-1])]
    return in_order
