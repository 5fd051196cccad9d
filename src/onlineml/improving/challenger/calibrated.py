"""Calibration of a champion's successor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.improving.news import annotated_in
from onlineml.inference.calibrate import calibrate

if TYPE_CHECKING:
    from onlineml.data.manifest.manifest import Manifest
    from onlineml.evaluation.calibration.calibration import Calibration
    from onlineml.improving.recipe import Recipe
    from onlineml.tasks.base import VisionModule

__all__ = ["calibrate_again"]


def calibrate_again(model: VisionModule, former: Calibration | None, data: Manifest, recipe: Recipe) -> None:
    """Calibrate the successor of a calibrated model, so that whoever asks for a miss rate is still answered.

    Args:
        model: the successor; without annotated photos of the split it remains without a calibration.
        former: calibration of the model before; None for none, and then nothing is done.
        data: with the split of the former calibration.
        recipe: of the attempt.
    """
    if former is not None and annotated_in(data, former.split).any():
        calibrate(model, data, split=former.split, num_workers=recipe.num_workers, max_bad=recipe.bad_share)
