"""Image classification in the table of tasks."""

from __future__ import annotations

from onlineml.tasks.task import Task

__all__ = ["CLASSIFICATION"]

CLASSIFICATION = Task(
    name="classification",
    title="Image classifier",
    default_size=64,  # two CPU cores train on it within minutes
    train_batch_size=32,
    predict_batch_size=32,
    evaluate_batch_size=64,
    module="onlineml.tasks.classification.module:ImageClassifier",
    datamodule="onlineml.data.loading.classification_datamodules:ClassificationDataModule",
    networks="onlineml.models.listing:classifier_names",
    predict="onlineml.inference.predict_classifier:predict_classes",
    evaluate="onlineml.inference.evaluate_classifier:evaluate_classifier",
    successor="onlineml.improving.challenger.classification:ClassifierPieces",
    candidates="onlineml.improving.review.labels:find_candidates",
    answers="onlineml.improving.deciding.labels:answers",
    scores="onlineml.evaluation.classification.result:ClassificationScores",
    widget="onlineml.widgets:Relabel",
    evidence="onlineml.inference.evidence:class_evidence",
    export="onlineml.exporting.pieces:LabelPieces",
    tensors="onlineml.serving.tensors:class_tensors",
)
