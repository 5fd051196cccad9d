"""Score thresholds by class, chosen on validation images and stored with the model."""

from __future__ import annotations

from typing import Any

__all__ = ["WithThresholds"]


class WithThresholds:
    """The part of `onlineml.tasks.base.VisionModule` that keeps thresholds.

    Attributes:
        thresholds: score threshold of each class, chosen on validation images; None before, and for tasks without
            thresholds.
    """

    thresholds: dict[str, float] | None = None

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["thresholds"] = self.thresholds

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.thresholds = checkpoint.get("thresholds")
