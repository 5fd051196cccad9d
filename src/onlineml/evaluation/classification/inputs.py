"""Checks of the evaluation's inputs, with all problems in one message."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from onlineml.arguments.counted import count, part_of
from onlineml.data.manifest.examples import examples
from onlineml.errors import DataError, UnknownClassError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onlineml.evaluation.types import Array, Floats, Ints

__all__ = [
    "checked_ids",
    "checked_labels",
    "checked_names",
    "checked_probabilities",
    "listing",
    "plain_column",
    "refuse_bad_rows",
    "refuse_repeated",
]

_SUM_TOLERANCE = 0.01  # half-precision softmax over 1,000 classes is off by up to 5e-3
_CHUNK_VALUES = 4_000_000


def listing(bad: Array, image_ids: Sequence[str]) -> str:
    """List the first images in the rows `bad`, for an error message."""
    return examples(bad, text=lambda i: f"{image_ids[i]!r} (row {i})")


def checked_names(class_names: Sequence[str]) -> tuple[str, ...]:
    """Check class names; return a tuple of distinct strings."""
    if isinstance(class_names, str):
        msg = f"class_names is the text {class_names!r}; expected a sequence of names, such as [{class_names!r}]"
        raise DataError(msg)
    names = tuple(str(name) for name in class_names)
    twice = sorted(name for name, n in Counter(names).items() if n > 1)
    if twice:
        msg = f"class_names contains {twice} more than once; class names must be distinct"
        raise DataError(msg)
    return names


def checked_ids(image_ids: Sequence[str] | None, *, n_images: int, what: str = "image_ids") -> tuple[str, ...]:
    """Return one text per image; the row number if `image_ids` is None."""
    ids = tuple(map(str, range(n_images) if image_ids is None else image_ids))
    if len(ids) != n_images:
        msg = f"{what} has {count(len(ids), 'value')} for {count(n_images, 'image')}; pass one per image"
        raise DataError(msg)
    return ids


def refuse_repeated(image_ids: tuple[str, ...]) -> None:
    """Raise if an image has two rows.

    Raises:
        DataError: ids are repeated; the message names them.
    """
    if len(set(image_ids)) < len(image_ids):
        seen: set[str] = set()
        twice = [i for i in image_ids if i in seen or seen.add(i)]  # type: ignore[func-returns-value]
        msg = f"{len(twice)} image_ids are repeated, such as {twice[:10]}; pass each image once"
        raise DataError(msg)


def plain_column(values: Sequence[Any] | Array) -> tuple[Any, ...]:
    """Convert a column to plain Python values: str, bool, int, float, or None if missing (None, nan, "")."""
    return tuple(_plain(value) for value in (values.tolist() if isinstance(values, np.ndarray) else values))


def _plain(value: Any) -> Any:
    plain = value.item() if isinstance(value, np.generic) else value
    if plain is None or plain == "" or plain != plain:  # noqa: PLR0124 - nan alone differs from itself
        return None
    return plain if isinstance(plain, (str, bool, int, float)) else str(plain)


def checked_probabilities(probabilities: Array, *, n_classes: int) -> Floats:
    """Convert to (N, C) float32 or float64; only the shape is checked here."""
    array = np.asarray(probabilities)
    if array.size == 0 and array.ndim < 2:
        array = np.zeros((0, n_classes), np.float32)
    if array.ndim != 2 or array.shape[1] != n_classes:
        msg = (
            f"probabilities has shape {array.shape}; expected (images, {n_classes}): one row per image, one column for "
            "each of class_names, in that order"
        )
        raise DataError(msg)
    if array.dtype.kind not in "fiub":
        msg = f"probabilities has dtype {array.dtype}; expected floating-point numbers"
        raise DataError(msg)
    return array if array.dtype == np.float64 else array.astype(np.float32 if array.dtype.kind == "f" else np.float64)


def refuse_bad_rows(probabilities: Floats, image_ids: Sequence[str], *, sum_to_one: bool = True) -> None:
    """Raise if rows are not probabilities.

    Args:
        probabilities: (N, C).
        image_ids: N, for the message.
        sum_to_one: whether each row must sum to 1; false for several labels per image.

    Raises:
        DataError: rows with nan, with values outside [0, 1], or, with `sum_to_one`, whose sum differs from 1 by more
            than 0.01; by image.
    """
    n_images, n_classes = probabilities.shape
    step = max(1, _CHUNK_VALUES // max(1, n_classes))
    nan, outside, sums = (np.zeros(n_images, bool) for _ in range(3))
    for start in range(0, n_images, step):
        rows = slice(start, start + step)
        chunk = probabilities[rows].astype(np.float64)
        nan[rows] = ~np.isfinite(chunk).all(axis=1)
        chunk[nan[rows]] = 1 / n_classes
        outside[rows] = ((chunk < -1e-6) | (chunk > 1 + 1e-6)).any(axis=1)  # 1e-6: rounding of a float32 softmax
        sums[rows] = np.abs(chunk.sum(axis=1) - 1) > _SUM_TOLERANCE
    sums &= ~outside & sum_to_one
    problems = [
        f"{text} in {count.sum()} of {n_images} rows: {listing(np.flatnonzero(count), image_ids)}"
        for count, text in ((nan, "nan or inf"), (outside, "values outside [0, 1]"), (sums, "a sum other than 1"))
        if count.any()
    ]
    if problems:
        made = "softmax" if sum_to_one else "sigmoid"
        msg = f"probabilities has {'; '.join(problems)}. Pass the {made} of finite logits; exclude failed images"
        raise DataError(msg)


def checked_labels(labels: Sequence[object] | Array, class_names: tuple[str, ...], image_ids: tuple[str, ...]) -> Ints:
    """Return class ids (N,) int64 from ids or class names.

    Raises:
        DataError: the numbers of labels and images differ, or labels are neither integers nor names.
        UnknownClassError: labels outside the classes, including -1 (unlabelled); by image.
    """
    if len(labels) != len(image_ids):
        msg = (
            f"labels has {count(len(labels), 'value')} for {count(len(image_ids), 'row')} of "
            "probabilities; pass one label per row"
        )
        raise DataError(msg)
    array = np.asarray(labels)
    if not len(image_ids):
        return np.zeros(0, np.int64)
    if array.dtype.kind in "UO":
        number = {name: i for i, name in enumerate(class_names)}
        ids = np.array([number.get(v, -1) if isinstance(v, str) else _as_id(v) for v in labels], np.int64)
    elif array.dtype.kind in "iub" or (array.dtype.kind == "f" and np.array_equal(array, np.floor(array))):
        ids = array.astype(np.int64)
    else:
        msg = f"labels has dtype {array.dtype}; expected class ids from 0 to {len(class_names) - 1}, or class names"
        raise DataError(msg)
    bad = np.flatnonzero((ids < 0) | (ids >= len(class_names)))
    if len(bad):
        found = sorted({repr(labels[i]) for i in bad[:1000]})[:10]
        msg = (
            f"{part_of(len(bad), len(ids), 'label is')} not among the {count(len(class_names), 'class')} (found "
            f"{', '.join(found)}): {listing(bad, image_ids)}. Evaluate labelled images only, with the model's class "
            "names"
        )
        raise UnknownClassError(msg)
    return ids


def _as_id(value: object) -> int:
    return int(value) if isinstance(value, (int, np.integer)) else -1
