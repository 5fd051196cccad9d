"""Numbers by which the images of a gallery are sorted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["DISAGREEMENT", "SCORE", "Order", "order_of"]

SCORE, DISAGREEMENT = "score", "disagreement"  # those that several galleries have


@dataclass(frozen=True, eq=False)
class Order:
    """A number of each image by which images can be sorted.

    Attributes:
        name: its name, such as ``"score"``.
        values: (N,) float64; nan for an image without one, which comes last in either direction.
    """

    name: str
    values: NDArray[np.float64]


def order_of(name: str, values: Any) -> Order:
    """Build an order from N numbers, None for an image without one."""
    return Order(name, np.array([np.nan if one is None else one for one in values], dtype=np.float64))
