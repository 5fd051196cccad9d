"""Checks of the inputs of a detector's evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onlineml.arguments.counted import count, part_of
from onlineml.data.manifest.examples import examples
from onlineml.errors import ConfigError, DataError, UnknownClassError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onlineml.data.manifest.box_arrays import Boxes
    from onlineml.evaluation.detection.detections import Detections
    from onlineml.evaluation.types import Array, Floats, Ints

__all__ = ["checked_boxes", "checked_sizes", "checked_thresholds", "usable_boxes"]


def checked_boxes(truth: Boxes, found: Detections, names: tuple[str, ...], image_ids: tuple[str, ...]) -> None:
    """Raise if truth and detections do not belong together.

    Raises:
        DataError: the numbers of images differ, images are not annotated, or class ids are invalid.
    """
    n_images = len(truth.offsets) - 1
    if n_images != found.n_images:
        msg = (
            f"truth has {count(n_images, 'image')} and found {found.n_images}; pass both for the same "
            "images, in one order"
        )
        raise DataError(msg)
    for what, labels in (("truth", truth.label_ids), ("found", found.label_ids)):
        if len(labels) and labels.max() >= len(names):
            msg = (
                f"{what}.label_ids goes up to {labels.max()}; expected at most {len(names) - 1}, since there are "
                f"{count(len(names), 'class name')}. Pass the names in the order of the ids"
            )
            raise DataError(msg)
    unknown = np.flatnonzero(~truth.annotated)
    if len(unknown):
        msg = (
            f"{part_of(len(unknown), n_images, 'image was')} not annotated: {examples(image_ids[i] for i in unknown)}, "
            "so their objects are unknown; evaluate annotated images only (an image without objects is one with an "
            "empty list of boxes)"
        )
        raise DataError(msg)


def checked_sizes(sizes_hw: Sequence[tuple[int, int]] | Array | None, *, n_images: int) -> Ints:
    """Return (N, 2) int64 heights and widths; zeros if unknown.

    Raises:
        DataError: the shape is wrong.
    """
    if sizes_hw is None:
        return np.zeros((n_images, 2), np.int64)
    sizes = np.asarray(sizes_hw, np.int64).reshape(-1, 2) if len(sizes_hw) == 0 else np.asarray(sizes_hw)
    if sizes.shape != (n_images, 2):
        msg = f"sizes_hw has shape {sizes.shape}; expected ({n_images}, 2): height and width of each image"
        raise DataError(msg)
    return sizes.astype(np.int64)


def checked_thresholds(thresholds: Mapping[str, float], names: tuple[str, ...]) -> Floats:
    """Return thresholds as (C,) float64 in the order of the names.

    Raises:
        UnknownClassError: a threshold of an unknown class.
        ConfigError: a class without a finite threshold.
    """
    unknown = sorted(set(thresholds) - set(names))
    if unknown:
        msg = f"thresholds has {unknown[:10]}, which are not among the {count(len(names), 'class')}: {names[:20]}"
        raise UnknownClassError(msg)
    values = np.array([thresholds.get(name, np.nan) for name in names], dtype=np.float64)  # None becomes nan
    missing = [name for name, value in zip(names, values, strict=True) if not np.isfinite(value)]
    if missing:
        msg = f"thresholds has no number for {missing[:10]}; pass one per class, as returned by best_thresholds"
        raise ConfigError(msg)
    return values


def usable_boxes(truth: Boxes, sizes_hw: Ints) -> Array:
    """Return (all boxes,) bool: not completely outside the image; True if the image's size is unknown."""
    height, width = sizes_hw[truth.image_index].T
    x1, y1, x2, y2 = truth.boxes_xyxy.T
    outside = (x1 >= width) | (y1 >= height) | (x2 <= 0) | (y2 <= 0)
    usable: Array = ~(outside & (width > 0) & (height > 0))
    return usable
