"""Score thresholds: those of the user, else those of the model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from onlineml.errors import ConfigError, UnknownClassError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["cutoffs"]

# where nothing was chosen on validation: the cut of Ultralytics' predict, the lowest of those that are in common use
DEFAULT_SCORE = 0.25  # of a detector


def cutoffs(
    model: Any, threshold: float | Mapping[str, float] | None, *, otherwise: float = DEFAULT_SCORE
) -> NDArray[np.float64]:
    """The score threshold of each class, (C,) float64.

    Args:
        model: its ``thresholds`` are the default.
        threshold: one for all classes, or by name, 0..1.
        otherwise: for a class without any threshold.

    Raises:
        ConfigError: outside 0..1.
        UnknownClassError: a name is not one of the model's classes.
    """
    if isinstance(threshold, Mapping):
        unknown = sorted(map(str, threshold.keys() - set(model.class_names)))
        if unknown:
            raise UnknownClassError(
                f"threshold: {', '.join(unknown[:20])} is not among the model's classes {', '.join(model.class_names)}"
            )
    given = threshold if isinstance(threshold, Mapping) else dict.fromkeys(model.class_names, threshold)
    outside = [value for value in given.values() if value is not None and not 0 <= value <= 1]
    if outside:
        raise ConfigError(f"threshold={outside[0]}: expected a score between 0 and 1")
    own = model.thresholds or {}
    chosen = []
    for name in model.class_names:
        value = given.get(name)
        value = own.get(name) if value is None else value
        # a class that validation never showed has none, or nan
        chosen.append(otherwise if value is None or math.isnan(value) else float(value))
    return np.array(chosen, dtype=np.float64)
