"""The calibration of a module, which belongs to its exact weights, class names and input."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, cast

import torch

from onlineml.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

    from onlineml.evaluation.calibration.calibration import Calibration
    from onlineml.tasks.base import VisionModule

__all__ = ["WithCalibration", "calibration_for", "current_calibration"]


class WithCalibration:
    """The part of `onlineml.tasks.base.VisionModule` for its calibration.

    Attributes:
        calibration: of `onlineml.calibrate`; None before, and after training or renaming.
    """

    calibration: Calibration | None = None
    _hashed: tuple[Any, str] | None = None  # what was looked at, and the hash

    @property
    def temperature(self) -> float:
        """The temperature of the probabilities; 1 without a calibration."""
        return 1.0 if self.calibration is None else self.calibration.temperature

    def fingerprint(self) -> str:
        """Return a hash of all that decides the answers: weights, class names, input size, normalisation, tiles.

        Hashing takes as long as a small network's answer, so it is done again only where a weight was written to since.
        """
        module = cast("VisionModule", self)
        state = sorted(module.network.state_dict().items())
        facts = {
            "class_names": list(module.class_names),
            "size_hw": list(module.input_size_hw()),
            "mean": [float(value) for value in module.mean],
            "std": [float(value) for value in module.std],
            "tiles": module.descriptor().get("tiles"),
        }
        said = json.dumps(facts, sort_keys=True)
        key = (said, [_trace(value) for _, value in state])
        if self._hashed is None or self._hashed[0] != key:
            self._hashed = (key, _hash_of(said, state))
        return self._hashed[1]


def _trace(value: Tensor) -> tuple[int, int, float]:
    """Return what tells that a tensor is another one or was written to; also by ``.data``, which counts no versions."""
    written = 0 if value.is_inference() else value._version  # noqa: SLF001 - torch's count of writes
    return value.data_ptr(), written, float(value[(0,) * value.ndim]) if value.numel() else 0.0


def _hash_of(said: str, state: list[tuple[str, Tensor]]) -> str:
    found = hashlib.sha256(said.encode())
    for name, value in state:
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
