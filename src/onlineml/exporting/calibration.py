"""Photos on which a quantised export is calibrated, and the calibration of an export's answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import msgspec
import numpy as np

from onlineml.errors import ConfigError
from onlineml.inference.calibrate import calibration_on
from onlineml.inference.evaluation import EvaluateOptions
from onlineml.inference.predictor import predict
from onlineml.tasks import task_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from onlineml.data.manifest.manifest import Manifest
    from onlineml.exporting.exported import ExportedModel
    from onlineml.tasks.base import VisionModule

__all__ = ["calibrate_export", "calibration_inputs"]

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


def calibrate_export(exported: ExportedModel, model: VisionModule, photos: Manifest) -> None:
    """Calibrate the answers of the export of a calibrated model, whose temperature is within the graph.

    Args:
        exported: the export.
        model: the original.
        photos: without annotated ones of the split of the model's calibration, the export remains without one.
    """
    former = model.calibration
    if former is None or not (photos.kind.is_annotated(photos.table) & (photos.column("split") == former.split)).any():
        return
    batch_size = task_of(model).evaluate_batch_size
    options = EvaluateOptions(former.split, (), batch_size, num_workers=0, n_bootstrap=0, seed=0, max_bad=0.01)
    found = calibration_on(exported, photos, options, fit=False)
    told = {"temperature": former.temperature, "log_loss": former.log_loss, "ece": former.ece}
    exported.calibrate(msgspec.structs.replace(found, **told))
