"""Calibration: temperatures, and thresholds that miss no more than a rate that the user names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.lazy import lazy_exports

if TYPE_CHECKING:
    from onlineml.evaluation.calibration.calibration import Calibration as Calibration
    from onlineml.evaluation.calibration.curves import Curve as Curve

__getattr__, __dir__, __all__ = lazy_exports(__name__, {"Calibration": "calibration", "Curve": "curves"})
