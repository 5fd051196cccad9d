"""Checks of the inputs of the multi-label evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from onlineml.errors import ConfigError, DataError
from onlineml.evaluation.classification import inputs
from onlineml.evaluation.detection.inputs import checked_thresholds as thresholds_of_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onlineml.evaluation.types import Array, Floats

__all__ = ["DEFAULT_THRESHOLD", "checked_class_names", "checked_thresholds", "checked_truth"]

DEFAULT_THRESHOLD = 0.5  # a label that is more likely than not is predicted


def checked_class_names(class_names: Sequence[str]) -> tuple[str, ...]:
    """Check class names; return a tuple of distinct strings, at least one.

    Raises:
        DataError: there are no names, or a name is repeated.
    """
    names = inputs.checked_names(class_names)
    if not names:
        msg = "class_names is empty; expected at least one name, in the order of the columns of probabilities"
        raise DataError(msg)
    return names


def checked_truth(truth: Array, image_ids: Sequence[str], *, n_classes: int) -> Array:
    """Return truth as (N, K) bool from bools, or from numbers that are 0 or 1.

    Raises:
        DataError: the shape differs from that of the probabilities, or values are other than 0 and 1; by image.
    """
    array = np.asarray(truth)
    if array.size == 0 and array.ndim < 2:
        array = np.zeros((0, n_classes), bool)
    if array.shape != (len(image_ids), n_classes):
        msg = (
            f"truth has shape {array.shape}; expected ({len(image_ids)}, {n_classes}), as probabilities: True where "
            "the image shows the class"
        )
        raise DataError(msg)
    if array.dtype.kind not in "biuf":
        msg = f"truth has dtype {array.dtype}; expected a table of True and False, one column per class"
        raise DataError(msg)
    marked: Array = array.astype(bool)
    bad = np.flatnonzero((array != marked).any(axis=1))
    if len(bad):
        msg = (
            f"truth has values other than 0 and 1 in {len(bad)} of {len(image_ids)} rows: "
            f"{inputs.listing(bad, image_ids)}. Set every class of an image to 0 or 1, or exclude the image"
        )
        raise DataError(msg)
    return marked


def checked_thresholds(
    thresholds: float | Mapping[str, float] | Sequence[float] | Array | None, names: tuple[str, ...]
) -> Floats:
    """Return thresholds as (K,) float64 in [0, 1], in the order of the names.

    Args:
        thresholds: one for all classes, one per class by name, (K,) in the order of the names, or None: 0.5.
        names: K class names.

    Raises:
        ConfigError: the number of thresholds is wrong, or some are outside [0, 1].
        UnknownClassError: thresholds of unknown classes.
    """
    if isinstance(thresholds, Mapping):
        values = thresholds_of_names(thresholds, names)
    else:
        given = np.asarray(DEFAULT_THRESHOLD if thresholds is None else thresholds, np.float64)
        if given.shape not in {(), (len(names),)}:
            msg = f"thresholds has shape {given.shape}; expected one number, or {len(names)}: one per class"
            raise ConfigError(msg)
        values = np.broadcast_to(given, (len(names),)).copy()
    bad = [f"{name!r}: {value:g}" for name, value in zip(names, values, strict=True) if not 0 <= value <= 1]
    if bad:
        msg = f"thresholds has {', '.join(bad[:10])}; expected numbers in [0, 1], the minimum probabilities"
        raise ConfigError(msg)
    return values
