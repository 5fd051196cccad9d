"""Array types for annotations in this package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from onlineml.evaluation.base import BaseScores

__all__ = ["AnyScores", "Array", "Floats", "Interval", "Ints"]

AnyScores: TypeAlias = "BaseScores"
Array: TypeAlias = NDArray[Any]
Floats: TypeAlias = NDArray[np.floating[Any]]
Ints: TypeAlias = NDArray[np.int64]
Interval: TypeAlias = tuple[float, float]
