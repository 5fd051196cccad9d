"""Successors of a classifier: scores with probabilities under present names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onlineml.errors import DataError
from onlineml.improving.challenger.current_names import distinct, remap_probabilities
from onlineml.improving.challenger.head_pieces import HeadPieces
from onlineml.inference.evaluate_classifier import classifier_scores, probabilities_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onlineml.data.manifest.manifest import Manifest
    from onlineml.evaluation import ClassificationScores
    from onlineml.inference.evaluation import EvaluateOptions
    from onlineml.tasks.classification import ImageClassifier

__all__ = ["ClassifierPieces"]


class ClassifierPieces(HeadPieces):
    """The parts of training a successor that are specific to classifiers of one label an image."""

    aligns_new_rows = True

    def renamed_scores(
        self, model: ImageClassifier, names: Sequence[str | None], data: Manifest, options: EvaluateOptions
    ) -> ClassificationScores:
        """Probabilities of merged classes add up; images of classes that the model never knew are left out."""
        kept = distinct(names)
        rows, probabilities = probabilities_in(model, data, options)
        known = np.isin(np.array(data.class_names, dtype=object)[data.label_ids()[rows]], list(kept))
        if not known.any():
            raise DataError(f"no labelled image of the split {options.split!r} shows a class that the model knows")
        table = remap_probabilities(probabilities[known], names)
        return classifier_scores(data, rows[known], table, kept, options, reference=model.reference)
