"""Photos on which a quantised export is calibrated: never those on which it is certified."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from onlineml.errors import ConfigError
from onlineml.inference.predictor import predict

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from onlineml.data.manifest.manifest import Manifest
    from onlineml.exporting.exported import ExportedModel

__all__ = ["calibration_inputs"]

_MOST_PHOTOS = 200  # evenly spread, so of all classes; ranges hardly grow with more


def calibration_inputs(exported: ExportedModel, photos: Manifest, *, certified_on: str) -> list[NDArray[np.uint8]]:
    """Return the inputs that an export gets when it predicts validation photos, or else training photos.

    Args:
        exported: the export in float.
        photos: of all splits.
        certified_on: the split that is not looked at.

    Returns:
        Batches (B, H, W, 3) uint8, of at most 200 photos.

    Raises:
        ConfigError: there are no other photos.
    """
    for split in ("val", "train"):
        rows = np.flatnonzero(photos.column("split") == split) if split != certified_on else np.zeros(0, np.int64)
        if len(rows):
            break
    else:
        raise ConfigError(
            f"calibration needs photos of the splits val or train, but for those it is certified on ({certified_on}): "
            "give data= with such photos"
        )
    spread = rows[np.unique(np.linspace(0, len(rows) - 1, _MOST_PHOTOS).astype(np.int64))]
    with exported.keeping_inputs() as inputs:
        for _ in predict(cast("Any", exported), photos.take(spread)):
            pass
    return inputs
