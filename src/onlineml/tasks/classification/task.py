"""Image classification, as the table of tasks has it."""

from __future__ import annotations

from onlineml.tasks.task import Task

__all__ = ["CLASSIFICATION"]

CLASSIFICATION = Task(
    name="classification",
    title="Image classifier",
    default_size=64,  # two CPU cores train on it within minutes
    module="onlineml.tasks.classification.module:ImageClassifier",
    datamodule="onlineml.data.loading.datamodules:ClassificationDataModule",
)
