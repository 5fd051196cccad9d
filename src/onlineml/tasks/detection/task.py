"""Object detection in the table of tasks."""

from __future__ import annotations

from onlineml.tasks.task import Task

__all__ = ["DETECTION"]

DETECTION = Task(
    name="detection",
    title="Object detector",
    default_size=320,  # two CPU cores train on it within minutes
    train_batch_size=4,  # small batches train better on a few hundred images
    predict_batch_size=8,  # images are several times as large as a classifier's
    evaluate_batch_size=8,
    module="onlineml.tasks.detection.module:ObjectDetector",
    datamodule="onlineml.data.loading.detection_datamodules:DetectionDataModule",
    networks="onlineml.models.listing:detector_names",
    predict="onlineml.inference.predict_detector:predict_objects",
    evaluate="onlineml.inference.evaluate_detector:evaluate_detector",
    successor="onlineml.improving.challenger.detection:DetectorPieces",
    candidates="onlineml.improving.review.boxes:find_candidates",
    scores="onlineml.evaluation.detection.result:DetectionScores",
    widget="onlineml.widgets:BoxEditor",
    evidence="onlineml.inference.evidence:object_evidence",
    export="onlineml.exporting.pieces:BoxPieces",
    tensors="onlineml.serving.tensors:object_tensors",
)
