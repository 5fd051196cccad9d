"""The scores from which on a model's answers count, by class: chosen on validation images and kept with the model."""

from __future__ import annotations

from typing import Any

__all__ = ["WithThresholds"]


class WithThresholds:
    """The part of `onlineml.tasks.base.VisionModule` that keeps thresholds.

    Attributes:
        thresholds: the score of each class from which an answer counts, chosen on validation images; None before, and
            for tasks that have none.
    """

    thresholds: dict[str, float] | None = None

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["thresholds"] = self.thresholds

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.thresholds = checkpoint.get("thresholds")
