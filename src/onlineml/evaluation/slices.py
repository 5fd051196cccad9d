"""Slicing of a test set by a column, to find where a model fails."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from onlineml.arguments.counted import count
from onlineml.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onlineml.evaluation.types import Floats, Ints

__all__ = ["MAX_SLICES", "SliceScore", "cut"]

# of one column; smaller slices beyond it are pooled, because a table of a thousand rows is not readable
MAX_SLICES = 50
_MAX_NUMBERS = 12  # maximum number of distinct numbers that are slices of their own
OTHERS = "(others)"
NOTHING = "(none)"


@dataclass(frozen=True)
class SliceScore:
    """Accuracy on the images that share one value of one column.

    Attributes:
        column: the column's name.
        value: its value as text; a range such as ``"320 to 640"`` for a column of many numbers, ``"(none)"`` if it is
            missing, ``"(others)"`` for the smallest slices of a column with more than `MAX_SLICES` values.
        n: number of images.
        accuracy: in [0, 1].
        low: lower end of the 95 % interval; nan if undefined.
        high: upper end.
    """

    column: str
    value: str
    n: int
    accuracy: float
    low: float
    high: float


def cut(column: str, values: Sequence[object], *, n_images: int) -> tuple[Ints, list[str]]:
    """Number the slices of a column.

    Numbers with more than 12 distinct values are divided at their quartiles; anything else is treated as text.

    Args:
        column: its name, for error messages.
        values: one plain value per image; None if it is missing.
        n_images: N.

    Returns:
        (N,) int64 codes and the text of each code: numbers in ascending order, text by descending number of images.

    Raises:
        DataError: the length of `values` is not N.
    """
    if len(values) != n_images:
        msg = (
            f"slice column {column!r} has {count(len(values), 'value')} for {count(n_images, 'image')}; "
            "pass one value per image"
        )
        raise DataError(msg)
    listed = list(values)
    numbers = _as_numbers(listed)
    if numbers is None:
        return _cut_text([NOTHING if value is None else str(value) for value in listed])
    distinct = np.unique(numbers[~np.isnan(numbers)])
    if len(distinct) <= _MAX_NUMBERS:
        return _cut_ranges(numbers, edges=distinct, names=[f"{value:g}" for value in distinct])
    edges = np.unique(np.quantile(numbers[~np.isnan(numbers)], (0.25, 0.5, 0.75), method="inverted_cdf"))
    starts = [distinct[0], *(distinct[distinct > edge][0] for edge in edges if edge < distinct[-1])]
    ends = [edge for edge in edges if edge < distinct[-1]] + [distinct[-1]]
    return _cut_ranges(
        numbers, edges=np.array(ends), names=[f"{a:g} to {b:g}" for a, b in zip(starts, ends, strict=True)]
    )


def _as_numbers(values: list[object]) -> Floats | None:
    given = [value for value in values if value is not None]
    numeric = all(isinstance(v, (int, float, np.integer, np.floating)) and not isinstance(v, bool) for v in given)
    if not given or not numeric:
        return None
    return np.array([np.nan if value is None else float(value) for value in values])  # type: ignore[arg-type]


def _cut_ranges(numbers: Floats, *, edges: Floats, names: list[str]) -> tuple[Ints, list[str]]:
    """Assign numbers up to ``edges[i]`` to slice i; nan comes last."""
    codes = np.searchsorted(edges, numbers, side="left").astype(np.int64)
    if np.isnan(numbers).any():
        codes[np.isnan(numbers)] = len(edges)
        names = [*names, NOTHING]
    return codes, names


def _cut_text(values: list[str]) -> tuple[Ints, list[str]]:
    sizes: dict[str, int] = {}
    for value in values:
        sizes[value] = sizes.get(value, 0) + 1
    names = sorted(sizes, key=lambda value: (-sizes[value], value))
    number = {name: min(code, MAX_SLICES) for code, name in enumerate(names)}
    kept = names[:MAX_SLICES] + ([OTHERS] if len(names) > MAX_SLICES else [])
    return np.array([number[value] for value in values], np.int64), kept
