"""Successors of a multi-label classifier: labels that nobody could give are unknown, and labels have today's names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onlineml.data.kinds.labels import multi_hot
from onlineml.errors import DataError
from onlineml.evaluation.multilabel.inputs import DEFAULT_THRESHOLD
from onlineml.improving.challenger.current_names import distinct, remap_thresholds
from onlineml.improving.challenger.head_pieces import HeadPieces
from onlineml.improving.challenger.known_classes import known_classes
from onlineml.inference.evaluate_classifier import probabilities_in
from onlineml.inference.evaluate_labels import label_scores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from onlineml.data.annotations.state import Annotations
    from onlineml.data.loading.multilabel_datamodules import MultilabelDataModule
    from onlineml.data.manifest.manifest import Manifest
    from onlineml.evaluation.multilabel.result import MultilabelScores
    from onlineml.improving.recipe import Recipe
    from onlineml.inference.evaluation import EvaluateOptions
    from onlineml.tasks.kept_settings import KeptSettings
    from onlineml.tasks.multilabel import MultilabelClassifier

__all__ = ["MultilabelPieces", "merged_columns"]


class MultilabelPieces(HeadPieces):
    """The parts of training a successor that are specific to multi-label classifiers."""

    def images(
        self,
        data: Manifest,
        recipe: Recipe,
        *,
        size_hw: tuple[int, int],
        known: NDArray[np.bool_] | None = None,
        kept: KeptSettings,
    ) -> MultilabelDataModule:
        """As of a classifier; of classes that an annotator could not know, only given labels count."""
        images: MultilabelDataModule = super().images(data, recipe, size_hw=size_hw, kept=kept)
        if known is not None:
            images.leave_open(~known)
        return images

    def known_classes(self, state: Annotations, data: Manifest) -> NDArray[np.bool_]:
        """See `onlineml.improving.challenger.known_classes.known_classes`."""
        return known_classes(state, data)

    def renamed_scores(
        self, model: MultilabelClassifier, names: Sequence[str | None], data: Manifest, options: EvaluateOptions
    ) -> MultilabelScores:
        """A merged class has the highest probability of its parts; images of unknown classes alone are left out."""
        kept = distinct(names)
        rows, probabilities = probabilities_in(model, data, options)
        table = data.table.take(rows)
        known = multi_hot(table, kept).any(axis=1) | ~multi_hot(table, data.class_names).any(axis=1)
        if not known.any():
            raise DataError(f"no annotated image of the split {options.split!r} shows a class that the model knows")
        chosen = remap_thresholds(model, names) or dict.fromkeys(kept, DEFAULT_THRESHOLD)
        columns = merged_columns(probabilities[known], names)
        return label_scores(data, rows[known], columns, kept, options, thresholds=chosen, reference=model.reference)


def merged_columns(probabilities: NDArray[np.float32], names: Sequence[str | None]) -> NDArray[np.float32]:
    """(N, K) probabilities of the classes that there are now, in the order of `distinct`, from (N, C)."""
    kept = distinct(names)
    found = np.zeros((len(probabilities), len(kept)), np.float32)
    for column, name in zip(probabilities.T, names, strict=True):
        if name is not None:
            place = kept.index(name)
            found[:, place] = np.maximum(found[:, place], column)
    return found
