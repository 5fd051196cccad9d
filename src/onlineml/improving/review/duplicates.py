"""Near-duplicates: leaving out images that look like one already chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onlineml.errors import ConfigError, DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onlineml.evaluation.types import Array

__all__ = ["Chosen", "first_of_alike"]

_COSINE = 0.97  # of a pretrained network's features: above it, frames of one scene and resized copies


class Chosen:
    """The chosen images, to detect near-duplicates of them.

    Args:
        embeddings: (N, F) features of all images; two are alike with a cosine of `min_cosine` or more. A row of zeros
            is like none.
        hashes: (N,) uint64 perceptual hashes of all images; two are alike if they differ in `max_bits` or fewer.
        min_cosine: in (0, 1].
        max_bits: in [0, 64].

    Raises:
        DataError: both or neither are given, or the shape or type is wrong.
        ConfigError: a limit is outside its range.
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
            msg = "expected either embeddings or hashes, to detect near-duplicates"
            raise DataError(msg)
        if not 0 < min_cosine <= 1 or not 0 <= max_bits <= 64:
            msg = f"min_cosine={min_cosine}, max_bits={max_bits}: expected min_cosine in (0, 1] and max_bits in [0, 64]"
            raise ConfigError(msg)
        self._hashes = None if hashes is None else _checked_hashes(hashes)
        self._units = None if embeddings is None else _units(embeddings)
        self._min_cosine, self._max_bits = min_cosine, max_bits
        self._rows: list[int] = []

    @property
    def n_images(self) -> int:
        """The number of all images, N."""
        return len(self._hashes if self._hashes is not None else self._units)  # type: ignore[arg-type]

    def like(self, row: int) -> bool:
        """Return whether the image in `row` looks like a chosen one."""
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
        msg = f"embeddings has shape {table.shape}; expected (N, F) finite features, one row per image"
        raise DataError(msg)
    lengths = np.linalg.norm(table, axis=1, keepdims=True)
    units: Array = np.divide(table, lengths, out=np.zeros_like(table), where=lengths > 0)
    return units


def first_of_alike(order: Sequence[int], chosen: Chosen, *, limit: int) -> tuple[list[int], int]:
    """Select the images that look like none before them.

    Args:
        order: (k) indices of images, by priority.
        chosen: the chosen images; the result is added.
        limit: maximum number.

    Returns:
        The selected indices, in order, and the number of near-duplicates.
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
