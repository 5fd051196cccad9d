"""The calibration of a module, which belongs to its exact weights, class names and input."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, cast

import torch

from onlineml.errors import ConfigError

if TYPE_CHECKING:
    from onlineml.evaluation.calibration.calibration import Calibration
    from onlineml.tasks.base import VisionModule

__all__ = ["WithCalibration", "calibration_for", "current_calibration"]


class WithCalibration:
    """The part of `onlineml.tasks.base.VisionModule` for its calibration.

    Attributes:
        calibration: of `onlineml.calibrate`; None before, and after training or renaming.
    """

    calibration: Calibration | None = None

    @property
    def temperature(self) -> float:
        """The temperature of the probabilities; 1 without a calibration."""
        return 1.0 if self.calibration is None else self.calibration.temperature

    def fingerprint(self) -> str:
        """Return a hash of all that decides the answers: weights, class names, input size, normalisation, tiles."""
        module = cast("VisionModule", self)
        facts = {
            "class_names": list(module.class_names),
            "size_hw": list(module.input_size_hw()),
            "mean": [float(value) for value in module.mean],
            "std": [float(value) for value in module.std],
            "tiles": module.descriptor().get("tiles"),
        }
        found = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
        for name, value in sorted(module.network.state_dict().items()):
            content = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
            found.update(f"\0{name}\0{value.dtype}\0{tuple(value.shape)}\0".encode())
            found.update(content.numpy().data)
        return found.hexdigest()


def current_calibration(model: Any) -> Calibration | None:
    """Return the calibration of a model; None if it has none, as models of others.

    Raises:
        ConfigError: it is of other weights, class names or input.
    """
    found: Calibration | None = getattr(model, "calibration", None)
    if found is not None and found.model != model.fingerprint():
        raise ConfigError(
            "model.calibration is of other weights, class names or another input size than the model has now: "
            "calibrate it again with oml.calibrate(model, data), or drop it with model.calibration = None"
        )
    return found


def calibration_for(model: Any, miss_rate: float) -> Calibration:
    """Return the calibration of a model that is asked for a rate.

    Raises:
        ConfigError: it has none, or one of other weights.
    """
    found = current_calibration(model)
    if found is None:
        raise ConfigError(
            f"miss_rate={miss_rate}: the model is not calibrated, or was trained or renamed since: call "
            "oml.calibrate(model, data), and publish it again"
        )
    return found
