"""Alignment of two results, and checks that they are about the same images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from onlineml.arguments.counted import count
from onlineml.data.manifest.examples import examples
from onlineml.errors import DataError
from onlineml.evaluation.intervals import group_codes
from onlineml.evaluation.slices import cut

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from onlineml.evaluation.base import BaseScores
    from onlineml.evaluation.types import Array, Ints

__all__ = ["Pairing", "align", "shared_cuts"]

Scores = TypeVar("Scores", bound="BaseScores")


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


def _class_problems(a: BaseScores, b: BaseScores) -> list[str]:
    gone = [name for name in a.class_names if name not in set(b.class_names)]
    return [f"the second model lacks {count(len(gone), 'class')} of the first: {examples(gone)}"] if gone else []


def _image_problems(ids: Sequence[str], which: str) -> list[str]:
    return [f"{count(len(ids), 'image is')} in the {which} result alone: {examples(ids)}"] if ids else []


def _group_problems(a: BaseScores, b: BaseScores, paired: Pairing) -> list[str]:
    def value(scores: BaseScores, row: int) -> str | None:
        return (scores.groups[row] or None) if scores.groups is not None else None

    rows = zip(paired.a_rows.tolist(), paired.b_rows.tolist(), strict=True)
    ids = [a.image_ids[i] for i, j in rows if value(a, i) != value(b, j)]
    return [f"{count(len(ids), 'image is')} in different groups: {examples(ids)}"] if ids else []
