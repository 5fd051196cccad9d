"""Multi-label classification in the table of tasks."""

from __future__ import annotations

from onlineml.tasks.task import Task

__all__ = ["MULTILABEL"]

MULTILABEL = Task(
    name="multilabel",
    title="Multi-label classifier",
    default_size=64,  # the first three as for classification
    train_batch_size=32,
    predict_batch_size=32,
    evaluate_batch_size=64,
    module="onlineml.tasks.multilabel.module:MultilabelClassifier",
    datamodule="onlineml.data.loading.multilabel_datamodules:MultilabelDataModule",
    networks="onlineml.models.listing:classifier_names",
    predict="onlineml.inference.predict_labels:predict_labels",
    evaluate="onlineml.inference.evaluate_labels:evaluate_labels",
    successor="onlineml.improving.challenger.multilabel:MultilabelPieces",
    candidates="onlineml.improving.review.label_sets:find_candidates",
    scores="onlineml.evaluation.multilabel.result:MultilabelScores",
    widget="onlineml.widgets:Relabel",
    evidence="onlineml.inference.evidence:label_evidence",
    export="onlineml.exporting.pieces:LabelsPieces",
    tensors="onlineml.serving.tensors:label_tensors",
)
