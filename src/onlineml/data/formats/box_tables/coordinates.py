"""Meanings of four numbers: corners, or a corner or centre and a size; in pixels or in shares of the image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

__all__ = ["corners_of", "fitting", "share_rows"]

_SLACK = 0.05  # of the image: boxes in shares that were moved or rounded reach a little beyond 0 and 1
_TOO_MANY = 0.05  # share of boxes that exclude a meaning; fewer are mistakes of whoever drew them


def corners_of(numbers: npt.NDArray[np.float64], kind: str) -> npt.NDArray[np.float64]:
    """Return (M, 4) corners x1, y1, x2, y2 of (M, 4) numbers that are ``"xyxy"``, ``"xywh"`` or ``"cxcywh"``."""
    if kind == "xyxy":
        return numbers
    first, size = numbers[:, :2], numbers[:, 2:]
    low = first if kind == "xywh" else first - size / 2
    return np.concatenate([low, low + size], axis=1)


def share_rows(numbers: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the rows that can only be shares of an image, and those that can only be pixels.

    Shares lie within 0 and 1 (with a little slack) and are not all whole; a box in pixels there would be no object.

    Args:
        numbers: (M, 4), nan where a number is missing.
    """
    finite = np.isfinite(numbers).all(axis=1)
    small = finite & (np.abs(numbers - 0.5) <= 0.5 + _SLACK).all(axis=1)
    shares = small & (numbers != np.round(numbers)).any(axis=1)
    return np.flatnonzero(shares), np.flatnonzero(finite & ~small)


def fitting(numbers: npt.NDArray[np.float64], sizes_wh: npt.NDArray[np.float64], kinds: Sequence[str]) -> list[str]:
    """Return the meanings that the boxes do not contradict: one, where it is certain.

    A box contradicts a meaning by which it ends before it begins, or reaches beyond its image.

    Args:
        numbers: (M, 4).
        sizes_wh: (M, 2) width and height of each box's image in the same unit; nan where unknown.
        kinds: possible meanings.
    """
    finite = np.isfinite(numbers).all(axis=1)
    if not finite.any():
        return list(kinds)
    wrong = {kind: np.mean(_contradicts(corners_of(numbers[finite], kind), sizes_wh[finite])) for kind in kinds}
    return [kind for kind, share in wrong.items() if share < _TOO_MANY] or list(kinds)


def _contradicts(boxes_xyxy: npt.NDArray[np.float64], sizes_wh: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    slack = np.where(sizes_wh > 1, 1.0, _SLACK)  # a pixel, or a share
    low, high = boxes_xyxy[:, :2], boxes_xyxy[:, 2:]
    beyond = (low < -np.nan_to_num(slack, nan=1.0)) | (high > sizes_wh + slack)  # nan: unknown sizes exclude nothing
    return np.asarray(((high <= low) | beyond).any(axis=1))
