"""Evaluation of predictions: scores with intervals, comparison, figures and reports; independent of networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.lazy import lazy_exports

if TYPE_CHECKING:
    from onlineml.evaluation.classification.result import ClassificationScores as ClassificationScores
    from onlineml.evaluation.classification.score import classification_scores as classification_scores
    from onlineml.evaluation.coco.scores import CocoScores as CocoScores
    from onlineml.evaluation.coco.scores import coco_scores as coco_scores
    from onlineml.evaluation.comparison.compare import compare as compare
    from onlineml.evaluation.comparison.result import Comparison as Comparison
    from onlineml.evaluation.detection.detections import Detections as Detections
    from onlineml.evaluation.detection.result import DetectionScores as DetectionScores
    from onlineml.evaluation.detection.score import detection_scores as detection_scores
    from onlineml.evaluation.detection.thresholds import best_thresholds as best_thresholds
    from onlineml.evaluation.multilabel.result import MultilabelScores as MultilabelScores
    from onlineml.evaluation.multilabel.score import multilabel_scores as multilabel_scores
    from onlineml.evaluation.multilabel.thresholds import best_multilabel_thresholds as best_multilabel_thresholds

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "ClassificationScores": "classification.result",
        "CocoScores": "coco.scores",
        "Comparison": "comparison.result",
        "DetectionScores": "detection.result",
        "Detections": "detection.detections",
        "MultilabelScores": "multilabel.result",
        "best_multilabel_thresholds": "multilabel.thresholds",
        "best_thresholds": "detection.thresholds",
        "classification_scores": "classification.score",
        "coco_scores": "coco.scores",
        "compare": "comparison.compare",
        "detection_scores": "detection.score",
        "multilabel_scores": "multilabel.score",
    },
)
