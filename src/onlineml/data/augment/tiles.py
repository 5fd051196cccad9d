"""Tiles of pictures whose objects would be too small if the whole picture were fitted into the network's input."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from onlineml.data.augment.detection_geometry import view_hw

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["BORDER_PX", "Tiles", "tile_starts", "tiles_for"]

BORDER_PX = 3  # pixels of the network's input: a box that ends so near to a tile's border may go on behind it

_HELD = 95.0  # per cent of the objects that are whole in a tile, wherever they are
_LEAST, _MOST = 1 / 8, 1 / 2  # overlap as a share of a tile; at 1/2, every pixel is seen four times
_LARGE = 0.01  # share of objects beyond the overlap from which whole pictures are looked at, too


@dataclass(frozen=True, slots=True)
class Tiles:
    """Parts of a picture that a detector looks at one by one, in pixels of the upright original.

    Attributes:
        size: side of a square tile, which is scaled to the network's input.
        overlap: at least so many pixels of a tile are its neighbour's, too: an object that is not longer is whole in
            one of them, wherever it is.
        whole: look at the whole picture as well, for objects that are longer than the overlap.
    """

    size: int
    overlap: int
    whole: bool = False

    def grid(self, original_hw: tuple[int, int], size_hw: tuple[int, int]) -> tuple[int, int]:
        """Return the rows and columns of tiles that cover a picture.

        Args:
            original_hw: height and width of the upright original.
            size_hw: height and width of the network's input.
        """
        shown_hw, overlap = view_hw(original_hw, size_hw, self.size), self.overlap_in(size_hw)
        rows, columns = (len(tile_starts(n, side, overlap)) for n, side in zip(shown_hw, size_hw, strict=True))
        return rows, columns

    def overlap_in(self, size_hw: tuple[int, int]) -> int:
        """Return the overlap in pixels of the network's input, with room between an object and the borders."""
        return min(min(size_hw) - 1, math.ceil(self.overlap * min(size_hw) / self.size) + 2 * BORDER_PX)

    def draws(self, original_hw: tuple[int, int], size_hw: tuple[int, int]) -> int:
        """Return how many samples of a picture an epoch of training has: as many as there are views of it."""
        rows, columns = self.grid(original_hw, size_hw)
        return rows * columns + (self.whole and rows * columns > 1)

    def shows_whole(self, draw: int, original_hw: tuple[int, int], size_hw: tuple[int, int]) -> bool:
        """Return whether a draw of a training picture, numbered from 0 over all epochs, is of all of it."""
        n = self.draws(original_hw, size_hw)
        return self.whole and n > 1 and draw % n == n - 1


def tile_starts(n: int, side: int, overlap: int) -> list[int]:
    """Return where tiles begin along an axis: evenly spread, the first at its beginning, the last at its end.

    Args:
        n: length of the axis; a shorter one than a tile has one tile.
        side: of a tile.
        overlap: smallest number of pixels that neighbours share, 0 <= overlap < side.
    """
    if n <= side:
        return [0]
    steps = math.ceil((n - side) / (side - overlap))
    return [step * (n - side) // steps for step in range(steps + 1)]


def tiles_for(size: int, boxes_xyxy: NDArray[np.float64]) -> Tiles:
    """Choose the overlap of tiles from objects: 95 % of them fit into it, if it is an eighth to half of a tile.

    Args:
        size: side of a tile in pixels of the originals.
        boxes_xyxy: (n, 4) in the same pixels.
    """
    longer = (boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]).max(1) if len(boxes_xyxy) else np.zeros(1)
    least, most = math.ceil(_LEAST * size), math.floor(_MOST * size)
    overlap = int(min(most, max(least, math.ceil(np.percentile(longer, _HELD)))))
    return Tiles(size, overlap, whole=bool((longer > most).mean() > _LARGE))
