"""Predictions and truth in; scores with intervals, comparison, figures and reports out. Knows no networks."""

from __future__ import annotations

from onlineml.evaluation.classification import classification_scores
from onlineml.evaluation.coco import CocoScores, coco_scores
from onlineml.evaluation.scores import ClassificationScores

__all__ = ["ClassificationScores", "CocoScores", "classification_scores", "coco_scores"]
