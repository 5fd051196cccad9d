"""Predictions and truth in; scores with intervals, comparison, figures and reports out. Knows no networks."""

from __future__ import annotations

from onlineml.evaluation.classification import classification_scores
from onlineml.evaluation.coco import CocoScores, coco_scores
from onlineml.evaluation.compare import compare
from onlineml.evaluation.compare_result import Comparison
from onlineml.evaluation.detection import detection_scores
from onlineml.evaluation.detection_result import DetectionScores
from onlineml.evaluation.found import Found
from onlineml.evaluation.scores import ClassificationScores
from onlineml.evaluation.thresholds import best_thresholds

__all__ = [
    "ClassificationScores",
    "CocoScores",
    "Comparison",
    "DetectionScores",
    "Found",
    "best_thresholds",
    "classification_scores",
    "coco_scores",
    "compare",
    "detection_scores",
]
