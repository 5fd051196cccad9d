"""Object detection, as the table of tasks has it."""

from __future__ import annotations

from onlineml.tasks.task import Task

__all__ = ["DETECTION"]

DETECTION = Task(
    name="detection",
    title="Object detector",
    default_size=320,  # two CPU cores train on it within minutes
    module="onlineml.tasks.detection.module:ObjectDetector",
    datamodule="onlineml.data.loading.detection_datamodules:DetectionDataModule",
)
