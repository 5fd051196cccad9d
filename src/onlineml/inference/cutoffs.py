"""Score thresholds: those of the user, else those of the model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from onlineml.arguments.checks import number
from onlineml.arguments.similar import valid_names
from onlineml.errors import ConfigError, UnknownClassError
from onlineml.tasks.calibrated import calibration_for

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["DEFAULT_SCORE", "cutoffs"]

# where nothing was chosen on validation: the cut of Ultralytics' predict, the lowest of those that are in common use
DEFAULT_SCORE = 0.25  # of a detector


def cutoffs(
    model: Any,
    threshold: float | Mapping[str, float] | None,
    *,
    otherwise: float = DEFAULT_SCORE,
    miss_rate: float | None = None,
) -> NDArray[np.float64]:
    """The score threshold of each class, (C,) float64.

    Args:
        model: its ``thresholds`` are the default.
        threshold: one for all classes, or by name, 0..1.
        otherwise: for a class without any threshold.
        miss_rate: takes those of the model's calibration for this rate in place of the model's.

    Raises:
        ConfigError: outside 0..1, or one threshold is given beside ``miss_rate``, or the model is not calibrated.
        DataError: the calibration had too few photos for the rate.
        UnknownClassError: a name is not one of the model's classes.
    """
    if isinstance(threshold, Mapping):
        unknown = sorted(map(str, threshold.keys() - set(model.class_names)))
        if unknown:
            known = valid_names(unknown[0], model.class_names)
            raise UnknownClassError(f"threshold: {unknown[0]} is not among the model's classes {known}")
    given = threshold if isinstance(threshold, Mapping) else dict.fromkeys(model.class_names, threshold)
    for value in given.values():
        number("threshold", value, "a score between 0 and 1", least=0.0, most=1.0, optional=True)
    if miss_rate is None:
        own = model.thresholds or {}
    elif threshold is not None and not isinstance(threshold, Mapping):
        raise ConfigError(f"threshold={threshold}: expected None beside miss_rate={miss_rate}, or thresholds by name")
    else:
        chosen_by_hand = [name for name, value in given.items() if value is not None]
        own = calibration_for(model, miss_rate).thresholds(miss_rate, without=chosen_by_hand)
    chosen = []
    for name in model.class_names:
        value = given.get(name)
        value = own.get(name) if value is None else value
        # a class that validation never showed has none, or nan
        chosen.append(otherwise if value is None or math.isnan(value) else float(value))
    return np.array(chosen, dtype=np.float64)
