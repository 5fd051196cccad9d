"""Leaving out images that look like one already chosen: a person learns little from the second of two alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onlineml.errors import ConfigError, DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onlineml.evaluation.types import Array

__all__ = ["Chosen", "first_of_alike"]

_COSINE = 0.97  # of features of a pretrained network: above it, frames of one scene and copies at another size


class Chosen:
    """Images that were chosen, and whether another one looks like any of them.

    Args:
        embeddings: (N, F) features of all images; alike is a cosine of `min_cosine` or more. A row of zeros is like
            none.
        hashes: (N,) uint64 perceptual hashes of all images; alike are two that differ in `max_bits` or fewer.
        min_cosine: in (0, 1].
        max_bits: in [0, 64].

    Raises:
        DataError: both or neither are given, or another shape or type.
        ConfigError: a limit outside its range.
    """

    def __init__(
        self,
        *,
        embeddings: Array | None = None,
        hashes: Array | None = None,
        min_cosine: float = _COSINE,
        max_bits: int = 4,
    ) -> None:
        if (embeddings is None) == (hashes is None):
            msg = "give embeddings or hashes to tell which images are alike, one of the two"
            raise DataError(msg)
        if not 0 < min_cosine <= 1 or not 0 <= max_bits <= 64:
            msg = f"min_cosine={min_cosine}, max_bits={max_bits}: expected one in (0, 1], the other from 0 to 64"
            raise ConfigError(msg)
        self._hashes = None if hashes is None else _checked_hashes(hashes)
        self._units = None if embeddings is None else _units(embeddings)
        self._min_cosine, self._max_bits = min_cosine, max_bits
        self._rows: list[int] = []

    @property
    def n_images(self) -> int:
        """All images, N."""
        return len(self._hashes if self._hashes is not None else self._units)  # type: ignore[arg-type]

    def like(self, row: int) -> bool:
        """Return True if the image in `row` looks like one that was chosen."""
        if not self._rows:
            return False
        if self._hashes is not None:
            apart = np.bitwise_count(self._hashes[self._rows] ^ self._hashes[row])
            return bool(apart.min() <= self._max_bits)
        assert self._units is not None  # noqa: S101 - one of the two was given
        return bool((self._units[self._rows] @ self._units[row]).max() >= self._min_cosine)

    def add(self, row: int) -> None:
        """Choose the image in `row`."""
        self._rows.append(row)


def _checked_hashes(hashes: Array) -> Array:
    array = np.asarray(hashes)
    if array.ndim != 1 or array.dtype != np.uint64:
        msg = f"hashes has shape {array.shape} and dtype {array.dtype}; expected (N,) uint64"
        raise DataError(msg)
    return array


def _units(embeddings: Array) -> Array:
    table = np.asarray(embeddings, np.float32)
    if table.ndim != 2 or not np.isfinite(table).all():
        msg = f"embeddings has shape {table.shape}; expected (N, F) finite features, one row an image"
        raise DataError(msg)
    lengths = np.linalg.norm(table, axis=1, keepdims=True)
    units: Array = np.divide(table, lengths, out=np.zeros_like(table), where=lengths > 0)
    return units


def first_of_alike(order: Sequence[int], chosen: Chosen, *, limit: int) -> tuple[list[int], int]:
    """Of images in order, those that look like none before them.

    Args:
        order: (k) places of images, the most wanted first.
        chosen: what was chosen already; the result is added.
        limit: how many at most.

    Returns:
        Their places, in order, and how many were passed over.
    """
    kept: list[int] = []
    n_alike = 0
    for row in order:
        if len(kept) >= limit:
            break
        if chosen.like(row):
            n_alike += 1
        else:
            chosen.add(row)
            kept.append(row)
    return kept, n_alike
