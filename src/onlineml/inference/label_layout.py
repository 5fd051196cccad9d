"""Placement of labels: near their box, without overlap, and inside the image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["place_labels"]


def place_labels(
    boxes_xyxy: NDArray[np.float64], sizes_hw: Sequence[tuple[int, ...]], size_hw: tuple[int, int], *, gap: int
) -> list[tuple[int, int]]:
    """Return the position of a tag for each box.

    Of eight places around and in the box, the one with the least overlap is chosen: first with other tags, then with
    the box itself, then with other boxes. Tags are placed in the order of the boxes.

    Args:
        boxes_xyxy: (n, 4).
        sizes_hw: (n) heights and widths of the tags, none larger than the image.
        size_hw: of the image.
        gap: width of a box's frame.

    Returns:
        (top, left) of each tag, in whole pixels; every tag is inside the image.
    """
    placed = np.zeros((0, 4))
    places = []
    for box, (height, width) in zip(boxes_xyxy, sizes_hw, strict=True):
        spots = _around(box, height, width, gap)
        held = np.clip(spots, 0, [size_hw[0] - height, size_hw[1] - width])
        tags = np.concatenate([held[:, ::-1], held[:, ::-1] + [width, height]], axis=1)
        area = max(1, height * width)
        moved = np.abs(held - spots).sum(1) / max(1, height)
        own = (box[2] - box[0]) * (box[3] - box[1])
        cost = (
            8 * _overlap(tags, placed).sum(1) / area
            + 3 * _overlap(tags, box[None]).sum(1) / max(1.0, own)
            + _overlap(tags, boxes_xyxy).sum(1) / area
            + 0.5 * moved
            + 0.02 * np.arange(len(tags))
        )
        best = int(np.argmin(cost))
        placed = np.concatenate([placed, tags[best : best + 1]])
        places.append((int(held[best, 0]), int(held[best, 1])))
    return places


def _around(box: NDArray[np.float64], height: int, width: int, gap: int) -> NDArray[np.int64]:
    """(8, 2) top and left of each place, the preferred one first."""
    x1, y1 = np.floor(box[:2]).astype(np.int64).tolist()
    x2, y2 = np.ceil(box[2:]).astype(np.int64).tolist()
    above, below, left, right = y1 - height - gap, y2 + gap, x1 - gap, x2 + gap - width
    return np.array(
        [
            (above, left),
            (below, left),
            (above, right),
            (below, right),
            (y1 - gap, x2 + gap),
            (y1 - gap, x1 - width - gap),
            (y1, x1),
            (y2 - height, x1),
        ],
        dtype=np.int64,
    )


def _overlap(a: NDArray[np.float64] | NDArray[np.int64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, m) area that each of ``a`` shares with each of ``b``."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared: NDArray[np.float64] = np.clip(high - low, 0, None).prod(-1)
    return shared
